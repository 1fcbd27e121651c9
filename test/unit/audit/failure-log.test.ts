import { expect, it, vi } from 'vitest';
import { AuditError } from '../../../src/audit/audit-error.ts';
import { tellFailures } from '../../../src/audit/failure-log.ts';

it('a disk that refuses thousands of records is told of in a few lines; each is counted, and tampering is always told', () => {
  const error = vi.fn();
  const count = vi.fn();
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error };
  const tell = tellFailures({ log, count, clock: { now: () => 0, mono: () => 0 } });
  for (let n = 0; n < 5_000; n += 1) tell(new Error('ENOSPC'));
  tell(new AuditError('AUDIT_TAMPERED', 'a.jsonl: it was removed'));
  expect(count).toHaveBeenCalledTimes(5_001);
  expect(error).toHaveBeenCalledTimes(21);
  expect(error).toHaveBeenLastCalledWith({ error: 'a.jsonl: it was removed' }, expect.any(String));
});
