/**
 * Takes a claim's parts out of a request head, so that what is left can be searched for misplaced placeholders, and
 * puts the new signature in. Nothing else of the head changes, the path's bytes least of all. Used by `resign.ts`.
 */
import { ALGORITHM } from './canonical.ts';
import type { Claim } from './claim.ts';
import { uriDecode, uriEncode } from './fields.ts';

const AUTHORIZATION = /\r\nauthorization:[^\r\n]*/i;
const TOKEN = /\r\nx-amz-security-token:[^\r\n]*/i;
const VACANT = '-';

/** @param head as `http1-write.ts` printed it, final empty line included */
export function vacate(head: string, claim: Claim): string {
  if (claim.carrier === 'header') {
    return setLine(setLine(head, AUTHORIZATION, `Authorization: ${ALGORITHM}`), TOKEN, tokenLine(VACANT));
  }
  return ['X-Amz-Credential', 'X-Amz-Signature', 'X-Amz-Security-Token'].reduce(
    (text, name) => setParameter(text, name, VACANT) ?? text,
    head,
  );
}

/** The head with that session token where the claim has its own; added where the claim has none. */
export function putToken(head: string, claim: Claim, token: string): string {
  if (claim.carrier === 'header') {
    if (TOKEN.test(head)) return setLine(head, TOKEN, tokenLine(token));
    return `${head.slice(0, -4)}\r\n${tokenLine(token)}\r\n\r\n`;
  }
  return (
    setParameter(head, 'X-Amz-Security-Token', token) ?? addParameter(head, 'X-Amz-Security-Token', token)
  );
}

/** Before the signature is made: for a presigned URL these are signed themselves. */
export function putCredential(head: string, credential: string, signedHeaders: string): string {
  const named = setParameter(head, 'X-Amz-Credential', credential) ?? head;
  return setParameter(named, 'X-Amz-SignedHeaders', signedHeaders) ?? named;
}

export function putSignature(
  head: string,
  claim: Claim,
  by: { readonly credential: string; readonly signedHeaders: string; readonly signature: string },
): string {
  const { credential, signedHeaders, signature } = by;
  if (claim.carrier === 'query') return setParameter(head, 'X-Amz-Signature', signature) ?? head;
  const line = `Authorization: ${ALGORITHM} Credential=${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
  return setLine(head, AUTHORIZATION, line);
}

function tokenLine(token: string): string {
  return `X-Amz-Security-Token: ${token}`;
}

function setLine(head: string, line: RegExp, text: string): string {
  return head.replace(line, () => `\r\n${text}`);
}

/** Null where the query has no parameter of that name. */
function setParameter(head: string, name: string, value: string): string | null {
  const { from, to } = targetOf(head);
  const target = head.slice(from, to);
  const mark = target.indexOf('?');
  if (mark === -1) return null;
  const pairs = target.slice(mark + 1).split('&');
  const at = pairs.findIndex((pair) => uriDecode(pair.split('=', 1)[0] ?? '') === name);
  if (at === -1) return null;
  const query = pairs.with(at, `${name}=${uriEncode(value)}`).join('&');
  return `${head.slice(0, from + mark + 1)}${query}${head.slice(to)}`;
}

/** Only for a target that has a query. */
function addParameter(head: string, name: string, value: string): string {
  const { to } = targetOf(head);
  return `${head.slice(0, to)}&${name}=${uriEncode(value)}${head.slice(to)}`;
}

/** Where the request-target stands in the head. */
export function targetOf(head: string): { readonly from: number; readonly to: number } {
  const from = head.indexOf(' ') + 1;
  return { from, to: head.indexOf(' ', from) };
}
