/** Lines, stacked bars and states over time, as SVG. */
import type { Unit } from '../source/model.ts';
import type { Line, Point } from './ask.ts';
import { format } from './format.ts';
import { escaped } from './text.ts';

export type Frame = {
  readonly width: number;
  readonly height: number;
  /** seconds since the epoch */
  readonly from: number;
  readonly to: number;
  /** seconds between two points */
  readonly step: number;
};

export const PALETTE = [
  '#73bf69',
  '#f2cc0c',
  '#5794f2',
  '#ff9830',
  '#b877d9',
  '#f2495c',
  '#8ab8ff',
  '#ffa6b0',
  '#37872d',
  '#c4162a',
] as const;

const LEFT = 64;
const BOTTOM = 26;
const TICKS = 4;

export function colorOf(index: number): string {
  return PALETTE[index % PALETTE.length] ?? PALETTE[0];
}

export function chart(lines: readonly Line[], of: { unit: Unit; stacked: boolean }, frame: Frame): string {
  const stacks = of.stacked ? stack(lines) : null;
  const tops =
    stacks === null ? lines.flatMap(valuesOf) : stacks.flatMap((bars) => bars.map(({ top }) => top));
  const { max, tick } = scale(Math.max(0, ...tops), of.unit === 'count' ? 1 : 0);
  const y = (value: number): number => (frame.height - BOTTOM) * (1 - value / max) + 6 * (value / max);
  const drawn =
    stacks === null
      ? lines.map((line, index) => polyline(line.points, frame, { y, color: colorOf(index) }))
      : stacks.map((bars, index) => barsOf(bars, frame, { y, color: colorOf(index) }));
  const grid = Array.from({ length: Math.round(max / tick) + 1 }, (_, n) => n * tick).map((value) => {
    const at = y(value).toFixed(1);
    const text = escaped(format(value, of.unit, frame.to));
    return `<line x1="${LEFT}" x2="${frame.width}" y1="${at}" y2="${at}" class="grid"/><text x="${LEFT - 6}" y="${at}" class="y">${text}</text>`;
  });
  return svg(frame, [...grid, ...hours(frame), ...drawn]);
}

/** A bar for each line, in pieces of one state. */
export function states(lines: readonly Line[], names: readonly [string, string], frame: Frame): string {
  const height = Math.min(34, (frame.height - BOTTOM) / Math.max(1, lines.length));
  const rows = lines.map((line, index) => {
    const top = index * height;
    const label = `<text x="${LEFT - 6}" y="${top + height / 2}" class="y">${escaped(line.name)}</text>`;
    const pieces = runs(line.points, frame.step).map(({ from, to, value }) => {
      const x = xOf(from, frame);
      const width = xOf(to, frame) - x;
      const color = value === 0 ? PALETTE[0] : '#f2495c';
      const text =
        width > 60
          ? `<text x="${x + 6}" y="${top + height / 2}" class="state">${escaped(names[value === 0 ? 0 : 1])}</text>`
          : '';
      return `<rect x="${x.toFixed(1)}" y="${top + 2}" width="${width.toFixed(1)}" height="${height - 4}" fill="${color}" opacity="0.8"/>${text}`;
    });
    return label + pieces.join('');
  });
  return svg(frame, [...hours(frame), ...rows]);
}

type Bar = { readonly at: number; readonly base: number; readonly top: number };

/** Each line on top of those before it. */
function stack(lines: readonly Line[]): Bar[][] {
  const tops = new Map<number, number>();
  return lines.map(({ points }) =>
    points.map(({ at, value }) => {
      const base = tops.get(at) ?? 0;
      tops.set(at, base + value);
      return { at, base, top: base + value };
    }),
  );
}

type Pen = { readonly y: (value: number) => number; readonly color: string };

function barsOf(bars: readonly Bar[], frame: Frame, { y, color }: Pen): string {
  const width = Math.max(1, xOf(frame.from + frame.step, frame) - LEFT - 1);
  return bars
    .filter(({ top, base }) => top > base)
    .map(({ at, base, top }) => {
      const height = y(base) - y(top);
      return `<rect x="${(xOf(at, frame) - width).toFixed(1)}" y="${y(top).toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}" fill="${color}"/>`;
    })
    .join('');
}

/** Broken where points are missing. */
function polyline(points: readonly Point[], frame: Frame, { y, color }: Pen): string {
  const pieces: string[][] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const { at, value } of points) {
    if (at - last > frame.step * 1.5) pieces.push([]);
    pieces.at(-1)?.push(`${xOf(at, frame).toFixed(1)},${y(value).toFixed(1)}`);
    last = at;
  }
  return pieces
    .map(
      (piece) => `<polyline points="${piece.join(' ')}" fill="none" stroke="${color}" stroke-width="1.5"/>`,
    )
    .join('');
}

function runs(points: readonly Point[], step: number): { from: number; to: number; value: number }[] {
  const found: { from: number; to: number; value: number }[] = [];
  for (const { at, value } of points) {
    const last = found.at(-1);
    if (last !== undefined && last.value === value && at - last.to < step * 1.5) last.to = at;
    else found.push({ from: last?.to ?? at, to: at, value });
  }
  return found;
}

function valuesOf({ points }: Line): number[] {
  return points.map(({ value }) => value);
}

function xOf(at: number, { from, to, width }: Frame): number {
  return LEFT + ((at - from) / (to - from)) * (width - LEFT);
}

/** A round number above, and the distance of its grid lines; `least`: that of what is counted in wholes. */
function scale(highest: number, least: number): { max: number; tick: number } {
  if (highest <= 0) return { max: 1, tick: 1 };
  const rough = highest / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const tick = Math.max(([1, 2, 2.5, 5].find((factor) => factor * power >= rough) ?? 10) * power, least);
  return { max: Math.ceil(highest / tick) * tick, tick };
}

/** Times along the bottom. */
function hours(frame: Frame): string[] {
  const seconds = [1, 5, 15, 60, 300, 900, 3_600, 10_800, 43_200, 86_400];
  const apart = seconds.find((one) => (frame.to - frame.from) / one <= (frame.width - LEFT) / 60) ?? 86_400;
  const first = Math.ceil(frame.from / apart) * apart;
  const marks: string[] = [];
  for (let at = first; at < frame.to; at += apart) {
    const text = new Date(at * 1000).toISOString().slice(11, apart < 60 ? 19 : 16);
    marks.push(`<text x="${xOf(at, frame).toFixed(1)}" y="${frame.height - 12}" class="x">${text}</text>`);
  }
  return marks;
}

function svg({ width, height }: Frame, parts: readonly string[]): string {
  return `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${parts.join('')}</svg>`;
}
