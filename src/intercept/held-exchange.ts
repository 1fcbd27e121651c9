/**
 * One request that waits for a person (the gate said `ask`), in the place of its exchange: the session drives it, the desk
 * shows and decides it. The beginning of the body is read ahead so that it can be shown; the rest stays with the client.
 * After a yes the request is judged anew and an exchange takes over; every other way out is a refusal with its record.
 */
import type { BodyView, Held } from '../base/approvals.ts';
import type { LiveFlow } from '../base/live.ts';
import { UNLISTED } from '../base/roster.ts';
import type { Approval } from '../flow/approval.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import type { Ask, Facts, Treat } from '../flow/verdict.ts';
import { afterThrow } from './after-throw.ts';
import type { Asks, ExchangeDeps, ExchangeJob, Outcome } from './exchange-job.ts';
import { type BodyTaker, HeldBody } from './held-body.ts';
import { judgeRequest } from './ready-request.ts';
import { refuseRequest } from './refuse-request.ts';
import { heldKey, shownPath } from './shown-request.ts';

const WITHDRAWN = denied('approval_timeout', 'The client left before anybody decided.');

type Go = (approval: Approval | null, waitedMs: number, hand: (exchange: BodyTaker) => void) => void;

export class HeldExchange implements Held, LiveFlow {
  readonly id: string;
  readonly requestId: string;
  readonly identity: Identity;
  readonly client: string;
  readonly target: Target;
  readonly treat: Treat;
  readonly scheme: 'https' | 'http';
  readonly startedAt: number;
  readonly facts: Facts;
  readonly approval = 'waits';
  place = UNLISTED;
  shownPath = '';
  readonly keys: readonly string[];
  key = '';
  readonly bytesDown = 0;
  readonly #deps: ExchangeDeps;
  readonly #job: ExchangeJob;
  readonly #asks: Asks;
  readonly #go: Go;
  readonly #body: HeldBody;
  #over = false;
  #leave: ReturnType<ExchangeDeps['approvals']['hold']> | null = null;

  /** `go`: begins the exchange and hands it over; it may be over by then. */
  constructor(deps: ExchangeDeps, job: ExchangeJob, { of, go }: { readonly of: Asks; readonly go: Go }) {
    this.#deps = deps;
    this.#job = job;
    this.#asks = of;
    this.#go = go;
    this.id = job.record.requestId;
    this.requestId = this.id;
    this.identity = job.identity;
    this.client = job.client;
    this.target = job.target;
    this.treat = job.secure ? 'intercept' : 'plain';
    this.scheme = job.secure ? 'https' : 'http';
    this.startedAt = deps.clock.now();
    this.facts = of.facts;
    this.keys = job.record.keys;
    this.#body = new HeldBody(deps, job);
  }

  get bytesUp(): number {
    return this.#body.bytes;
  }

  /** Begins to wait. The decision may come before this returns. */
  wait(ask: Ask): void {
    this.#guard(() => {
      this.#deps.live.add(this);
      this.shownPath = shownPath(this.facts.path, this.#deps.bindings(this.identity));
      this.key = heldKey(this);
      const leave = this.#deps.approvals.hold(this, ask);
      if (this.#over) leave('refused');
      else this.#leave = leave;
    });
  }

  // ---- from the session

  body(bytes: Buffer): void {
    if (this.#over) return;
    const full = this.#body.add(bytes);
    if (full !== null) this.cut(full, 'refused');
  }

  bodyEnd(trailers: string): void {
    this.#body.end(trailers);
  }

  flush(): void {}

  drained(): void {}

  tick(): void {}

  /** The client's side is over. One that has only half closed cannot be told from one that was killed. */
  clientEnded(): void {
    if (this.#over) return;
    this.#leave?.('withdrawn');
    this.#refuse(WITHDRAWN, 'refused');
  }

  clientGone(): void {
    if (this.#over) return;
    this.#leave?.('withdrawn');
    this.#stop();
    const { record } = this.#job;
    record.deny(WITHDRAWN);
    record.end({ status: 0, ended: 'client_abort', reason: WITHDRAWN.reason, bytesUp: this.bytesUp });
  }

  cut(why: Denied, ended: Outcome = 'cut'): void {
    this.#refuse(why, ended);
  }

  // ---- from the desk

  judge(): Permit | Ask | Denied {
    return judgeRequest(this.#deps, this.#job, this.#asks);
  }

  bodyView(): BodyView | null {
    return this.#body.view();
  }

  likeness(): string {
    return this.#body.likeness([this.key, ...this.keys]);
  }

  told(answer: Approval | Denied | null): void {
    if (this.#over) return;
    // It has left by this.
    this.#leave = null;
    this.#guard(() => {
      if (answer !== null && 'kind' in answer) this.#refuse(answer, 'refused');
      else this.#begin(answer);
    });
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      afterThrow(error, { deps: this.#deps, job: this.#job }, (why) => this.#refuse(why, 'refused'));
    }
  }

  #begin(approval: Approval | null): void {
    this.#stop();
    const { record } = this.#job;
    record.policy = this.#deps.policyHash();
    const waitedMs = this.#deps.clock.mono() - record.startedAt;
    this.#go(approval, waitedMs, (exchange) => this.#body.handTo(exchange));
  }

  #refuse(why: Denied, ended: Outcome): void {
    if (this.#over) return;
    const { head } = this.#job;
    const close = !this.#body.whole || !head.keepAlive || head.upgrade !== null;
    this.#stop();
    this.#leave?.('refused');
    refuseRequest(this.#job, why, { close, ended, bytesUp: this.bytesUp });
    this.#job.done(!close);
  }

  #stop(): void {
    this.#over = true;
    this.#body.giveBack();
    this.#deps.live.drop(this);
  }
}
