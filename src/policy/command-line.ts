/**
 * The line of a `command:` source as a list of words. There is no shell: a small part of its quoting is read, and
 * whatever a shell would do more with is a mistake that is told when the policy loads, because a line that
 * means one thing here and another at a prompt is worse than none. Pure; used by `compile-profile.ts` and `vault/`.
 */

/** Longest line, characters. */
const MAX_LINE = 8_192;
/** Means something to a shell when it stands outside quotes. */
const UNQUOTED = /[$`\\;|&<>()*?[\]]/;
/** The same inside double quotes, where `\"` and `\\` alone are escapes. */
const IN_DOUBLE = /[$`]/;
const AT_START = /[~#]/;

type Split = { readonly words: readonly string[] } | { readonly problem: string };

/**
 * Words stand between blanks. 'single quotes' keep all as it is; "double quotes" know `\"` and `\\`; quoted and
 * unquoted parts that touch are one word. `problem` says what is wrong and quotes no more than one character.
 */
export function splitCommand(line: string): Split {
  if (line.length > MAX_LINE) return { problem: `the command is longer than ${MAX_LINE} characters` };
  if (/[\0\r\n]/.test(line)) return { problem: 'a command is one line' };
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (isBlank(line.charAt(at))) at += 1;
    if (at >= line.length) break;
    const read = readWord(line, at);
    if ('problem' in read) return read;
    words.push(read.word);
    at = read.next;
  }
  return words[0] === undefined || words[0] === '' ? { problem: 'the command names no program' } : { words };
}

type Part = { readonly word: string; readonly next: number } | { readonly problem: string };

function readWord(line: string, start: number): Part {
  let word = '';
  let at = start;
  while (at < line.length && !isBlank(line.charAt(at))) {
    const char = line.charAt(at);
    const part =
      char === "'" ? readSingle(line, at) : char === '"' ? readDouble(line, at) : readPlain(line, at, start);
    if ('problem' in part) return part;
    word += part.word;
    at = part.next;
  }
  return { word, next: at };
}

function readPlain(line: string, at: number, start: number): Part {
  const char = line.charAt(at);
  if (UNQUOTED.test(char) || (at === start && AT_START.test(char))) {
    return { problem: `no shell reads the command: put ${char} into 'single quotes'` };
  }
  return { word: char, next: at + 1 };
}

function readSingle(line: string, at: number): Part {
  const end = line.indexOf("'", at + 1);
  if (end === -1) return { problem: 'a single quote is not closed' };
  return { word: line.slice(at + 1, end), next: end + 1 };
}

function readDouble(line: string, open: number): Part {
  let word = '';
  for (let at = open + 1; at < line.length; at += 1) {
    const char = line.charAt(at);
    if (char === '"') return { word, next: at + 1 };
    if (IN_DOUBLE.test(char)) return { problem: `nothing is put in for ${char}: use 'single quotes'` };
    if (char !== '\\') {
      word += char;
      continue;
    }
    at += 1;
    const escaped = line.charAt(at);
    if (escaped !== '"' && escaped !== '\\') {
      return { problem: 'in double quotes a backslash stands before " or \\ alone' };
    }
    word += escaped;
  }
  return { problem: 'a double quote is not closed' };
}

function isBlank(char: string): boolean {
  return char === ' ' || char === '\t';
}
