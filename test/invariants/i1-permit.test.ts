/** I1: no dial without a Permit. One cast makes one; a look-alike does not compile; nothing else connects. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, expectTypeOf, it } from 'vitest';
import type { OpenTcp, UpstreamPool, Vet } from '../../src/base/upstream.ts';
import type { Dialer } from '../../src/dial/connect.ts';
import type { Pool } from '../../src/dial/pool.ts';
import type { Permit } from '../../src/flow/permit.ts';

const SRC = path.join(import.meta.dirname, '../../src');

const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, text: readFileSync(path.join(SRC, name), 'utf8') }));

/** Files whose code, comments left out, matches. */
function filesWith(pattern: RegExp): string[] {
  const code = (text: string): string => text.replace(/\/\*.*?\*\/|\/\/[^\n]*/gs, '');
  return sources
    .filter(({ text }) => pattern.test(code(text)))
    .map(({ name }) => name)
    .sort();
}

describe('I1: no dial without a Permit', () => {
  it('one cast in the whole source makes a Permit, and it stands in the gate', () => {
    expect(filesWith(/\bas\s+(unknown\s+as\s+)?Permit\b|<Permit>\s*[({]/)).toEqual(['gate/gate.ts']);
    const gate = sources.find(({ name }) => name === 'gate/gate.ts')?.text ?? '';
    expect(gate.match(/\bas Permit\b/g)).toHaveLength(1);
    expect(filesWith(/permitBrand/)).toEqual(['flow/permit.ts']);
  });

  it('nothing casts its way around the types', () => {
    expect(filesWith(/\bas any\b|\bas unknown as\b|\bas never\b/)).toEqual([]);
  });

  it('outgoing sockets are opened in the dial folder alone', () => {
    const opened = filesWith(
      /\b(net|tls)\.(connect|createConnection)\(|\bnew net\.Socket\(|^import \{[^}]*\b(request|get|Agent)\b[^}]*\} from 'node:https?'|^import [^{]*from 'node:(https?|dgram)'|\bhttp2\.connect\(|^import \{[^}]*\b(connect|createConnection)\b[^}]*\} from 'node:(net|tls|http2)'|createSocket\(|await fetch\(/m,
    );
    // `accept/dns.ts` binds a socket that only answers; `doctor` runs in a sandbox and tries what must not work there.
    // Commands ask the admin side of their own proxy.
    const commands = ['cli/admin-client.ts', 'cli/demo.ts', 'cli/doctor-outside.ts'];
    // `vault/unit.ts` is given a function of that name; `state/redis-line.ts` goes to the operator's own Redis alone.
    const known = ['accept/dns.ts', 'base/link.ts', 'vault/unit.ts', 'state/redis-line.ts', ...commands];
    const others = opened.filter((name) => !name.startsWith('dial/') && !known.includes(name));
    expect(others).toEqual([]);
    expect(opened.some((name) => name.startsWith('dial/'))).toBe(true);
  });

  it('every function that dials takes a Permit first', () => {
    expectTypeOf<Dialer['vet']>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<Dialer['vetNow']>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<Dialer['open']>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<Dialer['tcp']>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<Dialer['tls']>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<Pool['take']>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<Pool['open']>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<UpstreamPool['open']>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<OpenTcp>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<Vet>().parameter(0).toEqualTypeOf<Permit>();
    expectTypeOf<keyof Dialer>().toEqualTypeOf<'vet' | 'vetNow' | 'open' | 'tcp' | 'tls'>();
  });

  it('an object with all the fields of a Permit is none', () => {
    type LookAlike = { [K in keyof Permit as K extends string ? K : never]: Permit[K] };
    expectTypeOf<LookAlike>().not.toExtend<Permit>();
    const dial = (permit: Permit): string => permit.flow;
    const made = (lookAlike: LookAlike): string =>
      // @ts-expect-error the brand is missing: the compiler must refuse this, or the invariant is gone
      dial(lookAlike);
    expect(made).toBeTypeOf('function');
  });
});
