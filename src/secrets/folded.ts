/**
 * Base64 in lines, as MIME, PEM and `base64` itself write it (RFC 2045 section 6.8, RFC 7468), with its line ends left
 * out: as they are, or as JSON writes them. Used by `stream.ts` beside `views.ts`.
 */
import { sextetOf } from './base64.ts';
import type { Breaks, View } from './views.ts';

/** So much of base64 stands before a line end that is one of base64's: words are shorter. */
const MIN_LINE = 16;
/** A line end; in JSON, and JSON in JSON, written with backslashes. */
const LINE_END = /\r?\n|(?:\\{1,8}r)?\\{1,8}n/g;
/** May become one. */
const CUT_END = /(?:\r|(?:\\{1,8}r)?\\{1,8}|\\{1,8}r)$/;
/** Characters of the longest. */
const MAX_LINE_END = 18;

/** @returns `null` where no base64 goes over a line end. @param before base64 characters that stand before the text */
export function foldedView(
  text: string,
  ask: { readonly before: number; readonly final: boolean },
): View | null {
  if (!hasLineEnd(text, ask.before)) return null;
  const breaks: Breaks = { from: [], to: [], index: [], count: [] };
  let folded = '';
  let done = 0;
  for (const { 0: end, index } of text.matchAll(LINE_END)) {
    const to = index + end.length;
    if (runBefore(text, index, ask.before) < MIN_LINE || !goesOn(text, to)) continue;
    folded += text.slice(done, index);
    breaks.from.push(index);
    breaks.to.push(to);
    breaks.index.push(folded.length);
    breaks.count.push(0);
    done = to;
  }
  const incomplete = ask.final ? text.length : cutAt(text, ask.before);
  if (breaks.from.length === 0 && incomplete === text.length) return null;
  folded += text.slice(done, Math.max(done, incomplete));
  return { spelling: 'folded', text: folded, base: 0, breaks, incomplete };
}

/** Base64 characters that stand right before `at`, `MIN_LINE` at most. */
export function runBefore(text: string, at: number, before: number): number {
  let run = 0;
  while (run < MIN_LINE && run < at && sextetOf(text.charCodeAt(at - run - 1)) !== -1) run += 1;
  return run === at ? Math.min(MIN_LINE, run + before) : run;
}

/** A quick look: most texts have line ends, and hardly one behind base64. */
function hasLineEnd(text: string, before: number): boolean {
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
    const from = text.charCodeAt(at - 1) === 0x0d ? at - 1 : at;
    if (runBefore(text, from, before) === MIN_LINE) return true;
  }
  for (let at = text.indexOf('\\'); at !== -1; at = text.indexOf('\\', at + 1)) {
    if (runBefore(text, at, before) === MIN_LINE) return true;
  }
  return text.endsWith('\r') && runBefore(text, text.length - 1, before) === MIN_LINE;
}

/** Does more of base64 follow, as far as is known. */
function goesOn(text: string, at: number): boolean {
  return at === text.length || sextetOf(text.charCodeAt(at)) !== -1;
}

function cutAt(text: string, before: number): number {
  const tail = Math.max(0, text.length - MAX_LINE_END);
  const found = CUT_END.exec(text.slice(tail));
  const at = tail + (found?.index ?? 0);
  return found !== null && runBefore(text, at, before) === MIN_LINE ? at : text.length;
}
