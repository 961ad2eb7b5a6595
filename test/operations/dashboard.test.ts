// A dashboard that can be trusted: each panel speaks of metrics and labels that there are, draws something where they
// have values, says what it means, and is found again under its UID by whichever data source it is shown.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { createInjectorMetrics } from '../../src/telemetry/injector-metrics.ts';
import { injectorMetricDefinitions, metricDefinitions } from '../../src/telemetry/metric-definitions.ts';
import { createBusyTelemetry } from '../telemetry/_busy.ts';
import { parseExposition } from '../telemetry/_exposition.ts';
import { groupedBy, mistakes, readKnown, selectorsOf } from './_promql.ts';

const root = join(import.meta.dirname, '..', '..');
const text = readFileSync(join(root, 'helm', 'sidebearer', 'files', 'dashboard.json'), 'utf8');

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: object;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: object;
  }[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
  readonly datasource?: object;
}

const dashboard = JSON.parse(text) as {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
};
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const targets = panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));

t.test('it keeps its UID, and every id and title is there once', async (t) => {
  t.equal(dashboard.uid, 'sidebearer');
  t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
  t.equal(new Set(panels.map(({ title }) => title)).size, panels.length);
});

t.test('every panel has a title, a description, a unit and a query', async (t) => {
  t.ok(panels.length > 20);
  for (const { title, description, fieldConfig, targets } of panels) {
    t.ok(title);
    t.match(description, /\w.*[.\w]$/, title);
    t.ok(fieldConfig?.defaults.unit, title);
    t.ok(targets !== undefined && targets.length > 0, title);
  }
});

t.test('panels do not overlap and stay within the columns', async (t) => {
  const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
  );
  t.equal(new Set(cells).size, cells.length);
  for (const { title, gridPos } of dashboard.panels) t.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, title);
});

t.test('the data source is a variable, for panels, queries and variables alike', async (t) => {
  const [first, ...others] = dashboard.templating.list;
  t.match(first, { name: 'datasource', type: 'datasource', query: 'prometheus' });
  const chosen = { type: 'prometheus', uid: '${datasource}' };
  for (const { title, datasource, targets = [] } of panels) {
    t.strictSame(datasource, chosen, title);
    for (const target of targets) t.strictSame(target.datasource, chosen, title);
  }
  for (const { name, datasource } of others) t.strictSame(datasource, chosen, name);
  t.strictSame(
    dashboard.templating.list.map(({ name }) => name),
    ['datasource', 'namespace', 'job', 'pod', 'credential', 'route'],
  );
});

t.test('what the check of expressions knows it tells', async (t) => {
  const known = await readKnown();
  t.strictSame(mistakes('max by (namespace) (sidebearer_store_dirty{credential="c"})', known), []);
  t.strictSame(mistakes('sidebearer_store_drity', known), ['there is no sidebearer_store_drity']);
  t.strictSame(mistakes('other_total{a="b"}', known), ['there is no other_total']);
  t.strictSame(mistakes('sidebearer_request_duration_seconds', known), [
    'there is no sidebearer_request_duration_seconds',
  ]);
  t.strictSame(mistakes('sidebearer_store_dirty{kind!~"f"}', known), ['sidebearer_store_dirty has no label kind']);
  t.strictSame(mistakes('sidebearer_credential_state{state=~"dead|deaf"}', known), ['state is never deaf']);
  t.strictSame(mistakes('sum by (kind) (sidebearer_store_dirty)', known, ['hash']), [
    'nothing in it has the label kind',
    'nothing in it has the label hash',
  ]);
});

t.test('every metric and label of a query, of its legend and of a variable is one of ours', async (t) => {
  const known = await readKnown();
  for (const { title, expr, legendFormat } of targets) {
    const inLegend = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
    t.strictSame(mistakes(expr, known, inLegend), [], title);
    const kept = groupedBy(expr);
    for (const label of inLegend) t.ok(kept.includes(label), `${title}: ${label} is aggregated away`);
    t.ok(
      selectorsOf(expr).every(({ matchers }) =>
        ['namespace', 'job', 'pod'].every((name) => matchers.some(({ label }) => label === name)),
      ),
      `${title} is narrowed by the variables`,
    );
  }
  for (const { name, query } of dashboard.templating.list) {
    if (typeof query === 'string') continue;
    const [, of = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(query.query) ?? [];
    t.strictSame(mistakes(of, known, [label]), [], name);
    t.equal(label, name);
  }
});

t.test('every metric of ours is on it', async (t) => {
  const shown = new Set(targets.flatMap(({ expr }) => selectorsOf(expr).map(({ metric }) => metric)));
  for (const { name } of [...Object.values(metricDefinitions), ...Object.values(injectorMetricDefinitions)]) {
    t.ok(shown.has(name) || shown.has(`${name}_bucket`), name);
  }
});

t.test('promtool: each query draws something where its metrics have values', async (t) => {
  const run = promisify(execFile);
  const version = await run('promtool', ['--version']).catch(() => undefined);
  if (version === undefined) return void t.pass('no promtool here', { skip: 'no promtool here' });
  const webhook = await createInjectorMetrics({ version: '1', node: '24' }).expose();
  const families = [
    ...(await (await createBusyTelemetry()).scrape()).values(),
    ...[...parseExposition(webhook.body)].flatMap(([name, family]) => (name.includes('_inject') ? [family] : [])),
  ];
  const input_series = families.flatMap(({ type, samples }) =>
    samples.map(({ name, labels }) => ({
      series: `${name}${JSON.stringify({ namespace: 'n', pod: 'p', job: 'j', ...labels }).replaceAll(/"(\w+)":/g, '$1=')}`,
      values: type === 'gauge' ? '1x20' : '0+1x20',
    })),
  );
  // An alert for each query: it fires where the query has a result, whatever its labels are.
  const rules = targets.map(({ title, refId, expr }) => ({
    alert: `${title} ${refId}`,
    expr: `count(${expr.replaceAll('$__rate_interval', '5m').replaceAll(/"\$\w+"/g, '".*"')}) > 0`,
  }));
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-dashboard-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const rulesFile = join(folder, 'rules.yaml');
  const testsFile = join(folder, 'tests.yaml');
  writeFileSync(rulesFile, JSON.stringify({ groups: [{ name: 'panels', rules }] }));
  const alert_rule_test = rules.map(({ alert }) => ({ alertname: alert, eval_time: '10m', exp_alerts: [{}] }));
  const tests = [{ interval: '1m', input_series, alert_rule_test }];
  writeFileSync(testsFile, JSON.stringify({ rule_files: [rulesFile], evaluation_interval: '1m', tests }));
  const { stdout, stderr } = await run('promtool', ['test', 'rules', testsFile]).catch((thrown) => thrown);
  t.match(stdout, 'SUCCESS', stderr);
});
