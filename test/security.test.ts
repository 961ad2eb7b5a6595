// docs/security.md, and the part of docs/operations.md about an image without a shell, name what exists: tests, sources,
// settings, codes, metrics, alerts, paths of the image (commands, flags and links are those of readme.test.ts). A threat model that points nowhere is a wish.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { listSettings } from '../src/config/settings.ts';
import { catalogue } from '../src/errors/catalogue.ts';
import { metricDefinitions } from '../src/telemetry/metric-definitions.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const model = read('docs/security.md');
const operations = read('docs/operations.md');
const shellless = operations.slice(
  operations.indexOf('\n## An image without a shell'),
  operations.indexOf('\n## Alerts'),
);

/** Every piece of inline code. */
const spans = [...`${model}\n${shellless}`.replace(/^ *```.*?^ *```/gms, '').matchAll(/`([^`\n]+)`/g)].map(
  ([, span = '']) => span,
);
const fitting = (pattern: RegExp): string[] => [...new Set(spans.filter((span) => pattern.test(span)))];

t.test('every test and every source that is named exists', async (t) => {
  const tests = fitting(/\.test\.ts$/);
  t.ok(tests.length > 40);
  for (const name of tests) t.ok(existsSync(join(root, 'test', name)), name);
  const sources = fitting(/^[a-z/-]+\.ts$/);
  t.ok(sources.length > 0);
  for (const name of sources) t.ok(existsSync(join(root, 'src', name)), name);
});

t.test('every line of a threat names a test', async (t) => {
  const rows = model
    .slice(model.indexOf('## Threats'))
    .split('\n')
    .filter((line) => /^\| (?!threat |---)/.test(line));
  t.ok(rows.length > 30);
  for (const row of rows) t.match(row, /`[a-z0-9/-]+\.test\.ts`/, row.slice(0, 60));
});

t.test('every setting that is named is one', async (t) => {
  const paths = listSettings().map(({ path }) => path);
  const groups = new Set(paths.map((path) => path.split(/[.[]/, 1)[0] ?? ''));
  const named = fitting(/^[a-z]+\.[a-zA-Z.]+(?:: [a-z]+)?$/)
    .map((span) => span.split(':', 1)[0] ?? '')
    .filter((span) => groups.has(span.split('.', 1)[0] ?? ''));
  t.ok(named.length > 8);
  for (const name of named) t.ok(paths.includes(name), name);
  const ofCredentials = new Set(paths.map((path) => path.split('.').at(-1)));
  for (const name of ['allowHttp', 'clientSecret', 'tokenUrl']) {
    t.ok(spans.includes(name) && ofCredentials.has(name), name);
  }
});

/** Words of that shape which are not codes of failures. */
const others = new Set(['core_pattern', 'logged_out_here']);

t.test('every code, metric and alert that is named exists', async (t) => {
  const words = fitting(/^[a-z]+(?:_[a-z]+)+$/).filter((word) => !others.has(word));
  const metrics = new Set<string>([
    ...Object.values(metricDefinitions).map(({ name }) => name),
    'process_resident_memory_bytes',
  ]);
  t.ok(words.length > 10);
  for (const word of words) t.ok(Object.hasOwn(catalogue, word) || metrics.has(word), word);
  const alerts = read('helm/sidebearer/files/alerts.yaml');
  for (const name of fitting(/^Sidebearer[A-Z][A-Za-z]+$/)) t.match(alerts, `alert: ${name}\n`);
});

t.test('the paths and flags of the image are those of the Dockerfile', async (t) => {
  const dockerfile = read('Dockerfile');
  for (const path of ['/nodejs/bin/node', '/app/sidebearer.js', '/etc/sidebearer/config.yaml']) {
    t.match(shellless, path);
    t.match(dockerfile, `"${path}"`);
  }
  t.match(dockerfile, ' /usr/local/bin/sidebearer\n');
  t.match(read('scripts/image-command.mjs'), /^#!\/nodejs\/bin\/node\n.*import '\/app\/sidebearer\.js';\n$/s);
  t.match(dockerfile, /ENTRYPOINT .*"--disable-sigusr1"/);
  t.match(dockerfile, 'npm ci --ignore-scripts');
  t.match(dockerfile, 'USER 65532:65532');
  t.notMatch(dockerfile, /^ARG (?:BUILD|BASE)=/m, 'both bases are named by who builds');
});

t.test('dependencies are pinned exactly', async (t) => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    t.match(version, /^\d+\.\d+\.\d+$/, name);
  }
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { integrity?: string; link?: boolean }>;
  };
  for (const [path, { integrity }] of Object.entries(packages)) {
    if (path !== '') t.match(integrity ?? '', /^sha(?:512|256)-/, path);
  }
});
