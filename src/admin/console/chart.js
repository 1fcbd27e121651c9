/** Small bars over time, drawn as SVG: what was allowed and what was refused, a bar for each span. */
import { html } from './ui.js';

const WIDTH = 600;
const HEIGHT = 120;
const BASE = HEIGHT - 4;

/** `bars`: `[{ at, allowed, refused }]`, oldest first. */
export function Bars({ bars, label }) {
  const most = Math.max(1, ...bars.map(({ allowed, refused }) => allowed + refused));
  const step = WIDTH / bars.length;
  const size = (count) => (count / most) * (BASE - 4);
  return html`<svg class="chart" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label} preserveAspectRatio="none">
    <line class="axis" x1="0" x2=${WIDTH} y1=${BASE} y2=${BASE} />
    ${bars.map(({ at, allowed, refused }, index) => {
      const x = index * step + 1;
      const width = Math.max(1, step - 2);
      const title = `${new Date(at).toLocaleTimeString()}: ${allowed} allowed, ${refused} refused`;
      return html`<g><title>${title}</title>
        <rect class="ok" x=${x} width=${width} y=${BASE - size(allowed)} height=${size(allowed)} />
        <rect class="no" x=${x} width=${width} y=${BASE - size(allowed) - size(refused)} height=${size(refused)} /></g>`;
    })}</svg>`;
}

/** Decision records into bars of `spanMs`, of which the last one ends now. */
export function barsOf(records, { now, spanMs, count }) {
  const last = Math.floor(now / spanMs);
  const bars = Array.from({ length: count }, (_, index) => ({
    at: (last - count + 1 + index) * spanMs,
    allowed: 0,
    refused: 0,
  }));
  for (const { at, verdict } of records) {
    const bar = bars[Math.floor(Date.parse(at) / spanMs) - last + count - 1];
    if (bar === undefined) continue;
    if (verdict === 'allow' || verdict === 'would_deny') bar.allowed += 1;
    else if (verdict === 'deny') bar.refused += 1;
  }
  return bars;
}
