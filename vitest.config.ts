import { defineConfig } from 'vitest/config';

// Two projects: `fast` has no sockets and may run in parallel; `live` starts servers,
// name spaces and clients, so its files run one after the other on a two-core machine.
/** Where `.ci/run` wants the counts. */
const report = process.env['SALLYPORT_TEST_REPORT'];

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
          globalSetup: 'test/helpers/clients-summary.ts',
          include: [
            'test/flow/**/*.test.ts',
            'test/faults/**/*.test.ts',
            'test/floods/**/*.test.ts',
            'test/attack/**/*.test.ts',
            'test/invariants/**/*.test.ts',
            'test/contract/**/*.test.ts',
            'test/network/**/*.test.ts',
            'test/clients/**/*.test.ts',
            'test/cli/**/*.test.ts',
            'test/console/**/*.test.ts',
            'test/deploy/**/*.test.ts',
          ],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
