/** The console's files as the admin side serves them: a closed list, under a strict policy, to visitors and to itself. */
import { describe, expect, it } from 'vitest';
import { readConsole } from '../../../src/admin/console-files.ts';
import { adminWith } from './fakes.ts';

const HERE = { host: '127.0.0.1:9090' };
const VISIT = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

describe('the console', () => {
  it('is served under a policy that runs nothing but its own files', async () => {
    const { admin } = adminWith();
    for (const { path, type } of readConsole()) {
      const answer = await admin.app.inject({ url: path, headers: HERE });
      expect([path, answer.statusCode, answer.headers['content-type']]).toEqual([path, 200, type]);
      const policy = String(answer.headers['content-security-policy']);
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'");
      expect(policy).toContain("require-trusted-types-for 'script'");
      expect(policy).not.toContain('unsafe');
      expect(answer.headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
      });
    }
  });

  it('imports what is served, and asks nobody else', () => {
    const files = readConsole();
    const paths = new Set(files.map(({ path }) => path));
    for (const { path, body } of files.filter(({ type }) => type.startsWith('text/javascript'))) {
      for (const [, , source = ''] of body.matchAll(
        /^(?:import|export)\b[^;]*?\bfrom\s*(['"])([^'"]+)\1/gm,
      )) {
        const to = new URL(source, `http://here${path}`).pathname;
        expect([path, source, paths.has(to)]).toEqual([path, source, true]);
      }
      if (!path.includes('/vendor/'))
        expect([path, body]).not.toEqual([path, expect.stringMatching(/innerHTML|eval\(/)]);
    }
    const page = files.find(({ path }) => path === '/')?.body ?? '';
    expect(page).not.toMatch(/<script(?![^>]*\bsrc="console\/)|<style|\bstyle=|\bon\w+=|https?:/);
  });

  it('is a list of files: no other path leads to the disk', async () => {
    const { admin } = adminWith();
    for (const url of [
      '/console/',
      '/console/README.md',
      '/console/../server.ts',
      '/console/%2e%2e/server.ts',
      '/console/vendor/../../../../package.json',
      '/console/overview.png',
    ]) {
      expect([url, (await admin.app.inject({ url, headers: HERE })).statusCode]).toEqual([url, 404]);
    }
    const posted = await admin.app.inject({ method: 'POST', url: '/', headers: HERE });
    expect([posted.statusCode, posted.headers['allow']]).toEqual([405, 'GET, HEAD']);
  });

  it('opens for somebody who follows a link of another page, and for nothing else of that page', async () => {
    const { admin } = adminWith();
    const get = async (url: string, headers: Record<string, string>): Promise<number> =>
      (await admin.app.inject({ url, headers: { ...HERE, ...headers } })).statusCode;
    for (const site of ['cross-site', 'same-site']) {
      expect(await get('/', { 'sec-fetch-site': site, ...VISIT })).toBe(200);
      expect(await get('/', { 'sec-fetch-site': site, ...VISIT, 'sec-fetch-dest': 'iframe' })).toBe(403);
      expect(await get('/', { 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors' })).toBe(403);
      expect(await get('/console/main.js', { 'sec-fetch-site': site })).toBe(403);
      expect(await get('/api/v1/status', { 'sec-fetch-site': site, ...VISIT })).toBe(403);
      expect(await get('/metrics', { 'sec-fetch-site': site, ...VISIT })).toBe(403);
    }
    expect(await get('/', { ...VISIT, host: 'rebound.example' })).toBe(421);
  });
});
