/** Wrong tokens: each counted, few recorded, however many addresses they come from. */
import { expect, it } from 'vitest';
import { MAX_RECORDED, noteStrangers, type Told } from '../../../src/admin/strangers.ts';
import type { OperatorEvent } from '../../../src/audit/event.ts';

function taker() {
  const clock = { at: 0, now: () => 1_000, mono: () => clock.at };
  const records: OperatorEvent[] = [];
  const counted: Told[] = [];
  const note = noteStrangers({
    clock,
    record: (event) => void records.push(event),
    onStranger: (told) => void counted.push(told),
  });
  return { clock, records, counted, note };
}

it('of one address are recorded when they begin and when they are sent away, and again a minute later', () => {
  const { clock, records, counted, note } = taker();
  for (let n = 0; n < 50; n += 1) note('10.0.0.1', n < 10 ? 'token_invalid' : 'too_many_failures');
  expect(records.map(({ why }) => why)).toEqual(['token_invalid', 'too_many_failures']);
  expect(records[0]).toMatchObject({ action: 'login', client: '10.0.0.1', outcome: 'refused' });
  expect(counted).toHaveLength(50);
  clock.at = 60_001;
  note('10.0.0.1', 'token_invalid');
  expect(records).toHaveLength(3);
});

it('of many addresses are recorded up to a number a minute, and the last record says so', () => {
  const { records, counted, note } = taker();
  for (let n = 0; n < 5_000; n += 1) note(`10.0.${n >> 8}.${n & 255}`, 'token_invalid');
  expect(records).toHaveLength(MAX_RECORDED);
  expect(records.at(-1)?.why).toContain('others of this minute are counted alone');
  expect(counted).toHaveLength(5_000);
});
