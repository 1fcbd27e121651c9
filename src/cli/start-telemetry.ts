/** Telemetry for `start` and its workers: an environment that cannot be honoured is told before anything listens. */
import { systemClock } from '../base/clock.ts';
import { type Opened, openTelemetry } from '../telemetry/open.ts';
import { TelemetryError } from '../telemetry/wanted.ts';
import { CliError } from './io.ts';

/** Null: the environment asks for none. Throws CliError. */
export async function telemetryFor(
  env: Readonly<Record<string, string | undefined>>,
  version: string,
): Promise<Opened | null> {
  try {
    return await openTelemetry(env, { version, now: systemClock.now });
  } catch (error) {
    if (error instanceof TelemetryError) throw new CliError(error.message);
    throw error;
  }
}
