/**
 * What mends a value that a schema refused: the words behind the message of `issues.ts`. A fix that is written as it
 * says passes, so none is guessed where more than one value could be meant.
 */

/** What is used of a zod issue about too much or too little. */
export type Limit = {
  readonly code: string;
  readonly origin?: string;
  readonly minimum?: number | bigint;
  readonly maximum?: number | bigint;
};

/** What is wrong, to be read behind the name of the key, and what mends it. */
export type Words = { readonly message: string; readonly fix: string };

/** Keys whose values may hold a password, or are one: errors are logged, and never show them. */
const CREDENTIALS = ['parent_proxy', 'redis', 'url', 'from'];

/** What a key that is missing could hold; where nothing stands here, its name alone is said. */
const FILLINGS: ReadonlyMap<unknown, string> = new Map(
  Object.entries({
    version: '1',
    group: 'NAME',
    profile: 'NAME',
    env: 'VARIABLE',
    from: 'vault:NAME',
    hosts: '[HOST]',
    deny: 'HOST',
    request: '"GET https://HOST/"',
    expect: 'allow',
  }),
);

const FORMS: ReadonlyMap<unknown, string> = new Map(
  Object.entries({
    idle: 'write it like 10m',
    wait: 'write it like 5m',
    retain: 'write it like 90d',
    env: 'write it like OPENAI_API_KEY',
    group: 'write it like ai-agents',
    profile: 'write it like ai-agents',
    redis: 'write it like redis://127.0.0.1:6379',
    parent_proxy: 'write it like http://proxy.corp.example:3128',
    url: 'write it like https://hooks.corp.example/path',
  }),
);

const DURATION_KEYS = ['idle', 'wait', 'remember', 'cooldown', 'drain', 'retain'];
const UNIT_WORDS: readonly (readonly [RegExp, string])[] = [
  [/^(?:ms|millis(?:econd)?s?)$/i, 'ms'],
  [/^s(?:ec(?:ond)?s?)?$/i, 's'],
  [/^m(?:in(?:ute)?s?)?$/i, 'm'],
  [/^h(?:ou)?r?s?$/i, 'h'],
  [/^d(?:ays?)?$/i, 'd'],
];

/** May the value at this key be shown? */
export function isCredential(key: PropertyKey | undefined): boolean {
  return CREDENTIALS.includes(String(key));
}

/** For a key that is missing. */
export function addFix(key: PropertyKey | undefined): string {
  const filling = FILLINGS.get(key);
  return `add \`${String(key ?? '')}:${filling === undefined ? '' : ` ${filling}`}\``;
}

/** Too much or too little of something, in words. */
export function limitWords({ code, origin, minimum, maximum }: Limit, shown: string): Words {
  const small = code === 'too_small';
  const bound = String((small ? minimum : maximum) ?? '');
  if (origin === 'array') {
    if (small) return { message: 'is an empty list', fix: 'write at least one entry' };
    return { message: `has more than ${bound} entries`, fix: `keep ${bound} at most` };
  }
  if (origin === 'string') {
    if (small) return { message: 'is empty', fix: 'write a text' };
    return { message: `is longer than ${bound} characters`, fix: 'shorten it' };
  }
  const fix = small ? `write ${bound} or more` : `write ${bound} or less`;
  return { message: `cannot be ${shown}`, fix };
}

/** For a text of another form than its key wants; `message` says which that is. */
export function formFix(key: PropertyKey | undefined, value: unknown, message: string): string {
  if (typeof value !== 'string') return 'correct the value';
  const guess = guessed(key, value);
  if (guess !== null && guess !== value) return `write ${guess}`;
  if (message.startsWith('holds ')) return 'remove them';
  if (/no IP address/.test(message)) return 'write it like 172.25.0.1';
  return FORMS.get(key) ?? (/such as /.test(message) ? 'write it in that form' : 'correct the value');
}

/** What was meant beyond doubt. */
function guessed(key: PropertyKey | undefined, value: string): string | null {
  const name = String(key);
  if (name === 'group' || name === 'profile') return slug(value);
  if (name === 'env') return variable(value);
  return DURATION_KEYS.includes(name) ? spelled(value) : null;
}

function slug(value: string): string | null {
  const text = value.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, '-');
  return /^[a-z0-9][a-z0-9._-]{0,61}[a-z0-9]$/.test(text) ? text : null;
}

function variable(value: string): string | null {
  const text = value.toUpperCase().replaceAll(/[^A-Z0-9_]+/g, '_');
  return /^[A-Z][A-Z0-9_]{0,126}[A-Z0-9]$/.test(text) ? text : null;
}

/** `10 minutes` as `10m`. */
function spelled(value: string): string | null {
  const [, count, word = ''] = /^\s*([1-9][0-9]{0,8})\s*([a-z]+)\s*$/i.exec(value) ?? [];
  const unit = UNIT_WORDS.find(([pattern]) => pattern.test(word))?.[1];
  // `M` is a minute to some and a month to others.
  return count === undefined || unit === undefined || word === 'M' ? null : `${count}${unit}`;
}
