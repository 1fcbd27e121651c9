/** What an upstream of HTTP/2 can do wrong, in frames; `upstream-acts.ts` plays them. */
import type net from 'node:net';
import { END_HEADERS, END_STREAM, frame, PREFACE, section, TYPE, u32 } from '../helpers/h2-raw.ts';
import type { Act, Fault, Phase } from './upstream-acts.ts';

type Frames = (stream: number) => Buffer;

const ACK = 1;

/** Speaks as a server as far as it must, and tells of each request. */
export function hearStreams(socket: net.Socket, onRequest: (stream: number) => void): void {
  socket.write(frame(TYPE.settings, 0, 0));
  let held = Buffer.alloc(0);
  let skip = PREFACE.length;
  socket.on('data', (bytes: Buffer) => {
    held = Buffer.concat([held, bytes]);
    while (held.length >= skip + 9) {
      const at = held.subarray(skip);
      const end = 9 + at.readUIntBE(0, 3);
      if (at.length < end) return;
      const kind = at.readUInt8(3);
      if (kind === TYPE.settings && (at.readUInt8(4) & ACK) === 0) socket.write(frame(TYPE.settings, ACK, 0));
      if (kind === TYPE.headers) onRequest(at.readUInt32BE(5) & 0x7fff_ffff);
      held = at.subarray(end);
      skip = 0;
    }
  });
}

const head = (stream: number, more: readonly (readonly [string, string])[] = [], flags = 0): Buffer =>
  frame(TYPE.headers, END_HEADERS | flags, stream, section([[':status', '200'], ['x-is', 'it'], ...more]));
const data = (stream: number, text: string, flags = 0): Buffer =>
  frame(TYPE.data, flags, stream, Buffer.from(text));
const reset =
  (code: number): Frames =>
  (stream) =>
    frame(TYPE.reset, 0, stream, u32(code));
const goaway = (last: number, code: number): Buffer =>
  frame(TYPE.goaway, 0, 0, Buffer.concat([u32(last), u32(code)]));
const status =
  (text: string): Frames =>
  (stream) =>
    frame(TYPE.headers, END_HEADERS, stream, section([[':status', text]]));

const nothing: Frames = () => Buffer.alloc(0);
const sized: Frames = (stream) =>
  Buffer.concat([head(stream, [['content-length', '10']]), data(stream, 'hello')]);
const open: Frames = (stream) => Buffer.concat([head(stream), data(stream, 'hello')]);
/** The last frame is announced, and half of it is there. */
const lastHalf: Frames = (stream) =>
  Buffer.concat([head(stream), data(stream, 'helloworld', END_STREAM).subarray(0, -5)]);
const whole: Frames = (stream) =>
  Buffer.concat([head(stream, [['content-length', '10']]), data(stream, 'helloworld', END_STREAM)]);

const breaks = (phase: Phase, where: string, says: Frames): Act[] =>
  (['reset', 'close', 'half-close', 'stall'] satisfies Fault[]).map((fault) => ({
    name: `${fault} ${where}`,
    phase,
    fault,
    says: phase === 'before head' ? '' : 'hello',
    frames: { says },
  }));
const lie = (phase: Phase, says: Frames, name: string, told: Frames): Act => ({
  name,
  phase,
  fault: 'lie',
  says: phase === 'before head' ? '' : 'hello',
  frames: { says, lie: told },
});

const BEFORE: readonly (readonly [string, Frames])[] = [
  ['RST_STREAM instead of a head', reset(2)],
  ['RST_STREAM without an error instead of a head', reset(0)],
  ['a stream that is refused each time', reset(7)],
  ['GOAWAY that covers the request', (stream) => goaway(stream - 1 < 1 ? 0 : stream - 2, 0)],
  ['GOAWAY with an error', (stream) => goaway(stream, 2)],
  ['no HTTP/2', () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ['a frame that is too large', (stream) => frame(TYPE.data, 0, stream, Buffer.alloc(20_000))],
  ['a body without a head', (stream) => data(stream, 'hello', END_STREAM)],
  ['a head that is not HPACK', (stream) => frame(TYPE.headers, END_HEADERS, stream, Buffer.alloc(40, 0xff))],
  ['a head without status', (stream) => frame(TYPE.headers, END_HEADERS, stream, section([['x-is', 'it']]))],
  ['a status that is no number', status('2x')],
  ['an unasked 101', status('101')],
  ['endless 1xx', (stream) => Buffer.concat(Array<Buffer>(20).fill(status('103')(stream)))],
  ['a field of HTTP/1.1', (stream) => head(stream, [['connection', 'close']])],
  [
    'a pushed answer',
    (stream) => frame(TYPE.push, END_HEADERS, stream, Buffer.concat([u32(2), section([[':method', 'GET']])])),
  ],
  ['an answer to nobody', () => head(77)],
  [
    'a head that goes on and on',
    (stream) =>
      Buffer.concat([
        frame(TYPE.headers, 0, stream, section([[':status', '200']])),
        ...Array<Buffer>(30).fill(frame(TYPE.continuation, 0, stream, section([['x-more', 'and more']]))),
      ]),
  ],
];

const AMID: readonly (readonly [string, Frames])[] = [
  ['RST_STREAM in a body', reset(2)],
  ['RST_STREAM without an error in a body', reset(0)],
  ['END_STREAM before the length', (stream) => data(stream, '', END_STREAM)],
  ['more than the length', (stream) => data(stream, 'world and more', END_STREAM)],
  ['GOAWAY with an error in a body', (stream) => goaway(stream, 2)],
  ['a window beyond its bound', (stream) => frame(TYPE.window, 0, stream, u32(0x7fff_ffff))],
  [
    'trailers with a status',
    (stream) => frame(TYPE.headers, END_HEADERS | END_STREAM, stream, section([[':status', '200']])),
  ],
  ['trailers that do not end', (stream) => head(stream)],
];

/** Both speak HTTP/2 there; what happens below it is told in `HTTP_ACTS`. */
export const STREAM_ACTS: readonly Act[] = [
  ...breaks('before head', 'before the head', nothing),
  ...BEFORE.map(([name, told]) => lie('before head', nothing, name, told)),
  ...breaks('mid body', 'in a sized body', sized),
  ...breaks('mid body', 'in a body of any length', open),
  ...breaks('mid body', 'in the last frame of a body', lastHalf),
  ...AMID.map(([name, told]) => lie('mid body', sized, name, told)),
  lie('mid body', open, 'RST_STREAM in a body of any length', reset(2)),
  lie('mid body', open, 'RST_STREAM without an error in a body of any length', reset(0)),
  ...breaks('after body', 'after the body', whole),
  lie('after body', whole, 'RST_STREAM after the body', reset(0)),
  lie('after body', whole, 'a body after the body', (stream) => data(stream, 'garbage', END_STREAM)),
];
