/**
 * What the engine must know before it compiles what serves requests; called once, by `proxy.ts`. An engine that has
 * no such flag says so on standard error, and goes on.
 */
import { setFlagsFromString } from 'node:v8';

const FLAGS = [
  // V8 looks which objects outlive a collection of the young, and has code that made such objects make all later ones
  // old from the start. In a proxy that is what is open while a burst lasts: afterwards each connection that is over
  // stays, with all behind it, until the next full collection. Without it a tunnel costs a tenth less, and the process
  // has a quarter less memory.
  '--no-allocation-site-pretenuring',
  // A function is compiled after 400 and again after 3,000 calls: for what runs once a connection, after 3,000
  // connections. It does the same things from the first one on, so that nothing is learnt by waiting. A handshake costs
  // a tenth less on the way there.
  '--invocation-count-for-maglev=100',
  '--invocation-count-for-turbofan=500',
  '--minimum-invocations-after-ic-update=100',
] as const;

export function tuneEngine(): void {
  for (const flag of FLAGS) setFlagsFromString(flag);
}
