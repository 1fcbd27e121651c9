/**
 * Words of strangers, made harmless to look at: what cannot be seen or turns the direction of writing is shown as its
 * code, and what is too long is cut, with more of it in the title. Names and reasons in words. No element is made here.
 */

const SHOWN_CHARS = 120;
const TITLE_CHARS = 2_000;
/** Controls, formatting (bidi marks, joiners, tags), lone surrogates, private use, odd blanks. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u00a0\u115f\u1160\u2000-\u200f\u3164\uffa0]/gu;

/** The same text with what cannot be seen as `\u{…}`; line ends stay where `lines` is true. */
export function visible(text, lines = false) {
  return String(text).replace(HIDDEN, (found) =>
    lines && found === '\n' ? found : `\\u{${found.codePointAt(0).toString(16)}}`,
  );
}

/** What is shown of a text, and the title that says the rest; null: all of it is shown. */
export function shortened(text, max = SHOWN_CHARS) {
  const whole = visible(String(text).slice(0, TITLE_CHARS + max));
  if (whole.length <= max && String(text).length <= TITLE_CHARS + max) return { shown: whole, title: null };
  const title = `${whole.slice(0, TITLE_CHARS)}${String(text).length > TITLE_CHARS ? ` … (${String(text).length} characters)` : ''}`;
  return { shown: `${whole.slice(0, max)}…`, title };
}

/** `host_not_allowed` -> `host not allowed`. */
export function words(code) {
  return String(code).replaceAll('_', ' ');
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytesText(count) {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Milliseconds as people say them: `45 s`, `3 min`, `2 h 5 min`. */
export function spanText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** `2026-11-22 17:21:04`, in the reader's time zone. */
export function momentText(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return visible(iso);
  const two = (value) => String(value).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Tells a record from every other one: several chains may have records of one number, and one beginning. */
export function keyOf({ kind, seq, at, request_id: request }) {
  return `${kind} ${seq} ${at} ${request ?? ''}`;
}
