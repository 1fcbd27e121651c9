import { expect, it } from 'vitest';
import { chart } from '../../deploy/grafana/render/chart.ts';
import { format } from '../../deploy/grafana/render/format.ts';
import { escaped } from '../../deploy/grafana/render/text.ts';

it.each([
  [0, 'count', '0'],
  [89.4, 'count', '89'],
  [12_345, 'count', '12.3 k'],
  [0.5283, 'percentunit', '52.8 %'],
  [0.00042, 's', '420 µs'],
  [0, 's', '0 s'],
  [7_776_000, 's', '90 d'],
  [212_000_000, 'bytes', '212 MB'],
  [14.7, 'reqps', '14.7/s'],
  [940_000, 'dateTimeFromNow', '1 min ago'],
  [1, 'bool_yes_no', 'yes'],
] as const)('%d as %s is %s', (value, unit, text) => {
  expect(format(value, unit, 1_000)).toBe(text);
});

it('a name that a sandbox made up is text on the page, whatever is in it', () => {
  expect(escaped(`<img src=x onerror="a&b">`)).toBe('&lt;img src=x onerror=&quot;a&amp;b&quot;&gt;');
});

it('a chart of nothing but zeros has an axis', () => {
  const frame = { width: 300, height: 200, from: 0, to: 60, step: 15 };
  const points = [0, 15, 30].map((at) => ({ at, value: 0 }));
  const svg = chart([{ name: 'a', labels: {}, points }], { unit: 'count', stacked: false }, frame);
  expect(svg).not.toMatch(/NaN|Infinity/);
  expect(svg).toContain('>1</text>');
});
