/** `learn`, from the record to rules that do what was seen. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { DecisionEvent } from '../../src/audit/event.ts';
import { decision, heldClock, openTrail, record } from '../unit/audit/samples.ts';
import { type Installation, installation } from './main-harness.ts';

const GROUP = `version: 1
group: agents
mode: monitor
identify:
  sources: [172.25.0.0/16]
rules:
  - allow: api.example.com
    methods: [GET]
    paths: [/v1/models]
  - deny: named.example.com
  - deny: "*"
`;
const RAILS = 'version: 1\nrules:\n  - deny: pastebin.com\n';

describe('learn', () => {
  let home: Installation;

  beforeEach(() => {
    home = installation({ policies: { 'agents.yaml': GROUP, 'guardrails.yaml': RAILS } });
  });
  afterEach(() => home.remove());

  const writeAt = async (time: number, events: readonly Partial<DecisionEvent>[]): Promise<void> => {
    const trail = openTrail(join(home.dir, '.sallyport', 'audit'), { clock: heldClock(time) });
    for (const event of events) {
      const common = {
        group: 'agents',
        verdict: 'would_deny',
        reason: 'host_not_allowed',
        port: 443,
      } as const;
      await record(trail, decision({ ...common, ...event }));
    }
    await trail.close();
  };
  const write = (...events: Partial<DecisionEvent>[]): Promise<void> => writeAt(Date.now(), events);
  const connected = (host: string, more: Partial<DecisionEvent> = {}): Partial<DecisionEvent> => {
    return { stage: 'connect', host, treat: 'tunnel', method: null, path: null, ...more };
  };
  const asked = (method: string, path: string, more: Partial<DecisionEvent> = {}): Partial<DecisionEvent> => {
    return { stage: 'request', host: 'api.example.com', treat: 'intercept', method, path, ...more };
  };

  it('proposes the narrowest rules, and enforce mode with them allows what was seen and no more', async () => {
    await write(
      connected('cdn.example.com'),
      connected('cdn.example.com'),
      asked('POST', '/v1/chat?token=abc'),
      ...['a', 'b', 'c', 'd', 'e'].map((id) => asked('GET', `/v1/files/${id}`)),
    );
    const { status, out } = await home.run(['learn', '--group', 'agents']);
    expect(status).toBe(0);
    expect(out).toContain('before "deny *" (policies/agents.yaml:11)');
    const proposed: unknown = parse(out);
    expect(proposed).toEqual({
      rules: [
        { allow: 'api.example.com:443', methods: ['GET'], paths: ['/v1/files/*'] },
        { allow: 'api.example.com:443', methods: ['POST'], paths: ['/v1/chat'] },
        { allow: 'cdn.example.com:443' },
      ],
    });
    expect(out).not.toContain('abc');
    expect(out).toContain('cdn.example.com:443    # 2 calls, last ');

    const rules = out.slice(out.indexOf('rules:\n') + 'rules:\n'.length);
    const enforced = installation({
      policies: {
        'agents.yaml': GROUP.replace('mode: monitor', 'mode: enforce').replace(
          '  - deny: "*"\n',
          `${rules}  - deny: "*"\n`,
        ),
        'guardrails.yaml': RAILS,
      },
    });
    const verdict = async (...request: string[]): Promise<number> =>
      (await enforced.run(['explain', '--group', 'agents', ...request])).status;
    expect(await verdict('POST', 'https://api.example.com/v1/chat')).toBe(0);
    expect(await verdict('GET', 'https://api.example.com/v1/files/z')).toBe(0);
    expect(await verdict('CONNECT', 'cdn.example.com:443')).toBe(0);
    expect(await verdict('POST', 'https://api.example.com/v1/files/z')).toBe(1);
    expect(await verdict('http://cdn.example.com/')).toBe(1);
    enforced.remove();
  });

  it('never proposes what a guardrail, a rule that names it or the address guard refuses, and says so', async () => {
    await write(connected('pastebin.com'), connected('named.example.com'), connected('10.0.0.7'));
    const { status, out, err } = await home.run(['learn', '--group', 'agents', '--json']);
    expect(status).toBe(1);
    expect(err).toContain('nothing of the last 24h needs a rule');
    expect(JSON.parse(out)).toMatchObject({
      calls: 3,
      rules: [],
      left: [
        {
          host: 'pastebin.com',
          why: 'a guardrail refuses it: deny pastebin.com (policies/guardrails.yaml:3)',
        },
        {
          host: 'named.example.com',
          why: 'a rule of the group names it: deny named.example.com (policies/agents.yaml:10)',
        },
        { host: '10.0.0.7', why: 'it is not a public address: a rule for it needs `addresses`, by hand' },
      ],
    });
  });

  it('passes over what other groups did, what the policy allows by now and what is older', async () => {
    await writeAt(Date.now() - 25 * 3_600_000, [connected('old.example.com')]);
    await write(
      connected('cdn.example.com', { group: 'others' }),
      asked('GET', '/v1/models'),
      asked('POST', '/v1/chat', { verdict: 'allow', reason: null }),
    );
    const { out } = await home.run(['learn', '--group', 'agents', '--json']);
    expect(JSON.parse(out)).toMatchObject({ calls: 1, rules: [], left: [] });
    const longer = await home.run(['learn', '--group', 'agents', '--json', '--since', '2d']);
    expect(JSON.parse(longer.out)).toMatchObject({
      calls: 2,
      rules: [{ rule: { allow: 'old.example.com:443' } }],
    });
  });

  it('writes hostile words of a sandbox as nothing that a terminal or a parser acts on', async () => {
    await write(asked('GET', '/a\u001b[2J\n  - allow: "*"'), connected('cdn.example.com'));
    const { out } = await home.run(['learn', '--group', 'agents']);
    expect(parse(out)).toEqual({ rules: [{ allow: 'cdn.example.com:443' }] });
    expect(out).not.toContain('\u001b');
  });

  it.each([
    [['learn'], /--group/],
    [['learn', '--group', 'nobody'], /there is no group "nobody"/],
    [['learn', '--group', 'agents', '--since', 'ever'], /a duration/],
    [['learn', '--group', 'agents', '--distinct', '1'], /from 2 to 1000/],
  ])('refuses %j in words', async (args, words) => {
    const { status, err } = await home.run(args);
    expect(status).toBeGreaterThan(0);
    expect(err).toMatch(words);
  });
});
