/**
 * The console's files (`console/`), as browsers get them: read once at the start, so a path of a request is looked up
 * and never opened. The two packages that the page is written with are served beside them; what they and the page
 * import by a package's name is written anew as the place where it is served. Used by `server.ts`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';

/** Scripts and styles are our own files and nothing else; strings never become markup or code. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const TYPES: ReadonlyMap<string, string> = new Map([
  ['js', 'text/javascript; charset=utf-8'],
  ['css', 'text/css; charset=utf-8'],
  ['html', 'text/html; charset=utf-8'],
  ['svg', 'image/svg+xml'],
]);

/** Packages of the page: their names in imports, and the file below `/console/` that they are served as. */
const PACKAGES: ReadonlyMap<string, string> = new Map([
  ['preact', 'vendor/preact.js'],
  ['preact/hooks', 'vendor/preact-hooks.js'],
  ['htm', 'vendor/htm.js'],
]);

/** The page itself. A link of another page may lead here, and gets no more than everybody who reaches the port. */
export const CONSOLE_PAGE = '/';

export type ConsoleFile = { readonly path: string; readonly type: string; readonly body: string };

/** Throws when a file is missing: an installation without its console is not whole. */
export function readConsole(): readonly ConsoleFile[] {
  const folder = new URL('console/', import.meta.url);
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted();
  const own = names.flatMap((name) => {
    const type = TYPES.get(name.slice(name.lastIndexOf('.') + 1));
    if (type === undefined) return [];
    const path = name === 'index.html' ? CONSOLE_PAGE : `/console/${name}`;
    const text = readFileSync(new URL(name, folder), 'utf8');
    return [{ path, type, body: type.startsWith('text/javascript') ? withPlaces(name, text) : text }];
  });
  const vendor = [...PACKAGES].map(([name, place]) => {
    const text = readFileSync(fileURLToPath(import.meta.resolve(name)), 'utf8');
    // Maps of sources are not served.
    const body = withPlaces(place, text.replace(/\n?\/\/# sourceMappingURL=.*\s*$/, '\n'));
    return { path: `/console/${place}`, type: 'text/javascript; charset=utf-8', body };
  });
  return [...own, ...vendor];
}

/** Imports of packages by where they are served, seen from the file that imports. */
function withPlaces(file: string, text: string): string {
  const up = '../'.repeat(file.split('/').length - 1) || './';
  return text.replaceAll(/\bfrom\s*(['"])([a-z][a-z/]*)\1/g, (whole, quote: string, name: string) => {
    const place = PACKAGES.get(name);
    return place === undefined ? whole : `from ${quote}${up}${place}${quote}`;
  });
}

export function addConsole(app: FastifyInstance, files: readonly ConsoleFile[]): void {
  for (const { path, type, body } of files) {
    app.get(path, async (_request, reply) =>
      reply.header('content-security-policy', CONTENT_SECURITY_POLICY).type(type).send(body),
    );
  }
}
