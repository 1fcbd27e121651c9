/**
 * `GET https://host/path` on the proxy port, as clients ask that open no CONNECT (older axios): judged in full without a
 * CONNECT, forwarded over verified TLS, keys included.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  intercepted,
  placeholderIn,
  policy,
  profile,
  records,
  theRecord,
  tunnelled,
} from '../helpers/scene.ts';
import { askOnce, open } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';

describe('an https URL in absolute-form', () => {
  let world: World;
  let web: Upstream;
  let tunnel: Upstream;
  let forged: Upstream;
  let clear: Upstream;
  let key = '';
  const at = { web: '', open: '', sealed: '', forged: '', clear: '' };

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test' });
    tunnel = await httpUpstream({ name: 'open.test' });
    forged = await httpUpstream({ name: 'somebody-else.test' });
    clear = await httpUpstream();
    at.web = `api.test:${web.port}`;
    at.open = `open.test:${tunnel.port}`;
    at.sealed = `sealed.test:${tunnel.port}`;
    at.forged = `forged.test:${forged.port}`;
    at.clear = `clear.test:${clear.port}`;
    const names = ['api.test', 'open.test', 'sealed.test', 'forged.test', 'clear.test', 'default.test'];
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(
          [
            intercepted(at.web, 'paths: ["/v1/**"]'),
            tunnelled(at.open),
            tunnelled(at.sealed, 'tls: tunnel'),
            tunnelled(at.forged),
            tunnelled(at.clear),
            'allow: default.test, methods: [GET]',
          ],
          { sources: '127.0.0.1/32', more: 'profile: keys\n' },
        ),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at.web] }]),
      },
      hosts: Object.fromEntries(names.map((name) => [name, ['127.0.0.1']])),
      env: { REAL },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    key = placeholderIn(env.json(), 'API_KEY');
  });
  afterAll(async () => {
    await world.stop();
    for (const one of [web, tunnel, forged, clear]) await one.close();
  });

  const get = (url: string, host: string, more = '') =>
    askOnce(world.port, `GET ${url} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`);

  it('is sent on over TLS, with the placeholder swapped, in origin-form', async () => {
    const reply = await get(`https://${at.web}/v1/x?a=1`, at.web, `Authorization: Bearer ${key}\r\n`);
    expect(reply.status).toBe(200);
    expect(web.seen.at(-1)).toMatchObject({ url: '/v1/x?a=1', headers: { host: at.web } });
    expect(web.seen.at(-1)?.headers.authorization).toBe(`Bearer ${REAL}`);
    expect(reply.head + reply.body.toString()).not.toContain(REAL);
  });

  it('leaves a decision and an end of the request, and none of a CONNECT', async () => {
    await get(`https://${at.web}/v1/recorded`, at.web, `Authorization: Bearer ${key}\r\n`);
    const decision = await theRecord(world, { kind: 'decision', path: '/v1/recorded' });
    expect(decision).toMatchObject({
      stage: 'request',
      via: 'absolute-form',
      treat: 'intercept',
      verdict: 'allow',
      keys: ['API_KEY'],
    });
    expect(await records(world, { flow: decision['flow'] })).toHaveLength(2);
  });

  it('is judged in full', async () => {
    expect((await get(`https://${at.web}/v2/x`, at.web)).json()).toMatchObject({
      reason: 'path_not_allowed',
    });
    expect((await get('https://evil.test/', 'evil.test')).json()).toMatchObject({
      reason: 'host_not_allowed',
      host: 'evil.test:443',
    });
    expect((await get(`https://${at.web}/v1/../x`, at.web)).json()).toMatchObject({
      reason: 'ambiguous_path',
    });
    expect((await get('https://default.test/', 'default.test')).json()).toMatchObject({
      reason: 'address_not_allowed',
    });
  });

  it('means port 443 where none is written, in the Host field as well', async () => {
    for (const host of ['default.test', 'default.test:443']) {
      expect((await get('https://default.test/x', host)).json()).toMatchObject({ host: 'default.test:443' });
    }
    expect((await get('https://default.test/x', 'default.test:80')).json()).toMatchObject({
      reason: 'host_mismatch',
    });
  });

  it('reaches a host that is tunnelled otherwise', async () => {
    expect((await get(`https://${at.open}/t`, at.open)).body.toString()).toBe('GET /t 0');
  });

  it('is refused where a rule says `tls: tunnel`, in words that name the way', async () => {
    const before = tunnel.connections();
    const reply = await get(`https://${at.sealed}/t`, at.sealed);
    expect(reply.json()).toMatchObject({ status: 403, reason: 'rule_denied' });
    expect(String(reply.json()['detail'])).toContain('CONNECT');
    expect(tunnel.connections()).toBe(before);
  });

  it('goes nowhere without a verified certificate', async () => {
    for (const target of [at.forged, at.clear]) {
      const reply = await get(`https://${target}/`, target);
      expect(reply.json()).toMatchObject({ status: 502 });
    }
    expect(forged.seen).toHaveLength(0);
    expect(clear.seen).toHaveLength(0);
  });

  it('does not share an upstream connection with plain HTTP to the same port', async () => {
    const client = await open(world.port);
    const first = await client.ask(`GET http://${at.clear}/a HTTP/1.1\r\nHost: ${at.clear}\r\n\r\n`);
    expect(first.status).toBe(200);
    const second = await client.ask(`GET https://${at.clear}/b HTTP/1.1\r\nHost: ${at.clear}\r\n\r\n`);
    expect(second.status).toBe(502);
    expect(clear.seen.map(({ url }) => url)).toEqual(['/a']);
    client.destroy();
  });

  it('carries no key to a host that it is not bound to', async () => {
    const reply = await get(`https://${at.open}/t`, at.open, `Authorization: Bearer ${key}\r\n`);
    expect(reply.json()).toMatchObject({ reason: 'placeholder_wrong_host' });
  });
});
