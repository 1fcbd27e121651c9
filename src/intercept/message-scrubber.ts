/**
 * The upstream's half of a WebSocket to a host that keys are bound to: frames are read strictly and written anew with
 * keys taken out, of binary messages, pings and close reasons as well. What is not compressed streams; a compressed
 * message is held until it is whole, and passed on uncompressed. Driven by `upgrade-relay.ts`; holds no socket.
 */
import { type Denied, denied } from '../flow/reason.ts';
import { Scrubber, type ScrubSet, scrubFields } from '../secrets/scrub.ts';
import { lengthOfPieces, type Pieces } from '../secrets/stream.ts';
import type { DeflateTerms } from '../wire/deflate-terms.ts';
import { type Frame, FrameReader, type FrameSink, frameHead, OPCODE, wholeFrame } from '../wire/websocket.ts';
import { HeldMessage, type MessageRoom } from './held-message.ts';
import { MessageCodec } from './message-codec.ts';
import { Output, type Sink } from './output.ts';

export type MessageScrubAsk = MessageRoom & {
  /** null: no compression was agreed on */
  readonly deflate: DeflateTerms | null;
  /** what must not pass, as of now */
  readonly patterns: () => ScrubSet;
  /** the name of a key that was taken out */
  readonly found: (env: string) => void;
  /** the connection must end; nothing that is still here goes out */
  readonly fail: (why: Denied) => void;
};

/** A compressed message, before and after: it is decompressed in one step, and searched in several. */
const MAX_MESSAGE_BYTES = 2 * 1024 * 1024;
/** Work after which others get their turn on this thread, in bytes; and as how many bytes other work counts. */
const TURN_BYTES = 128 * 1024;
const SLICE_BYTES = 32 * 1024;
const FRAME_WORK_BYTES = 512;
const INFLATE_WORK_BYTES = 16 * 1024;
const MAX_CONTROL_BYTES = 125;
const CODE_BYTES = 2;

const TOO_LARGE = denied(
  'response_unscrubbable',
  `A compressed message that is searched for keys has at most ${MAX_MESSAGE_BYTES} bytes.`,
);
const MALFORMED = denied('upstream_bad_response', 'The upstream sent a malformed compressed message.');
const NO_ROOM = denied('overloaded', 'Too many large messages of this group are under way.');

export class MessageScrubber implements FrameSink {
  readonly #ask: MessageScrubAsk;
  readonly #reader: FrameReader;
  readonly #codec: MessageCodec | null;
  readonly #out = new Output();
  readonly #control = Buffer.alloc(MAX_CONTROL_BYTES);
  /** a compressed message, and the room for what it becomes */
  readonly #held: HeldMessage;
  #frame: Frame | null = null;
  /** of the message under way; null: between two */
  #scrubber: Scrubber | null = null;
  /** of the next frame of it that is written */
  #opcode: number = OPCODE.text;
  #compressed = false;
  /** scrubbed, to go into the next frame */
  #pieces: Pieces = [];
  /** what is left to search of a compressed message that is whole; null: none is under way */
  #plain: Buffer | null = null;
  #work = 0;
  #over = false;

  constructor(ask: MessageScrubAsk) {
    this.#ask = ask;
    this.#held = new HeldMessage(MAX_MESSAGE_BYTES, ask);
    const { deflate } = ask;
    this.#reader = new FrameReader({ from: 'server', deflate: deflate !== null }, this);
    this.#codec =
      deflate === null ? null : new MessageCodec({ ...deflate, takeover: deflate.serverTakeover });
  }

  /** Something that was read is not searched yet: `feed` is to be called again, with no bytes if there are none. */
  get pending(): boolean {
    return this.#plain !== null;
  }

  /** Reads until enough was done for one turn. @returns how many bytes were read */
  feed(bytes: Buffer): number {
    this.#work = 0;
    this.#search();
    const read = this.#plain === null ? this.#reader.feed(bytes) : 0;
    // What came of a message goes on, as a fragment: its end may be long in coming.
    if (!this.#over && this.#pieces.length > 0) this.#send(false);
    return read;
  }

  /** Sends what is ready. False: the client wants a pause. */
  flush(client: Sink): boolean {
    return this.#out.flush(client);
  }

  /** The connection is over. */
  close(): void {
    this.#over = true;
    this.#reader.stop();
    this.#out.drop();
    this.#pieces = [];
    this.#plain = null;
    this.#held.letGo();
  }

  // ---- from the reader

  frame(frame: Frame): void {
    this.#frame = frame;
    if (frame.opcode >= OPCODE.close) return;
    if (frame.opcode !== OPCODE.continuation) {
      this.#opcode = frame.opcode;
      this.#compressed = frame.rsv1;
      this.#scrubber = new Scrubber(this.#ask.patterns, this.#ask.found);
    }
    if (this.#compressed && this.#held.length + frame.length > MAX_MESSAGE_BYTES) this.#fail(TOO_LARGE);
  }

  payload(bytes: Buffer, at: number): void {
    if (this.#frame !== null && this.#frame.opcode >= OPCODE.close) bytes.copy(this.#control, at);
    else if (!this.#compressed) this.#scrubber?.feed(bytes, this.#pieces);
    else if (!this.#held.add(bytes, 0, at)) this.#fail(NO_ROOM);
  }

  end(frame: Frame): void {
    this.#frame = null;
    this.#work += FRAME_WORK_BYTES;
    if (frame.opcode >= OPCODE.close) this.#sendControl(frame);
    else if (frame.fin) this.#endMessage();
    if (this.#work >= TURN_BYTES) this.#reader.pause();
  }

  #endMessage(): void {
    if (this.#compressed) return this.#inflate();
    this.#scrubber?.end(this.#pieces);
    this.#finish();
  }

  #finish(): void {
    this.#send(true);
    this.#scrubber = null;
  }

  fault(detail: string): void {
    this.#fail(denied('upstream_bad_response', `Malformed WebSocket frame: ${detail}.`));
  }

  // ---- messages

  #send(fin: boolean): void {
    const pieces = this.#pieces.splice(0);
    const length = lengthOfPieces(pieces);
    this.#out.add(frameHead({ fin, rsv1: false, opcode: this.#opcode, length, mask: null }));
    for (const piece of pieces) this.#out.add(piece);
    this.#opcode = OPCODE.continuation;
  }

  /** A ping that held a key is not answered with the same bytes: an upstream that pings with keys is no loss. */
  #sendControl({ opcode, length }: Frame): void {
    const code = opcode === OPCODE.close ? Math.min(CODE_BYTES, length) : 0;
    const text = this.#control.toString('latin1', code, length);
    const scrubbed = scrubFields(text, this.#ask.patterns(), this.#ask.found);
    const payload = Buffer.concat([this.#control.subarray(0, code), Buffer.from(scrubbed, 'latin1')]);
    const frame = { fin: true, rsv1: false, opcode, mask: null };
    this.#out.add(wholeFrame(frame, payload.subarray(0, MAX_CONTROL_BYTES)));
  }

  #inflate(): void {
    const plain = this.#codec?.inflate(this.#held.bytes, MAX_MESSAGE_BYTES) ?? 'bad';
    if (plain === 'large') return this.#fail(TOO_LARGE);
    if (plain === 'bad') return this.#fail(MALFORMED);
    this.#held.letGo();
    if (!this.#held.takeRoom(plain.length)) return this.#fail(NO_ROOM);
    this.#work += INFLATE_WORK_BYTES;
    this.#plain = plain;
    this.#search();
  }

  /** A part of a decompressed message, and its end where the turn lasts. What was searched goes on as a fragment. */
  #search(): void {
    while (this.#plain !== null && this.#work < TURN_BYTES) {
      const slice = this.#plain.subarray(0, SLICE_BYTES);
      this.#work += slice.length;
      this.#scrubber?.feed(slice, this.#pieces);
      if (slice.length < this.#plain.length) {
        this.#plain = this.#plain.subarray(slice.length);
        continue;
      }
      this.#plain = null;
      this.#held.letGo();
      this.#scrubber?.end(this.#pieces);
      this.#finish();
    }
  }

  #fail(why: Denied): void {
    if (this.#over) return;
    this.close();
    this.#ask.fail(why);
  }
}
