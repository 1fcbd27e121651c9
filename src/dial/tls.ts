/**
 * The TLS client side towards upstreams: a handshake over a socket that `connect.ts` opened, verified
 * in full before anyone may write (a key leaves only inside a verified session). Chain by OpenSSL against
 * the given roots, name by X509_check_host / X509_check_ip: SAN only, no common name, `*` only as
 * a whole first label (RFC 9525). A resumed session shows no certificate, so its name cannot be checked
 * again: `connect.ts` offers a session only to the target it was verified for (CVE-2026-48934).
 */
import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import type { Authority } from '../flow/target.ts';
import { refuseTruncation } from './close-notify.ts';

export type HandshakeOutcome =
  | { readonly kind: 'verified'; readonly socket: TLSSocket }
  | { readonly kind: 'failed'; readonly why: 'timeout' | 'aborted' }
  /** `detail` is a sentence for the agent; `alpn`: the peer speaks none of the protocols offered */
  | { readonly kind: 'failed'; readonly why: 'tls'; readonly detail: string; readonly alpn: boolean };

export type HandshakeAsk = {
  readonly at: Authority;
  readonly context: SecureContext;
  /** offered by ALPN */
  readonly protocols: readonly string[];
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
  /** told by an earlier handshake with the same target; its name check counts for this one */
  readonly session?: Buffer | undefined;
  /** sessions to keep, told only once the peer is verified */
  readonly onSession?: ((session: Buffer) => void) | undefined;
};

const WRONG_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID';
/** RFC 7301 section 3.2: fatal no_application_protocol. */
const NO_PROTOCOL = 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL';
const UNTRUSTED = 'is not signed by a trusted authority';
const CERTIFICATE_FAULTS: ReadonlyMap<string, string> = new Map([
  ['CERT_HAS_EXPIRED', 'has expired'],
  ['CERT_NOT_YET_VALID', 'is not valid yet'],
  [WRONG_NAME, 'is for another name'],
  ['CERT_SIGNATURE_FAILURE', UNTRUSTED],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'is self-signed'],
  ['SELF_SIGNED_CERT_IN_CHAIN', UNTRUSTED],
  ['UNABLE_TO_GET_ISSUER_CERT', UNTRUSTED],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', UNTRUSTED],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', UNTRUSTED],
]);

/** Context for all upstreams; `ca` replaces the built-in roots, and an empty list trusts nobody. */
export function upstreamContext(ca: readonly string[]): SecureContext {
  return createSecureContext({ ca: [...ca], minVersion: 'TLSv1.2' });
}

/**
 * Takes over `raw` (destroyed on any failure) and does the handshake. Never rejects, never hands out
 * an unverified socket. The socket keeps an `error` listener for life.
 */
export function handshake(raw: Socket, ask: HandshakeAsk): Promise<HandshakeOutcome> {
  return new Promise((resolve) => {
    let over = false;
    let verified = false;
    let held: Buffer | undefined;
    const socket = connect({
      socket: raw,
      secureContext: ask.context,
      ALPNProtocols: [...ask.protocols],
      rejectUnauthorized: true,
      checkServerIdentity: (_name, peer) => identityError(new X509Certificate(peer.raw), ask.at),
      ...(ask.at.kind === 'name' ? { servername: ask.at.host } : {}),
      ...(ask.session === undefined ? {} : { session: ask.session }),
    });
    const finish = (outcome: HandshakeOutcome): void => {
      if (over) return;
      over = true;
      clearTimeout(limit);
      ask.signal?.removeEventListener('abort', leave);
      if (outcome.kind === 'failed') socket.destroy();
      resolve(outcome);
    };
    const leave = (): void => finish({ kind: 'failed', why: 'aborted' });
    const fail = (error?: NodeJS.ErrnoException): void =>
      finish({
        kind: 'failed',
        why: 'tls',
        detail: tlsDetail(error?.code, ask.at),
        alpn: error?.code === NO_PROTOCOL,
      });

    socket.on('error', fail);
    socket.once('close', () => fail());
    socket.on('session', (session: Buffer) => {
      // TLS 1.2 tells its session before the certificate is judged: it must not outlive a failure.
      if (verified) ask.onSession?.(session);
      else held = session;
    });
    socket.once('secureConnect', () => {
      // Held by rejectUnauthorized already; asked again because everything after this line trusts it.
      if (over || !socket.authorized) return fail(socket.authorizationError);
      verified = true;
      socket.disableRenegotiation();
      refuseTruncation(socket, raw);
      if (held !== undefined) ask.onSession?.(held);
      finish({ kind: 'verified', socket });
    });
    const limit = setTimeout(() => finish({ kind: 'failed', why: 'timeout' }), ask.limitMs);
    ask.signal?.addEventListener('abort', leave, { once: true });
    if (ask.signal?.aborted === true) leave();
  });
}

function identityError(peer: X509Certificate, at: Authority): Error | undefined {
  const same =
    at.kind === 'name'
      ? peer.checkHost(at.host, { subject: 'never', wildcards: true, partialWildcards: false })
      : peer.checkIP(at.host);
  if (same !== undefined) return undefined;
  return Object.assign(new Error('certificate is for another name'), { code: WRONG_NAME });
}

function tlsDetail(code: string | undefined, at: Authority): string {
  const what = CERTIFICATE_FAULTS.get(code ?? '');
  return what === undefined
    ? `The TLS handshake with ${at.host} failed.`
    : `The certificate of ${at.host} ${what}.`;
}
