/** Java where no address tells who it is: it sends its token once a 407 asks for one, as `/env` allows it to. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { intercepted, policy, records } from '../helpers/scene.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, upstreamAuthority, type World } from '../helpers/world.ts';
import { describeClient } from './client.ts';
import { GET_CLIENTS } from './get-clients.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

const JAVA = GET_CLIENTS.find(({ name }) => name === 'Java HttpClient');
if (JAVA === undefined) throw new Error('no Java in the table');

describeClient(JAVA, 'Java with a token', () => {
  let web: Upstream;
  let world: World;
  let sandbox: Sandbox;

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test' });
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(`api.test:${web.port}`)], { sources: '' }) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
    const { token } = world.proxy.parts.tokens.create({ group: 'agents' });
    sandbox = await makeSandbox(world, { token, roots: [upstreamAuthority().certPem] });
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  it('is asked once, and then known on each connection', async () => {
    const { record, token } = world.proxy.parts.tokens.create({ group: 'agents' });
    const ran = await sandbox.run(
      `${JAVA.prepare}\nexport PROXY_TOKEN='${token}'\n${JAVA.get(`https://api.test:${web.port}/a`, `https://api.test:${web.port}/b`)}`,
      { token, limitMs: 60_000 },
    );
    expect(ran.status, ran.stderr).toBe(0);
    expect(web.seen.map(({ url }) => url)).toEqual(['/a', '/b']);
    const connects = await records(world, { kind: 'decision', stage: 'connect' });
    expect(connects.map(({ reason }) => reason)).toEqual(['auth_required', null]);
    expect(connects.at(-1)?.['identity']).toBe(record.id);
  });
});
