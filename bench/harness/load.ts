/** Runs the load generator once and reads its line of JSON. */
import { type ExecFileException, execFile } from 'node:child_process';

const MARGIN_MS = 45_000;

export type Sample = {
  /** operations a second */
  readonly rate: number;
  /** processor microseconds of the proxy per operation */
  readonly usPerOp: number;
  /** milliseconds */
  readonly p50: number;
  /** milliseconds */
  readonly p99: number;
  /** MiB of all its processes at the end */
  readonly rss: number;
  /** 10^9 bytes a second */
  readonly gbs: number;
  /** processor seconds of the proxy per 10^9 bytes */
  readonly cpuPerGb: number;
  /** KiB that one idle connection added */
  readonly kibEach: number;
  /** milliseconds, of the first event of each stream */
  readonly firstP50: number;
  readonly firstP99: number;
  /** MiB of all its processes at the most */
  readonly peak: number;
  /** why the figures do not count; empty when they do */
  readonly fault: string;
};

export type LoadOptions = {
  lg: string;
  core: number;
  args: string[];
  pids: readonly number[];
  seconds: number;
  /** seconds of load before the measured ones; default 0.5 */
  warmUp?: number;
};

/** Resolves with figures, or with `fault` set when operations failed or the program did. */
export function runLoad(opts: LoadOptions): Promise<Sample> {
  const { core, lg, seconds, warmUp = 0.5 } = opts;
  const pinned = ['-c', String(core), lg, ...opts.args, '-d', String(seconds), '-w', String(warmUp)];
  const args = opts.pids.length === 0 ? pinned : [...pinned, '-p', opts.pids.join(',')];
  const timeout = seconds * 1000 + MARGIN_MS;
  return new Promise((resolve) => {
    execFile('taskset', args, { timeout, killSignal: 'SIGKILL' }, (error, stdout) => {
      resolve(error === null ? read(stdout) : { ...NOTHING, fault: endOf(error) });
    });
  });
}

/** Not `message`: it would put the whole command line into the tables. */
function endOf(error: ExecFileException): string {
  return `load generator ended with ${error.signal ?? `status ${error.code}`}`;
}

/** What a run that failed has measured. */
export const NOTHING: Sample = {
  rate: 0,
  usPerOp: 0,
  p50: 0,
  p99: 0,
  rss: 0,
  gbs: 0,
  cpuPerGb: 0,
  kibEach: 0,
  firstP50: 0,
  firstP99: 0,
  peak: 0,
  fault: '',
};

/** The generator's line; `fault` says why it does not count. */
export function read(line: string): Sample {
  const parsed: unknown = JSON.parse(line);
  if (typeof parsed !== 'object' || parsed === null) return { ...NOTHING, fault: 'no result' };
  const fields = new Map<string, unknown>(Object.entries(parsed));
  const number = (name: string) => Number(fields.get(name) ?? 0);
  return {
    rate: number('rate'),
    usPerOp: number('us_op'),
    p50: number('p50_ms'),
    p99: number('p99_ms'),
    rss: fields.has('rss1_kb') ? number('rss1_kb') / 1024 : number('rss_mb'),
    gbs: number('gbs'),
    cpuPerGb: number('cpu_s_per_gb'),
    kibEach: number('kb_per_1000') / 1000,
    firstP50: number('first_p50_ms'),
    firstP99: number('first_p99_ms'),
    peak: number('peak_mb'),
    fault: faultOf(fields, number),
  };
}

/** One operation in a thousand may fail before a figure stops counting; a wrong answer never may. */
function faultOf(fields: Map<string, unknown>, number: (name: string) => number): string {
  const said = JSON.stringify(fields.get('e') ?? '');
  if (number('bad') > 0) return `${number('bad')} answers were not 200 (${said})`;
  if (fields.get('mode') === 'idle') {
    return number('ready') < number('n') ? `${number('ready')} of ${number('n')} opened (${said})` : '';
  }
  const done = number('ok');
  if (number('err') * 1000 > done && number('err') > 0)
    return `${number('err')} errors to ${done} done (${said})`;
  if (done < number('want')) return `${done} of ${number('want')} done in time (${said})`;
  return done === 0 && number('gbs') === 0 ? `nothing was done (${said})` : '';
}
