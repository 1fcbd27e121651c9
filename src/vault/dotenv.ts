/**
 * Reads `.env` files for `vault import`, and the `export` lines that a program prints for a shell's `eval`: `export`,
 * comments, CRLF, single and double quotes, values over several lines, quoted parts that touch (`'it'\''s'`).
 * Follows what the dotenv packages of Node, Python and Ruby agree on; `$NAME` is not expanded, because a key
 * may hold a dollar sign. Pure. A line that cannot be read is an error, never skipped.
 */

export type DotenvEntry = { readonly name: string; readonly value: string; readonly line: number };
export type DotenvFault = { readonly line: number; readonly message: string };

/** Longest text that is read, characters. */
const MAX_TEXT = 4_194_304;
/** Values and faults of one text. */
const MAX_STATEMENTS = 10_000;

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*/;
const SHELL_ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=/;
const BLANK = /^[ \t]*(?:#.*)?\r?$/;
const AFTER_QUOTE = /^[ \t]*(?:#.*)?(?:\n|$)/;
/** In a shell another statement, or another name of the same `export`, may follow on the line. */
const AFTER_WORD = /^(?:[ \t]*;[ \t]*|[ \t]+)?(?:#.*)?(?:\r?\n|$|(?=[A-Za-z_]))/;
const STARTS_QUOTED = /^(?:["']|\$')/;
/** Where a quoted value of a file ends. */
const BLANK_OR_COMMENT = /^[ \t\n#]/;
const WORD_END = /^(?:[ \t\n]|\r\n|;(?:[ \t\r\n]|$))/;
const UNCLOSED = 'the quote is not closed';

/**
 * Of a name that stands twice the last value counts, as in a shell. Faults never quote a value. `shell`: an unquoted
 * value ends at a blank or `;` and knows the backslash. Still nothing is expanded.
 */
export function parseDotenv(
  input: string,
  how: { readonly shell?: boolean } = {},
): {
  entries: readonly DotenvEntry[];
  faults: readonly DotenvFault[];
  /** values that a later one of the same name puts out of force: their names, and the lines of the later ones */
  repeated: readonly Pick<DotenvEntry, 'name' | 'line'>[];
} {
  if (input.length > MAX_TEXT)
    return { entries: [], faults: [{ line: 0, message: 'the file is too large' }], repeated: [] };
  const text = withoutMark(input, how.shell === true);
  const entries = new Map<string, DotenvEntry>();
  const faults: DotenvFault[] = [];
  const repeated: Pick<DotenvEntry, 'name' | 'line'>[] = [];
  let at = 0;
  let line = 1;
  while (at < text.length) {
    if (entries.size + faults.length + repeated.length >= MAX_STATEMENTS) {
      faults.push({ line, message: 'there are too many values' });
      break;
    }
    const read = readStatement(text, { at, line, shell: how.shell === true });
    if (read.kind === 'entry') {
      const { name } = read.entry;
      if (entries.delete(name)) repeated.push({ name, line });
      entries.set(name, read.entry);
    }
    if (read.kind === 'fault') faults.push({ line, message: read.message });
    line += text.slice(at, read.next).split('\n').length - 1;
    at = read.next;
  }
  return { entries: [...entries.values()], faults, repeated };
}

/** In a file, line ends are the editor's; what a program prints in quotes is the value's. */
function withoutMark(input: string, shell: boolean): string {
  const text = input.replace(/^\uFEFF/, '');
  return shell ? text : text.replace(/\r\n/g, '\n');
}

type Statement =
  | { readonly kind: 'entry'; readonly entry: DotenvEntry; readonly next: number }
  | { readonly kind: 'blank'; readonly next: number }
  | { readonly kind: 'fault'; readonly message: string; readonly next: number };

type From = { readonly at: number; readonly line: number; readonly shell: boolean };

function readStatement(text: string, { at, line, shell }: From): Statement {
  const lineEnd = endOfLine(text, at);
  const next = lineEnd + 1;
  const source = text.slice(at, lineEnd);
  if (BLANK.test(source)) return { kind: 'blank', next };
  const assignment = (shell ? SHELL_ASSIGNMENT : ASSIGNMENT).exec(source);
  const name = assignment?.[1];
  if (assignment === null || name === undefined)
    return { kind: 'fault', message: 'expected NAME=value', next };
  const start = at + assignment[0].length;
  if (shell || STARTS_QUOTED.test(text.slice(start, start + 2))) {
    return readWord(text, { name, line, start, shell });
  }
  // A comment needs a space before it: keys may hold a `#`.
  const value = text
    .slice(start, lineEnd)
    .replace(/(?:^|[ \t]+)#.*$/, '')
    .trimEnd();
  return { kind: 'entry', entry: { name, value, line }, next };
}

type Word = {
  readonly name: string;
  readonly line: number;
  readonly start: number;
  readonly shell: boolean;
};

type Part = { readonly value: string; readonly end: number } | { readonly fault: string };

/** Quoted and unquoted parts up to the first blank, line end or, for a shell, `;`. */
function readWord(text: string, { name, line, start, shell }: Word): Statement {
  const end = shell ? WORD_END : BLANK_OR_COMMENT;
  let value = '';
  let at = start;
  while (at < text.length && !end.test(text.slice(at, at + 2))) {
    const part = readPart(text, at, shell);
    if ('fault' in part) {
      return { kind: 'fault', message: `${name}: ${part.fault}`, next: afterFault(text, at, part.fault) };
    }
    value += part.value;
    at = part.end;
  }
  const rest = (shell ? AFTER_WORD : AFTER_QUOTE).exec(text.slice(at, endOfLine(text, at) + 1));
  if (rest === null) {
    const message = `${name}: unexpected characters after the value`;
    return { kind: 'fault', message, next: endOfLine(text, at) + 1 };
  }
  return { kind: 'entry', entry: { name, value, line }, next: at + rest[0].length };
}

function readPart(text: string, at: number, shell: boolean): Part {
  const char = text.charAt(at);
  if (char === "'" || char === '"') return readQuoted(text, at, char);
  if (char === '$' && text.charAt(at + 1) === "'") {
    const end = closingQuote(text, at + 2, "'", true);
    if (end === -1) return { fault: UNCLOSED };
    return { value: unescaped(text.slice(at + 2, end), true), end: end + 1 };
  }
  if (char === '\\' && text.charAt(at + 1) !== '') {
    // A backslash at the end of a line joins it with the next.
    return { value: text.charAt(at + 1).replace('\n', ''), end: at + 2 };
  }
  // In a file, what touches a quote may be an escape alone: anything else is a slip.
  if (!shell) return { fault: 'unexpected characters after the closing quote' };
  return { value: char, end: at + 1 };
}

function readQuoted(text: string, at: number, quote: string): Part {
  const end = closingQuote(text, at + 1, quote, quote === '"');
  if (end === -1) return { fault: UNCLOSED };
  const inner = text.slice(at + 1, end);
  return { value: quote === '"' ? unescaped(inner, false) : inner, end: end + 1 };
}

/** All that follows an open quote may belong to the value. */
function afterFault(text: string, at: number, fault: string): number {
  return fault === UNCLOSED ? text.length : endOfLine(text, at) + 1;
}

/** In double quotes and in `$'…'` a backslash protects what follows; in single quotes nothing does. */
function closingQuote(text: string, from: number, quote: string, escapes: boolean): number {
  for (let at = from; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === quote) return at;
    if (char === '\\' && escapes) at += 1;
  }
  return -1;
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '\\': '\\',
  '"': '"',
  "'": "'",
  $: '$',
  '`': '`',
};

/** Other backslashes stay as they are: a Windows path or a pattern may hold them. `single`: of `$'…'`. */
function unescaped(text: string, single: boolean): string {
  const known = single ? /\\([nrt\\"'])/g : /\\([nrt\\"$`])/g;
  return text.replace(known, (whole, char: string) => ESCAPES[char] ?? whole);
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end;
}
