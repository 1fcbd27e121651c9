/** Runs the `tests:` sections of policy files: each request through the same walk as the live decision. */
import { canonicalAddress } from '../policy/address-text.ts';
import { type Explanation, explain } from '../policy/explain.ts';
import type { CompiledGroup, PolicySet, PolicyTest } from '../policy/model.ts';
import type { SourceTable } from '../policy/source-table.ts';
import { parseWrittenRequest } from './request-url.ts';

export type TestResult = {
  readonly group: string;
  readonly file: string;
  readonly line: number;
  readonly request: string;
  readonly ok: boolean;
  /** what differs from the expectation; empty when nothing does */
  readonly why: readonly string[];
};

/** All tests of all groups, in file order. */
export function runTests(set: PolicySet, sources: SourceTable): readonly TestResult[] {
  return [...set.groups.values()].flatMap((group) =>
    (group.tests ?? []).map((test) => {
      const why = differences({ set, sources, group, test });
      const { file, line } = test.at;
      return { group: group.name, file, line, request: test.request, ok: why.length === 0, why };
    }),
  );
}

type Ask = { set: PolicySet; sources: SourceTable; group: CompiledGroup; test: PolicyTest };

function differences({ set, sources, group, test }: Ask): readonly string[] {
  const request = parseWrittenRequest(test.request);
  if ('problem' in request) return [`the request cannot be read: ${request.problem}`];
  if (test.from !== undefined && canonicalAddress(test.from) === null) {
    return [`from: ${JSON.stringify(test.from)} is no IP address`];
  }
  const answer = explain(set, { group: group.name, ...request });
  const owner = test.from === undefined ? group.name : sources.lookup(test.from);
  const verdict = answer.verdict === 'would_deny' ? 'deny' : answer.verdict;
  return [
    differs('group of the client', group.name, owner ?? 'none'),
    differs('verdict', test.expect, verdict, words(answer)),
    test.reason === undefined ? null : differs('reason', test.reason, answer.reason ?? 'none'),
    test.treat === undefined ? null : differs('treat', test.treat, answer.treat ?? 'none'),
    test.rule === undefined ? null : differs('rule', test.rule, answer.rule?.text ?? 'none'),
    test.keys === undefined ? null : differs('keys', list(test.keys), list(answer.keys)),
  ].filter((line) => line !== null);
}

function differs(what: string, expected: string, got: string, why = ''): string | null {
  return expected === got ? null : `${what}: expected ${expected}, got ${got}${why}`;
}

function words({ reason, rule }: Explanation): string {
  const by = rule === null ? '' : ` by "${rule.text}" (${rule.file}:${rule.line})`;
  return reason === null ? by : ` (${reason})${by}`;
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'none' : [...names].sort().join(', ');
}
