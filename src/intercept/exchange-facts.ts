/** What an exchange is from its first to its last byte: who asks whom for what. Base of `exchange.ts`. */
import { UNLISTED } from '../base/roster.ts';
import type { Approval } from '../flow/approval.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import type { Target } from '../flow/target.ts';
import type { Facts, Treat } from '../flow/verdict.ts';
import type { ExchangeDeps, ExchangeJob } from './exchange-job.ts';
import { Upgrade } from './upgrade.ts';

export class ExchangeFacts {
  readonly id: string;
  readonly identity: Identity;
  readonly client: string;
  readonly target: Target;
  readonly treat: Treat;
  readonly startedAt: number;
  readonly facts: Facts;
  readonly upgrade: Upgrade | null;
  /** the person's yes that it lives by */
  readonly approval: Approval | null;
  /** null before it was judged */
  permit: Permit | null = null;
  place = UNLISTED;

  constructor(deps: ExchangeDeps, job: ExchangeJob) {
    this.id = job.record.requestId;
    this.identity = job.identity;
    this.client = job.client;
    this.target = job.target;
    this.treat = job.secure ? 'intercept' : 'plain';
    this.approval = job.approval;
    this.startedAt = deps.clock.now();
    this.upgrade = job.head.upgrade === null ? null : new Upgrade(deps, job);
    const protocol = this.upgrade === null ? job.protocol : 'websocket';
    const { method } = job.head;
    const { identity, target: at, path } = job;
    this.facts = { method, path, protocol };
    job.record.about({ identity, at, method, path, policy: deps.policyHash(), treat: this.treat });
  }
}
