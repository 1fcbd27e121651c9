/**
 * What a sandbox may ask the proxy itself (contract section 6): origin-form requests on the proxy's port,
 * judged by the same identity as everything else. Pure: called by the HTTP front once per such request, which
 * writes the answer (without its body for HEAD) or the refusal.
 */
import type { Snapshot } from '../config/snapshot.ts';
import type { Credential, Identity } from '../flow/identity.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { CompiledGroup } from '../policy/model.ts';
import { doctorScript } from './doctor-script.ts';
import { ENV_FORMATS, printEnvironment } from './environment-formats.ts';
import { installScript } from './install-script.ts';
import { PRELOAD } from './kit-files.ts';

export type SelfAsk = {
  readonly method: string;
  /** origin-form, with its query */
  readonly path: string;
  readonly identity: Identity | Denied;
  readonly snapshot: Snapshot;
  /** `http://host:port` as the client reached the proxy; the host is validated by the caller */
  readonly proxyUrl: string;
  readonly credential: Credential;
  /** the identity's keys: variable and placeholder */
  readonly bindings: readonly { readonly env: string; readonly placeholder: string }[];
  readonly caPem: string;
  readonly bundlePem: string;
};

export type SelfAnswer = { readonly status: 200; readonly type: string; readonly body: string };

const PATHS = [
  '/ca.pem',
  '/bundle.pem',
  '/env',
  '/install.sh',
  '/doctor.sh',
  '/preload.cjs',
  '/whoami',
  '/healthz',
] as const;
const TEXT = 'text/plain; charset=utf-8';
const SCRIPT = 'text/javascript; charset=utf-8';
const SHELL = 'text/x-shellscript; charset=utf-8';
const PEM = 'application/x-pem-file';

/**
 * The answer, or a refusal: `method_refused`, `bad_request` (no such path, bad query), `auth_*` where the
 * client is not identified. `/healthz` alone needs no identity.
 */
export function answerSelf(ask: SelfAsk): SelfAnswer | Denied {
  const [pathname = '', ...rest] = ask.path.split('?');
  const path = PATHS.find((one) => one === pathname);
  if (path === undefined) return unknownPath();
  if (ask.method !== 'GET' && ask.method !== 'HEAD') {
    return { ...denied('method_refused', `${path} answers GET and HEAD only.`), allow: 'GET, HEAD' };
  }
  if (path === '/healthz') return { status: 200, type: TEXT, body: 'ok\n' };
  const { identity } = ask;
  if ('reason' in identity) return identity;
  const group = ask.snapshot.set.groups.get(identity.group);
  // The caller identified against this snapshot; were it ever another, a group that is gone gets nothing.
  if (group === undefined) return denied('auth_invalid');
  switch (path) {
    case '/ca.pem':
      return { status: 200, type: PEM, body: ask.caPem };
    case '/bundle.pem':
      return { status: 200, type: PEM, body: ask.bundlePem };
    case '/install.sh':
      return { status: 200, type: SHELL, body: installScript({ ...ask, identity }) };
    case '/doctor.sh':
      return { status: 200, type: SHELL, body: doctorScript({ ...ask, identity }) };
    case '/preload.cjs':
      return { status: 200, type: SCRIPT, body: PRELOAD };
    case '/whoami':
      return whoami(ask.snapshot, identity, group);
    case '/env':
      return environment(ask, identity, rest.join('?'));
  }
}

function unknownPath(): Denied {
  return denied(
    'bad_request',
    `The proxy itself answers ${PATHS.join(', ')}. To reach another host, use this address as a proxy: ` +
      'CONNECT host:443, or GET http://host/path.',
  );
}

function whoami(snapshot: Snapshot, identity: Identity, group: CompiledGroup): SelfAnswer {
  const answer = {
    group: group.name,
    identity: identity.id,
    keys: { usable: group.secrets.length, total: group.secretTotal },
    mode: group.mode,
    policy: snapshot.set.hash,
  };
  return { status: 200, type: 'application/json', body: `${JSON.stringify(answer)}\n` };
}

function environment(ask: SelfAsk, identity: Identity, query: string): SelfAnswer | Denied {
  const wanted = /^(?:format=([a-z0-9]+))?$/.exec(query);
  const format = ENV_FORMATS.find((one) => one === (wanted?.[1] ?? 'sh'));
  if (wanted === null || format === undefined) {
    return denied('bad_request', `/env takes ?format= with one of ${ENV_FORMATS.join(', ')}.`);
  }
  return { status: 200, ...printEnvironment(format, { ...ask, identity }) };
}
