/** Text as one place of a message must write it. Used by `render.ts` for requests and `scrub.ts` for responses; all text is latin-1. */
import type { Spelling } from './spellings.ts';

/** RFC 8259 section 7: what cannot stand in a string as it is. */
const NOT_IN_STRING = /["\\\x00-\x1f]/g;
/** RFC 3986 section 2.3: all but these mean something else somewhere. */
const RESERVED = /[^A-Za-z0-9\-._~]/g;
/** What HTML would not read as text, in an attribute either. */
const NOT_IN_HTML = /[&<>"'`=]/g;
const hex = (char: string, digits: number): string => char.charCodeAt(0).toString(16).padStart(digits, '0');

export function escapeJson(text: string): string {
  return text.replace(NOT_IN_STRING, (char) =>
    char === '"' || char === '\\' ? `\\${char}` : `\\u${hex(char, 4)}`,
  );
}

export function escapePercent(text: string): string {
  return text.replace(RESERVED, (char) => `%${hex(char, 2).toUpperCase()}`);
}

export function spell(text: string, spelling: Spelling): string {
  switch (spelling) {
    case 'plain':
    case 'folded':
      return text;
    case 'percent':
      return escapePercent(text);
    case 'json':
      return escapeJson(text);
    case 'percent2':
      return escapePercent(escapePercent(text));
    case 'json2':
      return escapeJson(escapeJson(text));
    case 'html':
      return text.replace(NOT_IN_HTML, (char) => `&#${char.charCodeAt(0)};`);
  }
}
