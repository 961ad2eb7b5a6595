// The direction of imports, the size of rooms' doors, and names: a rule that is only written rots.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '..');
const source = join(root, 'src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

const contracts = new Set(['stores/store.ts', 'providers/provider.ts']);
const foundations = new Set(['clock.ts', 'connections.ts', 'file-watch.ts', 'listen.ts']);

/** Which rooms a room may look into, besides itself and what is below it. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  foundations: ['errors'],
  egress: ['errors', 'foundations'],
  contracts: ['errors', 'foundations'],
  stores: ['contracts', 'errors', 'foundations'],
  providers: ['contracts', 'egress', 'errors', 'foundations'],
  credentials: ['contracts', 'errors', 'foundations'],
  proxy: ['credentials', 'contracts', 'egress', 'errors', 'foundations'],
  oauth: ['credentials', 'contracts', 'errors', 'foundations'],
  telemetry: [
    'proxy/observer.ts',
    'oauth/observer.ts',
    'config/reload-observer.ts',
    'credentials',
    'contracts',
    'errors',
    'foundations',
  ],
  config: ['egress', 'errors', 'foundations'],
  inject: ['config/nearest.ts', 'egress', 'errors', 'foundations'],
  assembly: [
    'config',
    'proxy',
    'oauth',
    'telemetry',
    'credentials',
    'egress',
    'stores',
    'providers',
    'contracts',
    'errors',
    'foundations',
  ],
  'injector.ts': ['inject', 'telemetry', 'errors', 'foundations'],
  'sidecar.ts': [
    'assembly',
    'config',
    'proxy',
    'oauth',
    'telemetry',
    'credentials',
    'stores',
    'contracts',
    'errors',
    'foundations',
  ],
  cli: ['sidecar.ts', 'assembly', 'injector.ts', 'inject', 'config', 'errors', 'foundations'],
  'main.ts': ['cli', 'errors', 'foundations'],
};

function roomOf(file: string): string {
  if (contracts.has(file)) return 'contracts';
  if (foundations.has(file)) return 'foundations';
  return file.includes('/') ? (file.split('/')[0] ?? file) : file;
}

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(source, file), 'utf8');
  const found: Import[] = [];
  for (const match of text.matchAll(
    /(import|export)(\s+type)?[^;'"]*?from\s+'(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)/g,
  )) {
    const specifier = match[3] ?? match[4] ?? '';
    const to = relative(source, join(source, dirname(file), specifier));
    found.push({ from: file, to, isTypeOnly: match[2] !== undefined });
  }
  return found;
}

const imports = files.flatMap(importsOf);

t.test('every import follows the direction of the architecture', (t) => {
  t.ok(imports.length > 100, 'imports were found at all');
  const wrong = imports.filter(({ from, to }) => {
    const [a, b] = [roomOf(from), roomOf(to)];
    const may = allowed[a];
    // The contracts name each other's data: a record holds an account.
    return may === undefined || !(a === b || may.includes(b) || may.includes(to));
  });
  t.strictSame(
    wrong.map(({ from, to }) => `${from} → ${to}`),
    [],
  );
  t.end();
});

t.test('only the composition root imports implementations of stores and providers', (t) => {
  const wrong = imports.filter(({ from, to, isTypeOnly }) => {
    const isImplementation = /^(stores|providers)\//.test(to) && !contracts.has(to);
    return isImplementation && !isTypeOnly && roomOf(from) !== 'assembly' && roomOf(from) !== roomOf(to);
  });
  t.strictSame(wrong, []);
  t.end();
});

t.test('files are kebab-case nouns without barrels and catch-alls', (t) => {
  for (const file of files) {
    t.match(file, /^(?:[a-z][a-z0-9]*(?:-[a-z0-9]+)*\/)*[a-z][a-z0-9]*(?:-[a-z0-9]+)*\.ts$/, file);
    t.notMatch(file, /(?:^|\/)(?:index|utils?|helpers?|common|types)\.ts$/, file);
  }
  t.end();
});

t.test('every file opens with what it is for', (t) => {
  for (const file of files) t.match(readFileSync(join(source, file), 'utf8'), /^(?:#!.*\n)?\/\/ \S/, file);
  t.end();
});

t.test('zod is imported as a namespace: by its name `z` all its languages get into the bundle', (t) => {
  const seen = files.flatMap((file) =>
    [...readFileSync(join(source, file), 'utf8').matchAll(/^import (.+) from 'zod[^']*';$/gm)].map(
      ([line]) => [file, line] as const,
    ),
  );
  t.ok(seen.length > 5);
  for (const [file, line] of seen) t.match(line, /^import (?:type )?\* as z from 'zod';$/, file);
  t.end();
});
