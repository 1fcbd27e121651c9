/** A small runner for pieces of the hot path: grows the batch until it lasts, then takes the best of several. */
export type Piece = {
  readonly name: string;
  /** one operation; what it gives is kept so that it cannot be optimised away */
  readonly run: (turn: number) => unknown;
  /** microseconds it should cost at most, where design or brief names a figure */
  readonly budget?: number;
};

export type Timing = {
  readonly name: string;
  /** microseconds per operation: the fastest batch and the median one */
  readonly best: number;
  readonly median: number;
  readonly budget: number | null;
};

const BATCH_MS = 40;
const BATCHES = 9;
const MAX_BATCH = 4_000_000;

/** The fastest batch is the figure to compare: on a shared machine everything else only adds. */
export function time(piece: Piece): Timing {
  const size = sized(piece);
  const costs = Array.from({ length: BATCHES }, () => (batch(piece, size) * 1000) / size).sort(
    (a, b) => a - b,
  );
  return {
    name: piece.name,
    best: costs[0] ?? 0,
    median: costs[BATCHES >> 1] ?? 0,
    budget: piece.budget ?? null,
  };
}

function sized(piece: Piece): number {
  for (let size = 16; size < MAX_BATCH; size *= 2) {
    if (batch(piece, size) >= BATCH_MS) return size;
  }
  return MAX_BATCH;
}

/** Milliseconds that `size` operations took. */
function batch(piece: Piece, size: number): number {
  let kept: unknown;
  const start = performance.now();
  for (let turn = 0; turn < size; turn++) kept = piece.run(turn);
  const took = performance.now() - start;
  if (kept === batch) throw new Error('unreachable: keeps the result alive');
  return took;
}
