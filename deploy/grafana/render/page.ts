/** A dashboard as one HTML page without scripts: the same panels at the same places, drawn by us and not by Grafana. */
import type { Dashboard, Panel, Series, Stat, Step, Table, Timeline } from '../source/model.ts';
import { askNow, askOver, type Line, type Source } from './ask.ts';
import { chart, colorOf, type Frame, states } from './chart.ts';
import { format } from './format.ts';
import { escaped } from './text.ts';

export const PAGE_WIDTH = 1400;
const COLUMN = (PAGE_WIDTH - 24) / 24;
const UNIT = 34;
const TITLE = 34;
const MAX_ROWS = 12;
const MAX_LEGEND = 8;

/** The page, and how high it is in pixels. */
export async function pageOf(
  dashboard: Dashboard,
  source: Source,
): Promise<{ html: string; height: number }> {
  const parts: string[] = [];
  let top = 74;
  for (const row of dashboard.rows) {
    parts.push(`<h2 style="top:${top}px">${escaped(row.title)}</h2>`);
    top += 30;
    let column = 0;
    for (const panel of row.panels) {
      const size = { width: panel.width * COLUMN - 8, height: row.height * UNIT - 8 };
      const inside = await panelHtml(panel, source, size);
      parts.push(
        `<section style="left:${(12 + column * COLUMN).toFixed(0)}px;top:${top}px;width:${size.width.toFixed(0)}px;height:${size.height}px" title="${escaped(panel.description)}"><h3>${escaped(panel.title)}</h3>${inside}</section>`,
      );
      column += panel.width;
    }
    top += row.height * UNIT;
  }
  const { range } = source.times;
  const note = `Drawn by deploy/grafana/render.ts, not by Grafana. The last ${format(range, 's', 0)}; times are UTC.`;
  const html = `<!doctype html><meta charset="utf-8"><title>${escaped(dashboard.title)}</title><style>${STYLE}</style><h1>${escaped(dashboard.title)}</h1><p class="note">${escaped(note)}</p>${parts.join('\n')}\n`;
  return { html, height: top + 8 };
}

type Size = { readonly width: number; readonly height: number };

async function panelHtml(panel: Panel, source: Source, size: Size): Promise<string> {
  switch (panel.kind) {
    case 'stat':
      return statHtml(panel, await askNow(source, panel.query), source);
    case 'table':
      return tableHtml(panel, await askNow(source, panel.query), source);
    case 'series':
      return seriesHtml(panel, source, size);
    case 'timeline':
      return timelineHtml(panel, source, size);
  }
}

function statHtml({ unit, steps }: Stat, lines: readonly Line[], { now }: Source): string {
  const value = lines[0]?.points.at(-1)?.value;
  if (value === undefined) return '<div class="none">No data</div>';
  return `<div class="stat ${colorAt(steps, value)}">${escaped(format(value, unit, now))}</div>`;
}

function tableHtml(
  { columns, value: heading, unit, steps }: Table,
  lines: readonly Line[],
  { now }: Source,
): string {
  if (lines.length === 0) return '<div class="none">No data</div>';
  const rows = lines
    .map(({ labels, points }) => ({ labels, value: points.at(-1)?.value ?? 0 }))
    .sort((a, b) => b.value - a.value);
  const cell = (text: string, color = ''): string => `<td class="${color}">${escaped(text)}</td>`;
  const body = rows.slice(0, MAX_ROWS).map(({ labels, value }) => {
    const named = columns.map((name) => cell(labels[name] ?? ''));
    return `<tr>${named.join('')}${cell(format(value, unit, now), colorAt(steps, value))}</tr>`;
  });
  const head = [...columns, heading].map((name) => `<th>${escaped(name)}</th>`).join('');
  const more = rows.length > MAX_ROWS ? `<p class="more">and ${rows.length - MAX_ROWS} more</p>` : '';
  return `<table><tr>${head}</tr>${body.join('')}</table>${more}`;
}

async function seriesHtml(panel: Series, source: Source, size: Size): Promise<string> {
  const lists = await Promise.all(panel.queries.map((query) => askOver(source, query)));
  const lines = lists.flat().filter(({ points }) => points.length > 0);
  if (lines.length === 0) return '<div class="none">No data</div>';
  const legend = lines
    .slice(0, MAX_LEGEND)
    .map(({ name }, index) => `<span><i style="background:${colorOf(index)}"></i>${escaped(name)}</span>`);
  const frame = frameOf(source, { width: size.width - 24, height: size.height - TITLE - 34 });
  return `${chart(lines, panel, frame)}<div class="legend">${legend.join('')}</div>`;
}

async function timelineHtml(panel: Timeline, source: Source, size: Size): Promise<string> {
  const lines = await askOver(source, panel.query);
  if (lines.length === 0) return '<div class="none">No data</div>';
  return states(
    lines,
    panel.states,
    frameOf(source, { width: size.width - 24, height: size.height - TITLE - 8 }),
  );
}

function frameOf({ now, times }: Source, size: Size): Frame {
  return { ...size, from: now - times.range, to: now, step: times.step };
}

function colorAt(steps: readonly Step[], value: number): string {
  return steps.findLast(({ from }) => from === null || value >= from)?.color ?? 'text';
}

const STYLE = `
* { box-sizing: border-box; margin: 0; font-family: "DejaVu Sans", "Liberation Sans", Arial, sans-serif; }
body { width: ${PAGE_WIDTH}px; background: #111217; color: #ccccdc; position: relative; }
h1 { position: absolute; left: 16px; top: 16px; font-size: 20px; font-weight: 500; }
.note { position: absolute; left: 16px; top: 46px; font-size: 12px; color: #8e8e9c; }
h2 { position: absolute; left: 16px; font-size: 14px; font-weight: 500; line-height: 30px; }
section { position: absolute; background: #181b1f; border: 1px solid #2c3037; border-radius: 3px; padding: 0 12px; overflow: hidden; }
h3 { font-size: 13px; font-weight: 500; line-height: ${TITLE}px; white-space: nowrap; }
.stat { font-size: 40px; line-height: 72px; text-align: center; }
.none { color: #8e8e9c; text-align: center; padding-top: 24px; font-size: 14px; }
.green { color: #73bf69; } .yellow { color: #f2cc0c; } .red { color: #f2495c; } .blue { color: #5794f2; }
table { width: 100%; border-collapse: collapse; font-size: 12px; }
th { text-align: left; color: #6e9fff; font-weight: 500; }
th, td { padding: 4px 8px 4px 0; border-bottom: 1px solid #22252b; white-space: nowrap; max-width: 330px; overflow: hidden; text-overflow: ellipsis; }
th:last-child, td:last-child { text-align: right; padding-right: 0; }
.more { font-size: 11px; color: #8e8e9c; padding-top: 4px; }
.legend { font-size: 11px; height: 28px; overflow: hidden; }
.legend span { margin-right: 12px; white-space: nowrap; } .legend i { display: inline-block; width: 12px; height: 4px; margin-right: 5px; vertical-align: middle; }
svg { display: block; } text { fill: #8e8e9c; font-size: 11px; dominant-baseline: middle; } .y { text-anchor: end; } .x { text-anchor: middle; }
.state { fill: #111217; } .grid { stroke: #25282e; }
`;
