import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { problemsOf } from '../../src/config/issues.ts';
import { parseWrittenRequest } from '../../src/config/request-url.ts';
import { readYaml } from '../../src/config/yaml-file.ts';
import { isHostPattern, parseHostPattern } from '../../src/policy/host-pattern.ts';
import { canonicalPath, parsePathPattern } from '../../src/policy/path-pattern.ts';
import { guardrailsSchema, jsonSchemaOf, policySchema } from '../../src/policy/schema.ts';
import { profileSchema } from '../../src/policy/schema-profile.ts';
import { isAuthority, parseAuthority } from '../../src/wire/authority.ts';
import { load } from '../unit/policy/policy-folder.ts';

const GOOD = `# yaml-language-server: $schema=./schema/policy.json
version: 1
group: ai-agents
mode: enforce
identify:
  sources: [172.25.0.0/16]
rules:
  - allow: [api.openai.com, "*.example.com:8443"]
    methods: [GET, POST]
    paths: [/v1/**]
  - approve: api.stripe.com
    wait: 5m
  - deny: "*"
    reason: Ask.
profile: openclaw
exclude: [EMAIL_API_KEY]
limits: { requests: 600/m, upload: 1GiB/d }
tests:
  - { request: "GET https://a.test", expect: deny, reason: host_not_allowed }
`;

/** A good file with pieces cut out, doubled or replaced: nearer to what people write than noise is. */
const damaged = fc
  .array(
    fc.record({
      from: fc.nat(GOOD.length),
      length: fc.nat(30),
      put: fc.oneof(
        fc.string({ unit: 'binary', maxLength: 6 }),
        fc.constantFrom(
          '- ',
          ': ',
          '\n',
          '*',
          '&a ',
          '*a',
          '!!x ',
          '? ',
          '|',
          '>',
          '{',
          '[',
          '"',
          '~',
          '__proto__: ',
          '<<: ',
          '\t',
        ),
      ),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((edits) =>
    edits.reduce(
      (text, { from, length, put }) => text.slice(0, from) + put + text.slice(from + length),
      GOOD,
    ),
  );

const schemas = { policy: policySchema, profile: profileSchema, guardrails: guardrailsSchema } as const;

describe('any text', () => {
  it('as a policy, profile or guardrails file gives a value or problems with places, and never throws', () => {
    const kinds = {
      policy: jsonSchemaOf('policy'),
      profile: jsonSchemaOf('profile'),
      guardrails: jsonSchemaOf('guardrails'),
    };
    fc.assert(
      fc.property(
        fc.oneof(damaged, fc.string({ unit: 'binary', maxLength: 80 })),
        fc.constantFrom('policy', 'profile', 'guardrails'),
        (text, kind) => {
          const yaml = readYaml('f.yaml', text);
          const parsed = 'value' in yaml ? schemas[kind].safeParse(yaml.value) : null;
          if (parsed?.success === true) return;
          const found = 'value' in yaml ? problemsOf(yaml, parsed?.error.issues ?? [], kinds[kind]) : yaml;
          expect(found.length).toBeGreaterThan(0);
          for (const { line, column, message, fix } of found) {
            expect(line).toBeGreaterThanOrEqual(1);
            expect(line).toBeLessThanOrEqual(text.split(/\r\n|\r|\n/).length + 1);
            expect(column).toBeGreaterThanOrEqual(1);
            expect(message).not.toBe('');
            expect(fix).not.toBe('');
          }
        },
      ),
      { numRuns: 600 },
    );
  });

  it('in the folder loads or is refused, and never throws', () => {
    fc.assert(
      fc.property(damaged, (text) => {
        expect(load({ 'g.yaml': text })).toHaveProperty('ok');
      }),
      { numRuns: 200 },
    );
  });

  it('survives nesting, aliases and size made to hurt', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghij'
      .split('')
      .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(',')}]`)
      .join('\n')}`;
    for (const text of [
      bomb,
      '['.repeat(50_000),
      '{a: '.repeat(20_000),
      `group: ${'x'.repeat(2_000_000)}`,
      '- '.repeat(30_000),
    ]) {
      expect(load({ 'g.yaml': text }).ok).toBe(false);
    }
  });

  it('as a host pattern is refused, or normalises to itself', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.string({ unit: fc.constantFrom(...'aB1.-_*:[]%/@ \u00fc'.split('')), maxLength: 16 }),
      fc.domain(),
      fc.ipV6(),
      fc.ipV4(),
    );
    fc.assert(
      fc.property(text, (one) => {
        const parsed = parseHostPattern(one);
        if (!isHostPattern(parsed)) {
          expect(parsed.fix).not.toBe('');
          return;
        }
        const again = parseHostPattern(parsed.text);
        expect(again).toEqual(parsed);
        if (parsed.kind !== 'exact') return;
        const at = parseAuthority(
          parsed.text.includes(':') && parsed.ports === null ? `[${parsed.text}]` : parsed.text,
          443,
        );
        // Whatever the policy can name, a request must be able to name, in the same spelling.
        if (isAuthority(at)) expect(at.host).toBe(parsed.host);
      }),
      { numRuns: 1000 },
    );
  });

  it('as a path never throws, and a canonical path has no dot segment and no empty one inside', () => {
    const path = fc
      .array(
        fc.constantFrom(
          '/',
          '.',
          '..',
          '%2e',
          '%2F',
          '%5c',
          '%',
          ';',
          'a',
          'B',
          '%41',
          '%00',
          '%25',
          '?',
          '\\',
          '*',
          '**',
        ),
      )
      .map((parts) => `/${parts.join('')}`);
    fc.assert(
      fc.property(fc.oneof(path, fc.string({ unit: 'binary', maxLength: 20 })), (text) => {
        parsePathPattern(text);
        const canonical = canonicalPath(text);
        if ('kind' in canonical) return;
        expect(canonical.segments.slice(0, -1)).not.toContain('');
        for (const segment of canonical.segments) {
          expect(segment.split('%2F').some((part) => /^\.\.?(;|$)/.test(part))).toBe(false);
          expect(segment).not.toMatch(/[\\\0/]/);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('as a written request never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.webUrl(), fc.string({ unit: 'binary', maxLength: 40 })), (text) => {
        expect(typeof parseWrittenRequest(text)).toBe('object');
        expect(typeof parseWrittenRequest(`CONNECT ${text}`)).toBe('object');
      }),
    );
  });
});
