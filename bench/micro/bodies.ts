/** Keys put into request bodies and taken out of what an upstream says, ten of them bound: a short call, and each MiB. */
import { randomBytes } from 'node:crypto';
import { BodySwap } from '../../src/secrets/body-swap.ts';
import { HostKeys } from '../../src/secrets/host-keys.ts';
import { scrubFields, scrubWhole } from '../../src/secrets/scrub.ts';
import type { Pieces } from '../../src/secrets/stream.ts';
import { isAuthority, parseAuthority } from '../../src/wire/authority.ts';
import type { Piece } from './runner.ts';
import { sampleBindings } from './secrets.ts';

const KIB = 1024;
const MIB = KIB * KIB;
const nothing = (): void => {};

export function bodyPieces(): Piece[] {
  const at = parseAuthority('api.openai.com:443');
  if (!isAuthority(at)) throw new Error('the sample authority was refused');
  const bindings = sampleBindings([{ kind: 'body' }]);
  const keys = new HostKeys(bindings.bindings, bindings);
  const placeholder = bindings.bindings[0]?.placeholder ?? '';
  const real = bindings.bindings[0]?.peek()?.expose().toString('latin1') ?? '';
  const ask = { bindings, at, secure: true, own: keys.placeholders() };
  const swap = (body: Buffer) => (): Pieces => {
    const out: Pieces = [];
    if (new BodySwap(ask, ['application/json']).whole(body, out) !== null) throw new Error('refused');
    return out;
  };
  const scrub = (body: Buffer) => (): Pieces =>
    scrubWhole(body, { patterns: () => keys.scrubSet(), found: nothing });
  const short = json(KIB);
  return [
    { name: 'bodies: 1 KiB of JSON going up', run: swap(short) },
    { name: 'bodies: the same with a placeholder', run: swap(ending(short, placeholder)) },
    {
      name: `bodies: a response head of ${FIELDS.length} bytes`,
      run: () => scrubFields(FIELDS, keys.scrubSet(), nothing),
    },
    { name: 'bodies: 1 KiB of JSON coming down', run: scrub(short) },
    { name: 'bodies: the same with a key', run: scrub(ending(short, real)) },
    { name: 'bodies: 1 MiB of JSON going up', run: swap(json(MIB)) },
    { name: 'bodies: 1 MiB of JSON coming down', run: scrub(json(MIB)) },
    {
      name: 'bodies: 1 MiB of JSON inside JSON',
      run: scrub(Buffer.from(JSON.stringify(json(MIB).toString()))),
    },
    { name: 'bodies: 1 MiB of HTML', run: scrub(html(MIB)) },
    { name: 'bodies: 1 MiB of base64 in lines', run: scrub(base64(MIB)) },
    { name: 'bodies: 1 MiB of random bytes', run: scrub(randomBytes(MIB)) },
  ];
}

const FIELDS = [
  'HTTP/1.1 200 OK',
  'Date: Sun, 22 Nov 2026 12:00:00 GMT',
  'Content-Type: application/json',
  'Content-Length: 1024',
  'Cache-Control: no-cache, must-revalidate',
  'X-Request-Id: req_0123456789abcdef0123456789abcdef',
  'Strict-Transport-Security: max-age=31536000; includeSubDomains',
  'Connection: keep-alive',
  '',
  '',
].join('\r\n');

function ending(body: Buffer, text: string): Buffer {
  return Buffer.concat([body.subarray(0, body.length - text.length), Buffer.from(text)]);
}

function repeated(length: number, line: (at: number) => string): Buffer {
  const lines: string[] = [];
  for (let at = 0, sum = 0; sum < length; at += 1) sum += lines[lines.push(line(at)) - 1]?.length ?? length;
  return Buffer.from(lines.join('').slice(0, length));
}

function json(length: number): Buffer {
  return repeated(
    length,
    (at) =>
      `{"id":"chatcmpl-${at * 7919}","role":"assistant","content":"Some words of an answer.\\nAnd a \\"line\\" more."},`,
  );
}

function html(length: number): Buffer {
  return repeated(
    length,
    (at) => `<p id="p${at}">Words &amp; a <a href="/x?a=${at}&amp;b=%20c">link</a></p>\n`,
  );
}

function base64(length: number): Buffer {
  return repeated(length, () => `${randomBytes(57).toString('base64')}\r\n`);
}
