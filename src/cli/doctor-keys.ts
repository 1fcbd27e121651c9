/**
 * Does a sandbox hold a real key? Looks at the environment and at the files where programs keep keys, for texts
 * that look like a key of a known kind and are no placeholder of this proxy. Tells where, never what.
 */
import { join } from 'node:path';
import { wellKnownPrefix } from '../secrets/key-prefixes.ts';
import { hasMarker } from '../secrets/placeholder.ts';
import type { Outside } from './doctor-outside.ts';

/** Below the home folder. */
const HOME_FILES = [
  '.env .netrc .git-credentials .npmrc .pypirc .aws/credentials .config/gh/hosts.yml .docker/config.json',
  '.config/gcloud/application_default_credentials.json .kube/config .codex/auth.json .claude/.credentials.json',
  '.ssh/id_rsa .ssh/id_ed25519 .ssh/id_ecdsa .cargo/credentials.toml .gem/credentials .terraform.d/credentials.tfrc.json',
].flatMap((line) => line.split(' '));
/** Below the folder that doctor runs in. */
const HERE_FILES = ['.env', '.env.local', '.env.production', '.npmrc'];

/** Shorter ones are words: `key-value`, `secret_name`. */
const MIN_RANDOM = 16;
/** Secrets that no prefix tells: the name beside them does. */
const NAMED =
  /\b(?:aws_secret_access_key|aws_session_token|_authToken|_password)\s*[=:]\s*["']?([^\s"']{8,})/gi;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/;

/** Where something lies that looks like a real key: `variable NAME` or `file:line`, with the public prefix of its kind. */
export function realKeys(outside: Outside, placeholders: ReadonlySet<string>): readonly string[] {
  const { env, cwd } = outside;
  const home = env['HOME'] ?? '';
  const variables = Object.entries(env).flatMap(([name, value = '']) =>
    kindsIn(value, placeholders).map((kind) => `variable ${name} (${kind})`),
  );
  const files = new Set([
    ...(home === '' ? [] : HOME_FILES.map((name) => join(home, name))),
    ...HERE_FILES.map((name) => join(cwd, name)),
  ]);
  const inFiles = [...files].flatMap((file) =>
    (outside.read(file) ?? '')
      .split('\n')
      .flatMap((line, index) => kindsIn(line, placeholders).map((kind) => `${file}:${index + 1} (${kind})`)),
  );
  return [...variables, ...inFiles];
}

function kindsIn(text: string, placeholders: ReadonlySet<string>): string[] {
  const held = (word: string): boolean => placeholders.has(word) || hasMarker(word);
  const kinds = [...text.matchAll(/[\w.:+=-]{20,}/g)].flatMap(([word]) => {
    // `NAME=value` in a file, `name: value` without a space.
    const value = word.replace(/^[A-Za-z_]\w*[=:](?=[^=:])/, '');
    return held(value) ? [] : kindOf(value);
  });
  const named = [...text.matchAll(NAMED)].filter(
    ([, value = '']) => !held(value) && kindOf(value).length === 0,
  );
  const found = [...kinds, ...named.map(() => 'a secret by its name')];
  if (PRIVATE_KEY.test(text) && ![...placeholders].some((one) => one.includes(text)))
    found.push('a private key');
  return [...new Set(found)];
}

/** A known beginning, and after it what no word has: enough characters, digits and letters among them. */
function kindOf(value: string): string[] {
  const prefix = wellKnownPrefix(value);
  const rest = value.slice(prefix.length);
  const random = rest.length >= MIN_RANDOM && /\d/.test(rest) && /[a-z]/i.test(rest);
  return prefix === '' || !random ? [] : [`${prefix}…`];
}
