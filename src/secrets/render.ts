/** A real key as it must be written in one place of a request. Called by `edits.ts`, `part-swap.ts` and `sigv4/`. */
import { escapeJson, escapePercent, spell } from './escapes.ts';
import type { Spot } from './head.ts';
import type { SecretValue } from './value.ts';

/** Visible ASCII and the space: what a header field may hold without doubt (RFC 9110 section 5.5). */
const HEADER_TEXT = /^[\x20-\x7e]+$/;
/** RFC 7617 forbids control characters in user-id and password; other bytes are UTF-8 by practice. */
const NO_CONTROLS = /^[^\x00-\x1f\x7f]+$/;
/** RFC 3986: what a path segment may hold as it is (the colon of a bot token stays one). */
const NOT_IN_PATH = /[^A-Za-z0-9\-._~!$&'()*+,;=:@]/g;
/** In a query `&`, `=` and `+` mean something to the reader, so only unreserved characters stay. */
const NOT_IN_QUERY = /[^A-Za-z0-9\-._~]/g;
/** What means itself inside a JSON string and outside of one: whoever reads the message reads the key. */
const MESSAGE_TEXT = /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/;

/** Latin-1 text, or `null` where the value cannot stand in that place. */
export function renderValue(value: SecretValue, spot: Spot): string | null {
  const text = value.expose().toString('latin1');
  switch (spot.kind) {
    case 'header':
      return HEADER_TEXT.test(text) ? text : null;
    case 'basic':
      return NO_CONTROLS.test(text) ? text : null;
    case 'path':
      // A dot segment would climb out of the path that the rules judged.
      return text === '' || text === '.' || text === '..' ? null : text.replace(NOT_IN_PATH, percent);
    case 'query':
      return text === '' ? null : text.replace(NOT_IN_QUERY, percent);
    case 'websocket':
      if (!MESSAGE_TEXT.test(text)) return null;
      return spot.encoded ? text.replace(NOT_IN_QUERY, percent) : text;
    case 'body':
      return renderInBody(text, spot);
    case 'none':
      return null;
  }
}

function renderInBody(text: string, spot: Extract<Spot, { kind: 'body' }>): string | null {
  if (text === '') return null;
  switch (spot.format) {
    case 'json':
      return spot.spelling === 'percent' ? escapePercent(text) : escapeJson(text);
    case 'form':
      // A field of a form may be JSON.
      return escapePercent(spot.spelling === 'json' ? escapeJson(text) : text);
    case 'text':
      return spell(text, spot.spelling);
  }
}

function percent(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}
