/** The people who may use the admin side of several replicas: let in, revoked and recorded at all, their codes good once. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Secret, TOTP, URI } from 'otpauth';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { OperatorEvent } from '../../src/audit/event.ts';
import { systemClock } from '../../src/base/clock.ts';
import { type OperatorStore, openOperators } from '../../src/operators/store.ts';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer } from '../helpers/redis.ts';
import { type Machine, type MachineOptions, machines, newKey, SOON_MS } from '../helpers/replicas.ts';
import { eventually } from '../helpers/world.ts';

const KEY = newKey();

describeWith(['redis-server', 'redis-cli'], 'operators of several replicas', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await redisServer();
  });
  afterAll(() => redis.remove());
  beforeEach(() => void redis.cli('FLUSHALL'));

  const common = (): MachineOptions => ({ port: redis.port, key: KEY });
  const operators = (of: Machine): OperatorStore =>
    openOperators({ dir: of.dir, clock: systemClock, watch: true, claim: of.replicas.claimCode });

  const told = (of: Machine, action: string): Promise<OperatorEvent> =>
    eventually(() => of.taken.find((one) => one.action === action), SOON_MS);
  /** Ann with a second factor that both know; what makes her codes. */
  const enrolled = async (here: OperatorStore, there: OperatorStore): Promise<TOTP> => {
    here.add('ann', 'approver');
    const app = URI.parse(here.enrol('ann'));
    if (!(app instanceof TOTP)) throw new Error('not by time');
    await eventually(() => there.list().some(({ totp }) => totp), SOON_MS);
    return app;
  };
  const withTwo = async (
    work: (here: OperatorStore, there: OperatorStore, a: Machine, b: Machine) => Promise<void>,
  ): Promise<void> => {
    const [a, b] = await machines(2, common());
    const [here, there] = [operators(a), operators(b)];
    try {
      await work(here, there, a, b);
    } finally {
      here.close();
      there.close();
    }
  };

  it('get in at each, and are out at each once they are revoked at one', async () => {
    await withTwo(async (here, there) => {
      const token = here.add('ann', 'approver');
      await eventually(() => there.verify(token)?.role === 'approver', SOON_MS);
      there.revoke('ann');
      await eventually(() => here.verify(token) === null, SOON_MS);
      // The name may be given again, and the old token stays out.
      const next = here.add('ann', 'viewer');
      await eventually(() => there.verify(next)?.role === 'viewer', SOON_MS);
      expect([here.verify(token), there.verify(token)]).toEqual([null, null]);
    });
  });

  it('have one second factor, whose codes are good once', async () => {
    await withTwo(async (here, there, _a, b) => {
      const app = await enrolled(here, there);
      const code = app.generate();
      expect(await here.verifyCode('ann', code)).toBe('right');
      const used = (): string => readFileSync(path.join(b.dir, 'operators.json'), 'utf8');
      await eventually(() => !used().includes('"used": 0'), SOON_MS);
      expect(await there.verifyCode('ann', code)).toBe('wrong');
      expect(redis.cli('HVALS', 'sallyport:operators')).not.toContain(
        Secret.fromBase32(app.secret.base32).base32,
      );
    });
  });

  it('stay out whatever another replica did with them while Redis was away, and when it comes back empty', async () => {
    await withTwo(async (here, there) => {
      const token = here.add('ann', 'admin');
      await eventually(() => there.verify(token), SOON_MS);
      await redis.kill();
      here.revoke('ann');
      there.enrol('ann');
      there.enrol('ann');
      await redis.start();
      await eventually(() => there.verify(token) === null, SOON_MS);
      expect(there.list()).toMatchObject([{ name: 'ann', totp: false }]);
      expect(here.verify(token)).toBeNull();
    });
  });

  it('stand in the record of the other replica with who let them in, gave them a second factor and revoked them', async () => {
    await withTwo(async (here, there, a, b) => {
      here.add('ann', 'approver', 'bob');
      const mine = { subject: 'ann', origin: 'replica', outcome: 'done' };
      expect(await told(b, 'operator.add')).toMatchObject({
        ...mine,
        operator: 'bob',
        why: 'role approver',
        replica: 'one',
      });
      here.enrol('ann', 'carol');
      expect(await told(b, 'operator.totp')).toMatchObject({ ...mine, operator: 'carol', replica: 'one' });
      there.revoke('ann', 'cli:root');
      expect(await told(a, 'operator.revoke')).toMatchObject({
        ...mine,
        operator: 'cli:root',
        replica: 'two',
      });
      expect([a, b].map(({ taken }) => taken.length)).toEqual([1, 2]);
    });
  });

  it('have a code taken at one replica alone when it comes to both at once', async () => {
    await withTwo(async (here, there) => {
      const app = await enrolled(here, there);
      const code = app.generate();
      const verdicts = await Promise.all([here.verifyCode('ann', code), there.verifyCode('ann', code)]);
      expect(verdicts.sort()).toEqual(['right', 'wrong']);
    });
  });

  it('are not taken at their word by a code while Redis is away, and by the next one again when it is back', async () => {
    await withTwo(async (here, there, a) => {
      const app = await enrolled(here, there);
      const now = Date.now();
      await redis.kill();
      try {
        await eventually(() => !a.replicas.view().connected, SOON_MS);
        expect(await here.verifyCode('ann', app.generate({ timestamp: now }))).toBe('unshared');
      } finally {
        await redis.start();
      }
      await eventually(() => a.replicas.view().connected, SOON_MS);
      expect(await here.verifyCode('ann', app.generate({ timestamp: now }))).toBe('wrong');
      expect(await here.verifyCode('ann', app.generate({ timestamp: now + 30_000 }))).toBe('right');
    });
  });

  it('are not let in by a code that was right when they were revoked', async () => {
    await withTwo(async (here, there, a) => {
      const app = await enrolled(here, there);
      redis.pause();
      const verdict = here.verifyCode('ann', app.generate());
      here.revoke('ann');
      redis.goOn();
      expect(await verdict).toBe('wrong');
      expect(here.list()).toMatchObject([{ name: 'ann', totp: false }]);
      expect(a.replicas.view().seen).toHaveLength(2);
    });
  });
});
