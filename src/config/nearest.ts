/** "Did you mean": the known word nearest to a misspelt one. */

/** The nearest of `known` within `maxEdits` (default: a third of its length, at least one), or null. */
export function nearestWord(word: string, known: Iterable<string>, maxEdits?: number): string | null {
  let best: string | null = null;
  let bestEdits = Number.POSITIVE_INFINITY;
  const wanted = word.toLowerCase();
  for (const candidate of known) {
    const limit = maxEdits ?? Math.max(1, Math.floor(candidate.length / 3));
    if (Math.abs(candidate.length - word.length) > limit) continue;
    const edits = editDistance(wanted, candidate.toLowerCase());
    if (edits <= limit && edits < bestEdits) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best;
}

/** `did you mean "x"?`, else the words that are known. */
export function suggest(word: string, known: readonly string[]): string {
  const near = nearestWord(word, known);
  if (near !== null) return `did you mean "${near}"?`;
  return known.length === 0 ? 'remove it' : `known: ${known.slice(0, 24).join(', ')}`;
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const straight = Math.min(cell(last, j) + 1, cell(row, j - 1) + 1, cell(last, j - 1) + same);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(swapped ? Math.min(straight, cell(before, j - 2) + 1) : straight);
    }
    before = last;
    last = row;
  }
  return cell(last, b.length);
}

function cell(row: readonly number[], at: number): number {
  return row[at] ?? Number.POSITIVE_INFINITY;
}
