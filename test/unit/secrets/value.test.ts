import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { SecretValue } from '../../../src/secrets/value.ts';

const value = new SecretValue('vault:openai', Buffer.from('sk-real-value'));

describe('a secret value', () => {
  it.each([
    ['a string', () => `key: ${String(value)}`],
    ['JSON', () => JSON.stringify({ value })],
    ['inspect', () => inspect(value, { showHidden: true, depth: 9 })],
    ['inspect of what holds it', () => inspect({ deep: { value } }, { depth: 9 })],
    ['its keys', () => JSON.stringify(Object.getOwnPropertyNames(value))],
  ])('does not show itself as %s', (_as, print) => {
    expect(print()).not.toContain('sk-real');
  });

  it('prints its name', () => {
    expect(String(value)).toBe('[secret vault:openai]');
  });

  it('keeps a copy of the bytes it was given', () => {
    const bytes = Buffer.from('abc');
    const held = new SecretValue('x', bytes);
    bytes.fill(0);
    expect(held.expose().toString()).toBe('abc');
  });

  it('knows an equal value from another', () => {
    expect(value.equals(new SecretValue('other name', Buffer.from('sk-real-value')))).toBe(true);
    expect(value.equals(new SecretValue('x', Buffer.from('sk-real-valuf')))).toBe(false);
    expect(value.equals(new SecretValue('x', Buffer.from('sk-real-valu')))).toBe(false);
  });

  it('is all zeros after it was wiped', () => {
    const gone = new SecretValue('x', Buffer.from('abc'));
    gone.zero();
    expect(gone.expose()).toEqual(Buffer.alloc(3));
  });
});
