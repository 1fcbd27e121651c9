import { describe, expect, it } from 'vitest';
import { isHostPattern, matchesHost, parseHostPattern } from '../../../src/policy/host-pattern.ts';
import { at, containing } from './policy-folder.ts';

function matches(pattern: string, target: string): boolean {
  const parsed = parseHostPattern(pattern);
  if (!isHostPattern(parsed)) throw new Error(parsed.message);
  return matchesHost(parsed, at(target));
}

describe('host patterns', () => {
  it.each([
    ['api.example.com', 'api.example.com'],
    ['API.Example.COM', 'api.example.com'],
    ['api.example.com.', 'api.example.com'],
    ['*.Example.com', '*.example.com'],
    ['api.example.com:8443', 'api.example.com:8443'],
    ['8.8.8.8', '8.8.8.8'],
    ['8.8.8.8:853', '8.8.8.8:853'],
    ['2001:4860:4860::8888', '2001:4860:4860::8888'],
    ['[2001:4860:4860::8888]:8443', '[2001:4860:4860::8888]:8443'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['foo_bar.example', 'foo_bar.example'],
    ['localhost', 'localhost'],
    ['*', '*'],
    ['*:8443', '*:8443'],
  ])('%s is read as %s', (text, normal) => {
    expect(parseHostPattern(text)).toMatchObject({ text: normal });
  });

  it.each([
    ['', 'name a host, or remove the entry'],
    ['  ', 'name a host, or remove the entry'],
    ['api example.com', 'write "apiexample.com"'],
    ['https://api.example.com/v1', 'write only the host: "api.example.com"'],
    ['user@api.example.com', 'write only the host: "api.example.com"'],
    ['*.com', 'name the domain: "*.example.com"'],
    ['*.co.uk', 'name the domain: "*.example.co.uk"'],
    ['**.example.com', 'write "*.example.com"'],
    ['api*.example.com', 'write "*.example.com"'],
    ['.example.com', 'write "*.example.com"'],
    ['a.*.example.com', 'write an exact name or "*.rest"'],
    ['api..example.com', 'write single dots between labels'],
    ['-api.example.com', 'use letters, digits, hyphens inside and underscores'],
    ['127.1', 'write "127.0.0.1"'],
    ['0x7f000001', 'write "127.0.0.1"'],
    ['010.0.0.1', 'write four decimal numbers, without leading zeros'],
    ['1.2.3.4.5', 'write four decimal numbers, without leading zeros'],
    ['2001:4860:4860:0::8888', 'write "2001:4860:4860::8888"'],
    ['2001:DB8::1', 'write "2001:db8::1"'],
    ['[8.8.8.8]:443', 'brackets hold IPv6 only'],
    ['api.example.com:0', 'write a port from 1 to 65535 after the colon, or no colon'],
    ['api.example.com:65536', 'write a port from 1 to 65535 after the colon, or no colon'],
    ['api.example.com:', 'write a port from 1 to 65535 after the colon, or no colon'],
    ['api.example.com:*', 'write a port from 1 to 65535 after the colon, or no colon'],
    ['b\u00fccher.example', 'write the name in its xn-- form'],
    [`${'a'.repeat(64)}.example`, 'labels hold up to 63, names up to 253 characters'],
  ])('%j is refused with the fix %j', (text, fix) => {
    expect(parseHostPattern(text)).toMatchObject({ fix });
  });

  it('says that anyone can have a site below a shared-hosting suffix', () => {
    expect(parseHostPattern('*.github.io')).toMatchObject({ warning: containing('github.io') });
    expect(parseHostPattern('*.acme.github.io')).not.toHaveProperty('warning');
    expect(parseHostPattern('*.example.com')).not.toHaveProperty('warning');
  });

  it('keeps one port list: the rule’s or the pattern’s', () => {
    expect(parseHostPattern('a.test', [8443])).toMatchObject({ ports: [8443] });
    expect(parseHostPattern('a.test:1', [8443])).toHaveProperty('fix');
  });

  it.each([
    ['api.example.com', 'api.example.com:443', true],
    ['api.example.com', 'api.example.com:80', true],
    ['api.example.com', 'api.example.com:8443', false],
    ['api.example.com:8443', 'api.example.com:8443', true],
    ['api.example.com:8443', 'api.example.com:443', false],
    ['*.example.com', 'a.example.com', true],
    ['*.example.com', 'a.b.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*.example.com', 'xexample.com', false],
    ['*', 'anything.example', true],
    ['*', '8.8.8.8', false],
    ['*', '[2001:4860:4860::8888]', false],
    ['*', 'localhost', false],
    ['*', 'single', false],
    ['*', 'a.localhost', false],
    ['*', 'printer.local', false],
    ['*', 'router.home.arpa', false],
    ['*', '1.0.0.127.in-addr.arpa', false],
    ['*', 'a.internal', false],
    ['*', 'x.onion', false],
    ['*', 'x.alt', false],
    ['*', 'a.test', true],
    ['printer.local', 'printer.local', true],
    ['*.local', 'printer.local', true],
    ['8.8.8.8', '8.8.8.8:443', true],
  ])('%s and %s: %s', (pattern, target, expected) => {
    expect(matches(pattern, target)).toBe(expected);
  });
});
