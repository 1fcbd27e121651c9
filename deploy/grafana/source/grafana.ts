/**
 * A dashboard as Grafana's classic JSON, which Grafana 10 to 13 load. The data source is a variable: a fixed uid would
 * tie the files to one installation.
 */
import type { Dashboard, Panel, Query, Step, Unit, Variable } from './model.ts';

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = { readonly [name: string]: Json };

/** 39 is what Grafana 10.4 to 12 write; later ones take it and convert. */
const SCHEMA_VERSION = 39;
const SOURCE = { type: 'prometheus', uid: `\${datasource}` };
/** Ties the dashboards together: each links to all that have it. */
const TAG = 'sallyport';

export function grafanaJson(dashboard: Dashboard): JsonObject {
  return {
    id: null,
    uid: dashboard.uid,
    title: dashboard.title,
    description: dashboard.description,
    tags: [TAG],
    editable: false,
    graphTooltip: 1,
    schemaVersion: SCHEMA_VERSION,
    time: { from: 'now-6h', to: 'now' },
    timezone: 'browser',
    refresh: '30s',
    annotations: { list: [] },
    links: [
      {
        type: 'dashboards',
        title: 'Sallyport',
        tags: [TAG],
        asDropdown: false,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
        icon: 'external link',
        tooltip: '',
        url: '',
      },
    ],
    templating: { list: [sourceVariable(), ...dashboard.variables.map(variable)] },
    panels: laidOut(dashboard),
  };
}

function sourceVariable(): JsonObject {
  return {
    name: 'datasource',
    label: 'Data source',
    type: 'datasource',
    query: 'prometheus',
    regex: '',
    current: {},
    options: [],
    hide: 0,
    refresh: 1,
    includeAll: false,
    multi: false,
  };
}

function variable(of: Variable): JsonObject {
  const named = { name: of.name, label: of.title, hide: 0 };
  if (of.kind === 'text') {
    const current = { text: of.value, value: of.value, selected: true };
    return { ...named, type: 'textbox', query: of.value, current, options: [current] };
  }
  return {
    ...named,
    type: 'query',
    datasource: SOURCE,
    definition: of.values,
    query: { query: of.values, refId: of.name },
    regex: '',
    sort: 1,
    refresh: 2,
    multi: true,
    includeAll: true,
    // Matches the empty label as well: clients that nobody knows have no group.
    allValue: '.*',
    current: { text: ['All'], value: ['$__all'], selected: true },
    options: [],
  };
}

/** Rows of panels from the left to the right, numbered. */
function laidOut(dashboard: Dashboard): JsonObject[] {
  const placed: JsonObject[] = [];
  let y = 0;
  for (const row of dashboard.rows) {
    placed.push({
      id: placed.length + 1,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    for (const panel of row.panels) {
      const at = { x, y, w: panel.width, h: row.height };
      placed.push({ id: placed.length + 1, ...panelJson(panel), gridPos: at });
      x += panel.width;
    }
    y += row.height;
  }
  return placed;
}

function panelJson(panel: Panel): JsonObject {
  const { title, description } = panel;
  const common = { title, description, datasource: SOURCE };
  const links = [auditLink(panel)];
  if (panel.kind === 'stat') {
    return {
      ...common,
      type: 'stat',
      targets: [target(panel.query, 0, 'stat')],
      fieldConfig: fieldConfig(panel, { ...steps(panel.steps), links }),
      options: {
        colorMode: 'value',
        graphMode: 'none',
        justifyMode: 'auto',
        orientation: 'auto',
        textMode: 'auto',
        wideLayout: true,
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      },
    };
  }
  if (panel.kind === 'table') return { ...common, ...tableJson(panel, links) };
  if (panel.kind === 'timeline') return { ...common, ...timelineJson(panel, links) };
  const custom = {
    drawStyle: panel.stacked ? 'bars' : 'line',
    fillOpacity: panel.stacked ? 80 : 10,
    lineWidth: panel.stacked ? 0 : 1,
    showPoints: 'never',
    spanNulls: false,
    axisSoftMin: 0,
    stacking: { group: 'A', mode: panel.stacked ? 'normal' : 'none' },
  };
  return {
    ...common,
    type: 'timeseries',
    targets: panel.queries.map((query, at) => target(query, at, 'series')),
    fieldConfig: fieldConfig(panel, { custom, links, color: { mode: 'palette-classic' } }),
    options: {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  };
}

function tableJson(panel: Extract<Panel, { kind: 'table' }>, links: readonly Json[]): JsonObject {
  const indexByName = Object.fromEntries([...panel.columns, 'Value'].map((name, at) => [name, at]));
  return {
    type: 'table',
    targets: [target(panel.query, 0, 'table')],
    fieldConfig: {
      defaults: { custom: { align: 'auto', filterable: true }, links },
      overrides: [
        {
          matcher: { id: 'byName', options: panel.value },
          properties: [
            ...Object.entries(unitJson(panel.unit)).map(([id, value]) => ({ id, value })),
            { id: 'color', value: { mode: 'thresholds' } },
            { id: 'thresholds', value: thresholds(panel.steps) },
            { id: 'custom.cellOptions', value: { type: 'color-text' } },
          ],
        },
      ],
    },
    options: {
      cellHeight: 'sm',
      showHeader: true,
      sortBy: [{ displayName: panel.value, desc: true }],
    },
    transformations: [
      {
        id: 'organize',
        options: {
          excludeByName: { Time: true },
          indexByName,
          renameByName: { Value: panel.value },
        },
      },
    ],
  };
}

function timelineJson(panel: Extract<Panel, { kind: 'timeline' }>, links: readonly Json[]): JsonObject {
  const [off, on] = panel.states;
  const options = { '0': { text: off, color: 'green', index: 0 }, '1': { text: on, color: 'red', index: 1 } };
  return {
    type: 'state-timeline',
    targets: [target(panel.query, 0, 'series')],
    fieldConfig: fieldConfig(panel, { mappings: [{ type: 'value', options }], links }),
    options: {
      mergeValues: true,
      showValue: 'auto',
      rowHeight: 0.8,
      legend: { displayMode: 'list', placement: 'bottom', showLegend: false },
      tooltip: { mode: 'single', sort: 'none' },
    },
  };
}

function fieldConfig(panel: Panel, more: JsonObject): JsonObject {
  return { defaults: { ...unitJson(panel.unit), ...more }, overrides: [] };
}

/** increase() estimates: a count of events is shown without the fraction. */
function unitJson(unit: Unit): JsonObject {
  return unit === 'count' ? { unit: 'short', decimals: 0 } : { unit };
}

function steps(of: readonly Step[]): JsonObject {
  return { color: { mode: 'thresholds' }, thresholds: thresholds(of) };
}

function thresholds(of: readonly Step[]): JsonObject {
  return { mode: 'absolute', steps: of.map(({ from, color }) => ({ value: from, color })) };
}

function target({ expr, legend }: Query, at: number, kind: 'stat' | 'table' | 'series'): JsonObject {
  return {
    refId: String.fromCharCode(65 + at),
    datasource: SOURCE,
    editorMode: 'code',
    expr,
    legendFormat: legend,
    instant: kind !== 'series',
    range: kind === 'series',
    format: kind === 'table' ? 'table' : 'time_series',
  };
}

/** The console's audit search, told what was clicked on. */
function auditLink(panel: Panel): JsonObject {
  const clicked = panel.kind === 'table' ? 'data.fields' : 'field.labels';
  const asked = (panel.audit ?? []).map((label) => `${label}=\${__${clicked}.${label}}`);
  const query = asked.length === 0 ? '' : `?${asked.join('&')}`;
  return { title: 'Audit search', url: `\${console:raw}/#/audit${query}`, targetBlank: true };
}
