/** `npm run micro [-- PART…]`: pieces of the hot path one by one, in microseconds. See ../README.md. */
import { auditPieces } from './audit.ts';
import { bodyPieces } from './bodies.ts';
import { leafPieces } from './leaf.ts';
import { policyPieces } from './policy.ts';
import { type Piece, type Timing, time } from './runner.ts';
import { secretPieces } from './secrets.ts';
import { wirePieces } from './wire.ts';

const PARTS = new Map<string, () => Piece[]>([
  ['wire', wirePieces],
  ['policy', policyPieces],
  ['secrets', secretPieces],
  ['bodies', bodyPieces],
  ['audit', auditPieces],
  ['leaf', leafPieces],
]);

function row({ name, best, median, budget }: Timing): string {
  const cells = [best.toFixed(2), median.toFixed(2), budget === null ? '' : budget.toFixed(2)];
  const verdict = budget === null ? '' : best <= budget ? 'within' : 'over';
  return `${name.padEnd(52)}${cells.map((cell) => cell.padStart(10)).join('')}  ${verdict}`.trimEnd();
}

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !PARTS.has(name));
if (unknown.length > 0) {
  process.stderr.write(`unknown: ${unknown.join(', ')}; there are ${[...PARTS.keys()].join(', ')}\n`);
  process.exitCode = 2;
} else {
  process.stdout.write(
    `${'µs per operation'.padEnd(52)}${'best'.padStart(10)}${'median'.padStart(10)}${'budget'.padStart(10)}\n`,
  );
  for (const [name, pieces] of PARTS) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    for (const piece of pieces()) process.stdout.write(`${row(time(piece))}\n`);
  }
}
