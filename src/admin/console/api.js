/**
 * The admin API as this page asks it. The token is kept for this tab alone (`sessionStorage`) and travels in
 * `Authorization`, so that no other page can make the browser send it. An answer of 401 ends the session.
 */

const PLACE = 'sallyport.token';
const ASK_MS = 20_000;
const over = new Set();

export function storedToken() {
  return sessionStorage.getItem(PLACE);
}

export function keepToken(token) {
  sessionStorage.setItem(PLACE, token);
}

export function forgetToken() {
  sessionStorage.removeItem(PLACE);
}

/** Calls `told` with words when the token holds no more. Returns what undoes it. */
export function onSessionOver(told) {
  over.add(told);
  return () => over.delete(told);
}

export function endSession(why) {
  forgetToken();
  for (const told of over) told(why);
}

/** What the API said no with, in words that a person may read. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.detail ?? `The proxy answered ${status}.`);
    this.status = status;
    this.code = body?.error ?? null;
    this.body = body;
  }
}

/** The JSON of an answer. Throws Refused, or an Error where nobody answered in time. */
export async function ask(method, path, body) {
  const token = storedToken();
  const headers = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(`api/v1/${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(ASK_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Error('The proxy does not answer. Is it running, and is the way to it open?');
  }
  const said = await answer.json().catch(() => null);
  // The token of this question, not of one that came after it.
  if (answer.status === 401 && token === storedToken())
    endSession('Your token was revoked, or is not known any more.');
  if (!answer.ok) throw new Refused(answer.status, said);
  return said;
}

/** `{ group: 'a', host: '' }` -> `?group=a`. */
export function queryOf(fields) {
  const given = Object.entries(fields).filter(
    ([, value]) => value !== undefined && value !== null && value !== '',
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}
