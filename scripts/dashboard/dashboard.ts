// The Grafana dashboard, helm/sidebearer/files/dashboard.json, in Grafana's classic form (version 9 and newer read it),
// written by `npm run docs` from the rows of this folder. Whoever imports it chooses the data source: it names none.
import { credentials } from './credentials.ts';
import { injector } from './injector.ts';
import { overview } from './overview.ts';
import type { Panel, PanelKind, Row } from './panel.ts';
import { processes } from './processes.ts';
import { requests } from './requests.ts';

const COLUMNS = 24;
const STAT_HEIGHT = 4;
const CHART_HEIGHT = 8;
const datasource = { type: 'prometheus', uid: '${datasource}' };

/** `everything`: what All stands for; without it, all values that were found. */
interface Variable {
  readonly name: string;
  readonly label: string;
  readonly query: string;
  readonly everything?: string;
}

/** `.*` also takes series without that label. Not for `job`: process_* of other programs would come along. */
const variables: readonly Variable[] = [
  {
    name: 'namespace',
    label: 'Namespace',
    query: 'label_values(sidebearer_build_info, namespace)',
    everything: '.*',
  },
  { name: 'job', label: 'Job', query: 'label_values(sidebearer_build_info{namespace=~"$namespace"}, job)' },
  {
    name: 'pod',
    label: 'Pod',
    query: 'label_values(sidebearer_build_info{namespace=~"$namespace",job=~"$job"}, pod)',
    everything: '.*',
  },
  {
    name: 'credential',
    label: 'Credential',
    query: 'label_values(sidebearer_credential_state{namespace=~"$namespace",job=~"$job"}, credential)',
    everything: '.*',
  },
  {
    name: 'route',
    label: 'Route',
    query: 'label_values(sidebearer_requests_total{namespace=~"$namespace",job=~"$job"}, route)',
    everything: '.*',
  },
];

function variable({ name, label, query, everything }: Variable): object {
  return {
    name,
    label,
    type: 'query',
    datasource,
    definition: query,
    query: { query, refId: name },
    includeAll: true,
    ...(everything !== undefined && { allValue: everything }),
    multi: true,
    current: { text: ['All'], value: ['$__all'] },
    options: [],
    refresh: 2,
    sort: 1,
  };
}

function drawing(kind: Exclude<PanelKind, 'stat'>): object {
  const isStacked = kind !== 'lines';
  return {
    drawStyle: kind === 'bars' ? 'bars' : 'line',
    lineWidth: 1,
    fillOpacity: kind === 'lines' ? 0 : kind === 'stack' ? 30 : 80,
    showPoints: 'never',
    stacking: { mode: isStacked ? 'normal' : 'none', group: 'A' },
  };
}

const statOptions = {
  reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
  colorMode: 'value',
  graphMode: 'area',
  textMode: 'value',
};
const chartOptions = {
  legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
  tooltip: { mode: 'multi', sort: 'desc' },
};

function panel(id: number, { kind, steps, ...given }: Panel, place: { x: number; y: number }): object {
  const isStat = kind === 'stat';
  const thresholds = steps?.map(({ from, color }) => ({ value: from, color }));
  return {
    id,
    type: isStat ? 'stat' : 'timeseries',
    title: given.title,
    description: given.description,
    datasource,
    gridPos: { ...place, w: given.width, h: isStat ? STAT_HEIGHT : CHART_HEIGHT },
    fieldConfig: {
      defaults: {
        unit: given.unit,
        ...(kind !== 'stat' && { custom: drawing(kind) }),
        thresholds: { mode: 'absolute', steps: thresholds ?? [{ value: null, color: 'green' }] },
      },
      overrides: [],
    },
    options: isStat ? statOptions : chartOptions,
    targets: given.queries.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + index),
      datasource,
      expr,
      legendFormat: legend,
      instant: isStat,
      range: !isStat,
    })),
  };
}

/** Panels from left to right, in lines as full as they get; each row begins below the one before. */
function layOut(all: readonly Row[]): object[] {
  const laid: object[] = [];
  let y = 0;
  for (const { title, panels } of all) {
    laid.push({
      id: laid.length + 1,
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: 24, h: 1 },
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const each of panels) {
      if (x + each.width > COLUMNS) {
        x = 0;
        y += height;
      }
      laid.push(panel(laid.length + 1, each, { x, y }));
      x += each.width;
      height = each.kind === 'stat' ? STAT_HEIGHT : CHART_HEIGHT;
    }
    y += height;
  }
  return laid;
}

export function createDashboard(): object {
  return {
    uid: 'sidebearer',
    title: 'Sidebearer',
    description: 'Tokens, refreshes and requests. What to do: docs/operations.md and docs/errors.md.',
    tags: ['sidebearer', 'oauth'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    time: { from: 'now-6h', to: 'now' },
    refresh: '1m',
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {}, refresh: 1 },
        ...variables.map(variable),
      ],
    },
    annotations: { list: [] },
    links: [],
    panels: layOut([overview, credentials, requests, processes, injector]),
  };
}
