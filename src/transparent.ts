/**
 * Opens the listeners for clients that know of no proxy, as far as the settings ask for them (contract section 2,
 * `transparent`): TLS by SNI, plain HTTP by Host, and the name server that leads to both. `lifecycle.ts` calls it.
 */
import { startDns } from './accept/dns.ts';
import { createAcceptor, listen } from './accept/listener.ts';
import { beginTransparentHttp, beginTransparentTls, TLS_ANSWERS } from './accept/transparent.ts';
import { HTTP_ANSWERS } from './base/answer.ts';
import type { Endpoint } from './config/settings.ts';
import type { Front } from './front.ts';
import { decideName } from './policy/names.ts';
import type { Parts } from './proxy.ts';

export type Transparent = {
  /** where it listens: real ports where 0 was asked for */
  readonly tls: Endpoint | null;
  readonly http: Endpoint | null;
  readonly dns: Endpoint | null;
  /** stops accepting; what is open stays. Safe to call twice. */
  close(): Promise<void>;
};

/** Rejects when an address cannot be had; what was opened by then is closed again. */
export async function openTransparent(parts: Parts, front: Front): Promise<Transparent> {
  const { tls, http, dns } = parts.options.settings.transparent;
  const shared = parts.options.worker !== undefined;
  const deps = front.transparent;
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const stop of closing.splice(0)) await stop();
  };
  const accept = async (
    at: Endpoint | null,
    server: ReturnType<typeof createAcceptor>,
  ): Promise<Endpoint | null> => {
    if (at === null) return null;
    server.on('error', deps.onError);
    const { address: host, port } = await listen(server, at, shared);
    closing.push(async () => void server.close());
    return { host, port };
  };
  try {
    const open = {
      tls: await accept(
        tls,
        createAcceptor(deps, TLS_ANSWERS, (link, flow) => beginTransparentTls(deps, link, flow)),
      ),
      http: await accept(
        http,
        createAcceptor(deps, HTTP_ANSWERS, (link, flow) => beginTransparentHttp(deps, link, flow)),
      ),
      dns: dns === null ? null : await openDns(parts, front, { at: { ...dns, shared }, closing }),
    };
    return { ...open, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openDns(
  parts: Parts,
  front: Front,
  of: { at: Endpoint & { shared: boolean }; closing: (() => Promise<void>)[] },
): Promise<Endpoint> {
  const { address } = parts.options.settings.transparent;
  if (address === null) throw new Error('transparent.dns needs transparent.address, what it is to answer');
  const server = await startDns(
    {
      ...front.transparent,
      address,
      decideName: (snapshot, group, at) =>
        parts.lockdown.denial(group) ?? decideName(snapshot.set, group, at),
      onAnswer: (outcome) => parts.metrics.dnsAnswer(outcome),
    },
    of.at,
  );
  of.closing.push(() => server.close());
  return { host: server.host, port: server.port };
}
