import { defineConfig } from 'vitest/config';

// Three projects: `fast` has no sockets; `live` starts servers, name spaces and clients; `quiet` compares speeds
// and memory or crosses thousands of cases, so its files run one after the other when nothing else does.
/** Where `.ci/run` wants the counts. */
const report = process.env['SALLYPORT_TEST_REPORT'];

const FOLDERS = 'flow,faults,floods,attack,invariants,contract,network,clients,cli,console,deploy';
const LIVE = [`test/{${FOLDERS}}/**/*.test.ts`];
const QUIET = [
  'test/{faults,floods,network}/**/*.test.ts',
  'test/flow/{bulk-memory,stalled-receiver,backpressure}.test.ts',
];
const LIMITS = { testTimeout: 60_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
    projects: [
      {
        test: {
          name: 'fast',
          include: ['test/unit/**/*.test.ts', 'test/property/**/*.test.ts', 'test/*.test.ts'],
          // Properties of thousands of cases, on two cores that others may use.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'live',
          include: LIVE,
          exclude: QUIET,
          globalSetup: 'test/helpers/clients-summary.ts',
          // Much of it waits for clocks and clients.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          ...LIMITS,
        },
      },
      {
        test: {
          name: 'quiet',
          include: QUIET,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          ...LIMITS,
        },
      },
    ],
  },
});
