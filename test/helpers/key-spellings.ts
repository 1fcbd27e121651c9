/** Every way in which a peer may spell a key and the scrubber knows it; of a placeholder of the same length alike. */
const each = (text: string, spell: (code: number, char: string) => string): string =>
  Array.from(Buffer.from(text, 'latin1'), (code) => spell(code, String.fromCharCode(code))).join('');
const hex = (code: number, digits = 2): string => code.toString(16).padStart(digits, '0');
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const percentAll = (text: string): string => each(text, (code) => `%${hex(code)}`);
const percentSome = (text: string): string =>
  each(text, (code, char) => (/[\w.~-]/.test(char) ? char : `%${hex(code).toUpperCase()}`));
const quoted = (text: string): string => JSON.stringify(text).slice(1, -1);
const lines = (text: string, width: number, end: string): string =>
  (text.match(new RegExp(`.{1,${width}}`, 'g')) ?? []).join(end);

export const SPELLINGS: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  percent: percentSome,
  'percent, every byte, lower case': percentAll,
  'percent, every byte, upper case': (text) => percentAll(text).toUpperCase(),
  'percent twice': (text) => percentSome(percentSome(text)),
  'percent twice, every byte': (text) => percentAll(text).replaceAll('%', '%25'),
  JSON: quoted,
  'JSON with solidus': (text) => quoted(text).replaceAll('/', '\\/'),
  'JSON, every byte': (text) => each(text, (code) => `\\u${hex(code, 4)}`),
  'JSON in JSON': (text) => quoted(quoted(text)),
  'JSON in JSON, every byte': (text) => each(text, (code) => `\\\\u${hex(code, 4)}`),
  'HTML, decimal': (text) => each(text, (code) => `&#${code};`),
  'HTML, hex': (text) => each(text, (code) => `&#x${hex(code)};`),
  'HTML, named': (text) =>
    text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;'),
  hex: (text) => bytes(text).toString('hex'),
  'hex, upper case': (text) => bytes(text).toString('hex').toUpperCase(),
  base64: (text) => bytes(text).toString('base64'),
  'base64, one byte before': (text) => bytes(`:${text}`).toString('base64'),
  'base64, two bytes around': (text) => bytes(`u:${text}@h`).toString('base64'),
  base64url: (text) => bytes(text).toString('base64url'),
  'base64 in percent': (text) => percentSome(bytes(`:${text}`).toString('base64')),
  'base64 in JSON': (text) => bytes(`u:${text}`).toString('base64').replaceAll('/', '\\/'),
  'base64 in lines': (text) =>
    lines(bytes(`one line before it, of 48 bytes or some more than. ${text}`).toString('base64'), 76, '\r\n'),
  'base64 in lines, in JSON': (text) =>
    lines(bytes(`a beginning of 30 or so bytes ${text} and an end`).toString('base64'), 64, '\\n'),
};
