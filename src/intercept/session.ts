/**
 * One HTTP/1.1 connection of a client: reads requests one by one, hands each head to its owner, runs the
 * exchange, keeps the deadlines. Serves intercepted TLS (owner: `terminate.ts`) and plain connections
 * (owner: `accept/http.ts`). Every request and every fault gets one record, whatever becomes of it.
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Session, SessionSide, SessionTurn } from '../base/stages.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Via } from '../flow/target.ts';
import type { RequestHead } from '../wire/http1-parse.ts';
import { RequestReader, type RequestSink } from '../wire/http1-reader.ts';
import { simpleReply } from '../wire/reply.ts';
import { Exchange } from './exchange.ts';
import { type ExchangeJob, type ForwardTo, newJob, type OwnJob, ownJob } from './exchange-job.ts';
import { HeldExchange } from './held-exchange.ts';
import { Linger } from './linger.ts';
import { mayFollow, refuseRequest } from './refuse-request.ts';
import { requestRecord } from './request-record.ts';
import type { Serving, SessionAsk, SessionDeps } from './session-job.ts';
import { Valve } from './valve.ts';

/** From the first byte of a head to its last. */
const HEAD_MS = 10_000;
/** A connection on which nothing is asked. Longer than the keep-alive of the usual upstreams and clients. */
const IDLE_MS = 120_000;
/** Bytes of later requests that may wait while one is served. */
const HELD_BYTES = 16 * 1024;

export class HttpSession implements Session, RequestSink, SessionTurn {
  readonly #deps: SessionDeps;
  readonly #ask: SessionAsk;
  /** the client's side as an exchange gets it */
  readonly #side: SessionSide;
  readonly #own: OwnJob;
  readonly #valve: Valve;
  readonly #reader: RequestReader;
  #exchange: Serving | null = null;
  #current: RequestHead | null = null;
  /** gets what the client says after a 101 */
  #taker: Pick<Session, 'feed' | 'finish'> | null = null;
  #state: 'open' | 'linger' | 'over' = 'open';
  /** the request was answered; its body may still be on the way */
  #answered = false;
  #messageDone = true;
  #clientEnded = false;
  /** the client has not read all that was written */
  #unread = false;
  /** the next request is looked at once it has, or in its turn */
  #nextDue = false;
  /** monotonic milliseconds; of the head under way, else of the idle connection */
  #deadline: number;
  #linger: Linger | null = null;
  /** body bytes of the exchanges that are over */
  #doneUp = 0;
  #doneDown = 0;

  constructor(deps: SessionDeps, ask: SessionAsk) {
    this.#deps = deps;
    this.#ask = ask;
    this.#reader = new RequestReader(this);
    this.#valve = new Valve(ask.side);
    this.#side = {
      ...ask.side,
      write: (bytes, encoding) => this.#write(bytes, encoding),
      pause: () => this.#valve.shut('body'),
      resume: () => this.#valve.open('body'),
    };
    const calls = { hold: this.#hold, takeOver: this.#takeOver, done: this.#done };
    this.#own = ownJob(ask, this.#side, calls);
    // Clients may connect ahead of their first request.
    this.#deadline = deps.clock.mono() + IDLE_MS;
  }

  /** Body bytes of all requests so far. */
  get bytesUp(): number {
    return this.#doneUp + (this.#exchange?.bytesUp ?? 0);
  }

  /** Body bytes of all responses so far. */
  get bytesDown(): number {
    return this.#doneDown + (this.#exchange?.bytesDown ?? 0);
  }

  // ---- from the owner of the bytes

  feed(bytes: Buffer): void {
    try {
      if (this.#state === 'linger') return this.#linger?.discard(bytes.length);
      if (this.#state === 'over') return;
      if (this.#taker !== null) return this.#taker.feed(bytes);
      const idle = !this.#reader.midMessage;
      this.#reader.feed(bytes);
      if (idle && this.#reader.midMessage && this.#exchange === null) {
        this.#deadline = this.#deps.clock.mono() + HEAD_MS;
      }
      this.#exchange?.flush();
      if (this.#reader.held > HELD_BYTES) this.#valve.shut('held');
    } catch (error) {
      this.#fail(error);
    }
  }

  finish(): void {
    this.#clientEnded = true;
    if (this.#state !== 'open') return;
    this.#guard(() => (this.#taker ?? this.#reader).finish());
    // A stream of HTTP/2 ends with its request; a connection that ends has no client any more.
    if (this.#ask.protocol !== 'h2') this.#guard(() => this.#exchange?.clientEnded?.());
    if (this.#state === 'open' && this.#exchange === null && !this.#nextDue) this.#close();
  }

  drained(): void {
    this.#unread = false;
    this.#exchange?.drained();
    this.inTurn();
  }

  inTurn(): void {
    if (!this.#nextDue || this.#unread || this.#state !== 'open') return;
    this.#nextDue = false;
    this.#guard(() => this.#proceed());
  }

  closed(): void {
    this.#state = 'over';
    this.#exchange?.clientGone();
    this.#exchange = null;
  }

  tick(now: number): void {
    if (this.#state === 'linger') return this.#linger?.tick(now);
    if (this.#exchange !== null) return this.#exchange.tick(now);
    if (this.#state !== 'open' || (this.#nextDue && !this.#unread)) return;
    if (!this.#reader.midMessage && (this.#deps.draining() || now >= this.#deadline)) return this.#close();
    if (now >= this.#deadline) this.fault(denied('client_timeout'));
  }

  #write(bytes: Buffer | string, encoding?: 'latin1'): boolean {
    const more = this.#ask.side.write(bytes, encoding);
    if (!more) this.#unread = true;
    return more;
  }

  // ---- from the reader

  head(head: RequestHead): void {
    this.#current = head;
    this.#answered = false;
    this.#messageDone = false;
    this.#ask.onHead(this);
  }

  body(bytes: Buffer): void {
    this.#exchange?.body(bytes);
  }

  end(trailers: string): void {
    this.#messageDone = true;
    this.#exchange?.bodyEnd(trailers);
    if (this.#answered) this.#next();
  }

  fault(why: Denied): void {
    // The framing of the body broke: the upstream must never see a complete request.
    if (this.#exchange !== null) return this.#exchange.cut(why, 'refused');
    if (this.#state !== 'open') return;
    const record = this.record();
    this.#ask.onFault(record);
    this.#messageDone = false;
    this.refuse(record, why);
  }

  // ---- the turn: what the owner does with the request

  get current(): RequestHead {
    if (this.#current === null) throw new Error('no request is under way');
    return this.#current;
  }

  record(via: Via | null = this.#ask.via): FlowRecord {
    const { client, flow, words } = this.#ask;
    return requestRecord(this.#deps, { client, flow, via, words });
  }

  forward(to: ForwardTo): void {
    this.#begin(newJob(to, { head: this.current, record: this.record() }, this.#own));
  }

  readonly #done: ExchangeJob['done'] = (keepAlive) => {
    this.#doneUp = this.bytesUp;
    this.#doneDown = this.bytesDown;
    this.#exchange = null;
    this.#turnOver(keepAlive);
  };

  readonly #takeOver: ExchangeJob['takeOver'] = (user) => {
    this.#taker = user;
    this.#valve.openWide();
    return { rest: this.#reader.takeRest(), ended: this.#clientEnded };
  };

  #begin(job: ExchangeJob): Exchange {
    const exchange = new Exchange(this.#deps, job);
    this.#exchange = exchange;
    exchange.start();
    return exchange;
  }

  readonly #hold: ExchangeJob['hold'] = (job, ask, of) => {
    const held = new HeldExchange(this.#deps, job, {
      of,
      go: (approval, waitedMs, hand) => this.#guard(() => hand(this.#begin({ ...job, approval, waitedMs }))),
    });
    this.#exchange = held;
    held.wait(ask);
  };

  refuse(record: FlowRecord, why: Denied): void {
    const head = this.#current;
    const keepAlive = mayFollow(head, why) && !this.#deps.draining();
    refuseRequest({ side: this.#side, record, head }, why, { close: !keepAlive });
    this.#turnOver(keepAlive);
  }

  answer(record: FlowRecord | null, reply: { type: string; body: string }): void {
    const head = this.current;
    record?.answer();
    const close = !head.keepAlive || head.framing.kind !== 'none' || this.#deps.draining();
    const bytes = simpleReply({ status: 200, ...reply, close, headOnly: head.method === 'HEAD' });
    this.#side.write(bytes);
    record?.end({ status: 200, ended: 'done', bytesDown: bytes.length });
    this.#turnOver(!close);
  }

  detach(): { rest: Buffer; ended: boolean } {
    this.#state = 'over';
    return { rest: this.#reader.takeRest(), ended: this.#clientEnded };
  }

  // ---- between requests

  #turnOver(keepAlive: boolean): void {
    if (this.#state !== 'open') return;
    if (!keepAlive) return this.#close();
    this.#answered = true;
    this.#deadline = this.#deps.clock.mono() + IDLE_MS;
    if (this.#messageDone) this.#next();
  }

  #next(): void {
    // A client that does not read its answers gets no more of them.
    if (this.#unread) {
      this.#nextDue = true;
      return this.#valve.shut('unread');
    }
    if (this.#reader.held === 0) return this.#proceed();
    // Whoever asks for several things at once lets the others ask in between.
    this.#nextDue = true;
    return this.#deps.rotation.ask(this.#ask.client, this);
  }

  #proceed(): void {
    this.#answered = false;
    this.#current = null;
    this.#valve.open('body');
    this.#reader.next();
    this.#exchange?.flush();
    if (this.#reader.held <= HELD_BYTES) this.#valve.open('held');
    if (!this.#nextDue) this.#valve.open('unread');
    if (this.#state !== 'open' || this.#exchange !== null) return;
    if (this.#clientEnded && !this.#nextDue) return this.#close();
    // Bytes of the next request were there already: their deadline counts from here.
    if (this.#reader.midMessage) this.#deadline = this.#deps.clock.mono() + HEAD_MS;
  }

  /** Invariant I7: what was thrown is a refusal, recorded, and never a pass. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#deps.onError(error);
    this.#exchange?.cut(denied('not_ready', 'The proxy failed on this request; its log says why.'));
    this.#state = 'over';
    this.#ask.side.destroy();
  }

  /** Ends our side. */
  #close(): void {
    this.#state = 'linger';
    this.#linger = new Linger(this.#ask.side);
    this.#ask.side.end();
    this.#valve.openWide();
  }
}
