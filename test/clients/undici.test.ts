/** undici, as many agents use it: its ProxyAgent with the CA of the proxy, no environment at all. */

import { fetch, ProxyAgent } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const KEY = 'sk-undici-0123456789abcdefghijklmnop';

describe('undici through the proxy', () => {
  let upstream: Upstream;
  let world: World;
  let agent: ProxyAgent;
  let placeholder: string;

  beforeAll(async () => {
    upstream = await httpUpstream({ name: 'api.test' });
    const at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'file:key', hosts: [at] }]),
      },
      files: { key: KEY },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
    agent = new ProxyAgent({ uri: `http://127.0.0.1:${world.port}`, requestTls: { ca: world.caPem } });
    const env: unknown = await (await fetch(`http://127.0.0.1:${world.port}/env?format=json`)).json();
    placeholder = placeholderIn(Object.fromEntries(Object.entries(env ?? {})), 'API_KEY');
  });

  afterAll(async () => {
    await agent.close();
    await world.stop();
    await upstream.close();
  });

  it('gets an allowed answer, and its placeholder arrives as the key', async () => {
    const headers = { authorization: `Bearer ${placeholder}` };
    const url = `https://api.test:${upstream.port}/v1/x`;
    const answer = await fetch(url, { dispatcher: agent, method: 'POST', headers, body: 'four' });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe('POST /v1/x 4');
    expect(upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${KEY}`);
  });

  it('fails on a host that no rule allows', async () => {
    await expect(fetch('https://evil.test/', { dispatcher: agent })).rejects.toThrow('fetch failed');
  });
});
