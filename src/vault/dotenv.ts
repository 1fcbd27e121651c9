/**
 * Reads `.env` files for `vault import`: `export`, comments, CRLF, single and double quotes, values over
 * several lines. Follows what the dotenv packages of Node, Python and Ruby agree on; `$NAME` is not expanded,
 * because a key may hold a dollar sign. Pure. A line that cannot be read is an error, never skipped.
 */

export type DotenvEntry = { readonly name: string; readonly value: string; readonly line: number };
export type DotenvFault = { readonly line: number; readonly message: string };

/** Longest text that is read, characters. */
const MAX_TEXT = 4_194_304;

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*/;
const BLANK = /^[ \t]*(?:#.*)?$/;
const AFTER_QUOTE = /^[ \t]*(?:#.*)?(?:\n|$)/;

/** Of a name that stands twice the last value counts, as in a shell. Faults never quote a value. */
export function parseDotenv(input: string): {
  entries: readonly DotenvEntry[];
  faults: readonly DotenvFault[];
} {
  if (input.length > MAX_TEXT)
    return { entries: [], faults: [{ line: 0, message: 'the file is too large' }] };
  const text = input.replace(/^\uFEFF/, '').replace(/\r\n/g, '\n');
  const entries = new Map<string, DotenvEntry>();
  const faults: DotenvFault[] = [];
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const read = readStatement(text, at, line);
    if (read.kind === 'entry') {
      entries.delete(read.entry.name);
      entries.set(read.entry.name, read.entry);
    }
    if (read.kind === 'fault') faults.push({ line, message: read.message });
    line += text.slice(at, read.next).split('\n').length - 1;
    at = read.next;
  }
  return { entries: [...entries.values()], faults };
}

type Statement =
  | { readonly kind: 'entry'; readonly entry: DotenvEntry; readonly next: number }
  | { readonly kind: 'blank'; readonly next: number }
  | { readonly kind: 'fault'; readonly message: string; readonly next: number };

function readStatement(text: string, at: number, line: number): Statement {
  const lineEnd = endOfLine(text, at);
  const next = lineEnd + 1;
  const source = text.slice(at, lineEnd);
  if (BLANK.test(source)) return { kind: 'blank', next };
  const assignment = ASSIGNMENT.exec(source);
  const name = assignment?.[1];
  if (assignment === null || name === undefined)
    return { kind: 'fault', message: 'expected NAME=value', next };
  const start = at + assignment[0].length;
  const quote = text.charAt(start);
  if (quote === '"' || quote === "'") return readQuoted(text, { name, line, start, quote });
  // A comment needs a space before it: keys may hold a `#`.
  const value = text
    .slice(start, lineEnd)
    .replace(/(?:^|[ \t]+)#.*$/, '')
    .trimEnd();
  return { kind: 'entry', entry: { name, value, line }, next };
}

type Quoted = {
  readonly name: string;
  readonly line: number;
  readonly start: number;
  readonly quote: string;
};

function readQuoted(text: string, { name, line, start, quote }: Quoted): Statement {
  const end = closingQuote(text, start + 1, quote);
  if (end === -1) return { kind: 'fault', message: `${name}: the quote is not closed`, next: text.length };
  const rest = AFTER_QUOTE.exec(text.slice(end + 1));
  if (rest === null) {
    const message = `${name}: unexpected characters after the closing quote`;
    return { kind: 'fault', message, next: endOfLine(text, end) + 1 };
  }
  const inner = text.slice(start + 1, end);
  const value = quote === '"' ? unescaped(inner) : inner;
  return { kind: 'entry', entry: { name, value, line }, next: end + 1 + rest[0].length };
}

/** In double quotes a backslash protects what follows; in single quotes nothing does. */
function closingQuote(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === quote) return at;
    if (char === '\\' && quote === '"') at += 1;
  }
  return -1;
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '\\': '\\',
  '"': '"',
  $: '$',
  '`': '`',
};

/** Other backslashes stay as they are: a Windows path or a pattern may hold them. */
function unescaped(text: string): string {
  return text.replace(/\\([nrt\\"$`])/g, (whole, char: string) => ESCAPES[char] ?? whole);
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end;
}

/**
 * The AWS sets among the names: access key, secret key and, if there is one, session token with the same
 * beginning belong together. Returns the group by name.
 */
export function awsGroups(names: readonly string[]): ReadonlyMap<string, string> {
  const groups = new Map<string, string>();
  for (const name of names) {
    const start = /^(.*)AWS_ACCESS_KEY_ID$/.exec(name)?.[1];
    if (start === undefined || !names.includes(`${start}AWS_SECRET_ACCESS_KEY`)) continue;
    for (const part of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']) {
      if (names.includes(start + part)) groups.set(start + part, `${start}AWS`);
    }
  }
  return groups;
}
