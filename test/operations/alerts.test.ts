// Alerts that can be trusted: each speaks of metrics that there are, fires on made-up series and not beside them, and has
// its section in the runbook with all that somebody needs who was just woken up.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { parse } from 'yaml';
import { mistakes, readKnown, selectorsOf } from './_promql.ts';

const root = join(import.meta.dirname, '..', '..');
const rulesFile = join(root, 'helm', 'sidebearer', 'files', 'alerts.yaml');
const runbook = readFileSync(join(root, 'docs', 'operations.md'), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

const { groups } = parse(readFileSync(rulesFile, 'utf8')) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);

t.test('every alert has a section in the runbook, and every section an alert', async (t) => {
  t.ok(rules.length >= 6);
  const sections = [...runbook.matchAll(/^### (Sidebearer\w+)\n(.*?)(?=^##|$(?![\s\S]))/gms)];
  t.strictSame(
    sections.map(([, name]) => name),
    rules.map(({ alert }) => alert),
  );
  for (const [, name = '', text = ''] of sections) {
    for (const part of ['Meaning', 'Impact', 'Diagnosis', 'Mitigation']) t.match(text, `**${part}.**`, name);
  }
  for (const { alert, annotations } of rules) {
    t.match(annotations['runbook'], new RegExp(`^docs/operations\\.md#${alert.toLowerCase()}$`));
    t.ok(annotations['summary'] && annotations['description'], alert);
  }
});

t.test('every metric, label and value that an alert names is one of ours', async (t) => {
  const known = await readKnown();
  for (const { alert, expr, annotations } of rules) {
    const shown = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label);
    t.ok(selectorsOf(expr).length > 0, alert);
    t.strictSame(mistakes(expr, known, shown), [], alert);
  }
});

t.test('promtool: each alert fires on its series, and on no others', async (t) => {
  const run = promisify(execFile);
  const version = await run('promtool', ['--version']).catch(() => undefined);
  if (version === undefined) return void t.pass('no promtool here', { skip: 'no promtool here' });
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-alerts-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // What an annotation says is checked above; here counts whether it fires.
  const bare = groups.map((group) => ({ ...group, rules: group.rules.map(({ annotations: _, ...rule }) => rule) }));
  writeFileSync(join(folder, 'rules.yaml'), JSON.stringify({ groups: bare }));
  const cases = readFileSync(join(import.meta.dirname, '_alerts-test.yaml'), 'utf8');
  const tests = cases.replace('RULES', join(folder, 'rules.yaml')).replaceAll(', exp_annotations: ANY', '');
  writeFileSync(join(folder, 'tests.yaml'), tests);
  for (const { alert } of rules) t.match(tests, `alertname: ${alert}`, `${alert} has a case`);
  await run('promtool', ['check', 'rules', rulesFile]);
  const { stdout } = await run('promtool', ['test', 'rules', join(folder, 'tests.yaml')]).catch((thrown) => thrown);
  t.match(stdout, 'SUCCESS');
});
