/**
 * The client's half of a WebSocket whose messages may hold placeholders (a key with `in: [websocket]` is bound to
 * the host): frames are read strictly and written anew under fresh masks. A text message is held until it is whole,
 * for nothing of a refused one may leave; so is a compressed one. Uncompressed binary messages are searched and stream
 * through, control frames are searched and pass between fragments. Driven by `upgrade-relay.ts`; holds no socket.
 */
import { type Denied, denied } from '../flow/reason.ts';
import type { BytesSearch } from '../secrets/bytes-search.ts';
import { leak, type SubstitutedMessage } from '../secrets/substitute.ts';
import {
  copyMasked,
  type Frame,
  FrameReader,
  type FrameSink,
  frameHead,
  OPCODE,
  wholeFrame,
} from '../wire/websocket.ts';
import { HeldMessage, type MessageRoom } from './held-message.ts';
import { Masks } from './masks.ts';
import { type CodecTerms, MessageCodec } from './message-codec.ts';
import { Output, type Sink } from './output.ts';

export type RewriterAsk = MessageRoom & {
  /** null: no compression was agreed on */
  readonly deflate: CodecTerms | null;
  /** keys in, or a refusal; latin-1 */
  readonly substitute: (text: string) => SubstitutedMessage | Denied;
  /** for one message of bytes, or a ping */
  readonly search: () => Pick<BytesSearch, 'feed' | 'end'>;
  /** does the text (latin-1) hold a real key */
  readonly leaks: (text: string) => boolean;
  /** keys that were put in */
  readonly used: (names: readonly string[]) => void;
  /** the connection must end; nothing that is still here goes out */
  readonly fail: (why: Denied) => void;
};

/** A text message that may hold a placeholder, before and after decompression: it is searched in one step of 20 ms. */
const MAX_MESSAGE_BYTES = 2 * 1024 * 1024;
/** Bytes of messages after which others get their turn on this thread, and as how many bytes other work counts. */
const TURN_BYTES = 512 * 1024;
const FRAME_WORK_BYTES = 512;
const INFLATE_WORK_BYTES = 16 * 1024;
const MAX_CONTROL_BYTES = 125;

const TOO_LARGE = denied(
  'body_too_large',
  `A message that is searched for placeholders has at most ${MAX_MESSAGE_BYTES} bytes.`,
);

const NO_ROOM = denied('overloaded', 'Too many large messages of this group are under way.');

export class MessageRewriter implements FrameSink {
  readonly #ask: RewriterAsk;
  readonly #reader: FrameReader;
  readonly #codec: MessageCodec | null;
  readonly #out = new Output();
  readonly #control = Buffer.alloc(MAX_CONTROL_BYTES);
  readonly #masks = new Masks();
  readonly #held: HeldMessage;
  #frame: Frame | null = null;
  /** of the message under way */
  #opcode = 0;
  #compressed = false;
  #holds = false;
  /** of the streamed frame under way */
  #mask = 0;
  /** of the streamed message under way */
  #search: ReturnType<RewriterAsk['search']> | null = null;
  /** of it, what this turn brought */
  #unsearched: Buffer[] = [];
  #work = 0;
  #over = false;

  constructor(ask: RewriterAsk) {
    this.#ask = ask;
    this.#held = new HeldMessage(MAX_MESSAGE_BYTES, ask);
    this.#reader = new FrameReader({ from: 'client', deflate: ask.deflate !== null }, this);
    this.#codec = ask.deflate === null ? null : new MessageCodec(ask.deflate);
  }

  /** Reads until enough was done for one turn. @returns how many bytes were read */
  feed(bytes: Buffer): number {
    this.#work = 0;
    const read = this.#reader.feed(bytes);
    // Once for all of its fragments in a read, and before `flush`.
    if (this.#unsearched.length > 0) this.#searchBytes();
    return read;
  }

  /** Sends what is ready. False: the upstream wants a pause. */
  flush(upstream: Sink): boolean {
    return this.#out.flush(upstream);
  }

  /** The connection is over. */
  close(): void {
    this.#over = true;
    this.#reader.stop();
    this.#out.drop();
    this.#unsearched = [];
    this.#held.letGo();
  }

  // ---- from the reader

  frame(frame: Frame): void {
    this.#frame = frame;
    if (frame.opcode >= OPCODE.close) return;
    if (frame.opcode !== OPCODE.continuation) this.#begin(frame);
    if (!this.#holds) {
      this.#mask = this.#masks.next();
      this.#out.add(frameHead({ ...frame, mask: this.#mask }));
    } else if (this.#held.length + frame.length > MAX_MESSAGE_BYTES) this.#fail(TOO_LARGE);
  }

  payload(bytes: Buffer, at: number): void {
    const frame = this.#frame;
    if (frame === null) return;
    const mask = frame.mask ?? 0;
    if (frame.opcode >= OPCODE.close) return copyMasked(bytes, { into: this.#control, to: at, mask, at });
    if (this.#holds) return this.#held.add(bytes, mask, at) ? undefined : this.#fail(NO_ROOM);
    const plain = Buffer.allocUnsafe(bytes.length);
    copyMasked(bytes, { into: plain, to: 0, mask, at });
    this.#unsearched.push(plain);
    this.#work += bytes.length;
    const into = Buffer.allocUnsafe(bytes.length);
    copyMasked(plain, { into, to: 0, mask: this.#mask, at });
    return this.#out.add(into);
  }

  end(frame: Frame): void {
    this.#frame = null;
    if (frame.opcode >= OPCODE.close) this.#passControl(frame);
    else if (frame.fin && this.#holds) this.#deliver();
    else if (frame.fin) this.#endBytes();
    this.#work += FRAME_WORK_BYTES;
    if (this.#work >= TURN_BYTES) this.#reader.pause();
  }

  #passControl(frame: Frame): void {
    const payload = this.#control.subarray(0, frame.length);
    // The others repeat what the upstream said, and may so hold a placeholder that the scrubber put there.
    const isOwn = frame.opcode === OPCODE.ping;
    if (isOwn ? !this.#maySend(payload) : this.#leaks(payload)) return;
    this.#out.add(wholeFrame({ ...frame, mask: this.#masks.next() }, payload));
    // RFC 6455 section 5.5.1: the client says nothing more.
    if (frame.opcode === OPCODE.close) this.#reader.stop();
  }

  fault(detail: string): void {
    this.#fail(denied('bad_request', `Malformed WebSocket frame: ${detail}.`));
  }

  // ---- messages

  #begin(frame: Frame): void {
    this.#opcode = frame.opcode;
    this.#compressed = frame.rsv1;
    this.#holds = frame.opcode === OPCODE.text || frame.rsv1;
    this.#search = this.#holds ? null : this.#ask.search();
  }

  /** Of a streamed message. */
  #searchBytes(): void {
    const why = this.#search?.feed(Buffer.concat(this.#unsearched)) ?? null;
    this.#unsearched = [];
    if (why !== null) this.#fail(why);
  }

  #endBytes(): void {
    this.#searchBytes();
    const why = this.#search?.end() ?? null;
    this.#search = null;
    if (why !== null) this.#fail(why);
  }

  #leaks(bytes: Buffer): boolean {
    const isLeak = this.#ask.leaks(bytes.toString('latin1'));
    if (isLeak) this.#fail(leak());
    return isLeak;
  }

  /** All of a message, or of a ping. */
  #maySend(bytes: Buffer): boolean {
    const search = this.#ask.search();
    const why = search.feed(bytes) ?? search.end();
    if (why !== null) this.#fail(why);
    return why === null;
  }

  #deliver(): void {
    const data = this.#held.bytes;
    const plain = this.#compressed ? (this.#codec?.inflate(data, MAX_MESSAGE_BYTES) ?? 'bad') : data;
    if (plain === 'large') return this.#fail(TOO_LARGE);
    if (plain === 'bad') return this.#fail(denied('bad_request', 'Malformed compressed message.'));
    if (this.#opcode === OPCODE.text) this.#swap(plain);
    else if (this.#maySend(plain)) this.#send(plain, this.#compressed);
    this.#held.letGo();
    this.#work += plain.length + (this.#compressed ? INFLATE_WORK_BYTES : 0);
  }

  #swap(plain: Buffer): void {
    const swapped = this.#ask.substitute(plain.toString('latin1'));
    if (swapped.kind === 'deny') return this.#fail(swapped);
    if (swapped.used.length === 0) return this.#send(plain, this.#compressed);
    this.#ask.used(swapped.used);
    // Never compressed: the length would tell of a key beside text that the sandbox chose (RFC 7692 section 8).
    return this.#send(Buffer.from(swapped.text, 'latin1'), false);
  }

  #send(plain: Buffer, compress: boolean): void {
    const data = compress ? (this.#codec?.deflate(plain) ?? null) : null;
    const frame = { fin: true, rsv1: data !== null, opcode: this.#opcode, mask: this.#masks.next() };
    this.#out.add(wholeFrame(frame, data ?? plain));
  }

  #fail(why: Denied): void {
    if (this.#over) return;
    this.close();
    this.#ask.fail(why);
  }
}
