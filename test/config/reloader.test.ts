// The reloader on real files and a clock of the test's own: when it looks, what it tells, and how often.
import { createHook } from 'node:async_hooks';
import { mkdirSync, mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readFile } from '../../src/cli/configuration.ts';
import { systemClock } from '../../src/clock.ts';
import { ConfigRefusal } from '../../src/config/refusal.ts';
import { createReloader, readConfig } from '../../src/config/reloader.ts';
import type { Config } from '../../src/config/schema.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';

const text = (upstream = 'https://one.example', more = ''): string => `
routes: [{ upstream: "${upstream}", credential: app }]
credentials: { app: { provider: file, path: /token } }
store: { kind: memory }
${more}`;

async function start(
  t: Test,
  first = text(),
  files: Readonly<Record<string, string>> = {},
  read: (path: string) => string = readFile,
) {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  const file = join(folder, 'config.yaml');
  const put = (content: string, name = 'config.yaml'): void => {
    writeFileSync(join(folder, '.new'), content);
    renameSync(join(folder, '.new'), join(folder, name));
  };
  for (const [name, content] of Object.entries(files)) put(content, name);
  put(first.replaceAll('FOLDER', folder));
  const source = { file, env: {}, readFile: (path: string) => read(path) };
  const { loaded, files: contents } = readConfig(source);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.mistakes));
  const told: string[] = [];
  const applied: Config[] = [];
  let apply: (config: Config) => Promise<void> = async () => undefined;
  const reloader = createReloader({
    source,
    config: loaded.config,
    files: contents,
    adjust: (config) => config,
    apply: async (config, against) => {
      const found = await apply(config).then(
        () => [],
        (thrown: ConfigRefusal) => thrown.errors,
      );
      if (against.length + found.length > 0) throw new ConfigRefusal([...against, ...found]);
      applied.push(config);
    },
    observer: {
      applied: ({ settings }) => void told.push(`applied ${settings}`),
      refused: (mistakes) => void told.push(`refused ${mistakes.map(({ error }) => error.code)}`),
      unchanged: () => void told.push('unchanged'),
    },
    warn: () => undefined,
    clock: systemClock,
  });
  // A watch keeps no process alive.
  const awake = setInterval(() => undefined, 1_000);
  t.teardown(async () => {
    clearInterval(awake);
    await reloader.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const until = async (count: number): Promise<void> => {
    while (told.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  return {
    folder,
    file,
    put: (content: string, name?: string) => put(content.replaceAll('FOLDER', folder), name),
    reloader,
    told,
    applied,
    until,
    onApply(next: typeof apply) {
      apply = next;
    },
  };
}

t.test('a change is put in force; what stays the same is not', async (t) => {
  const { put, until, told, applied, reloader, folder } = await start(t);
  writeFileSync(join(folder, 'neighbour'), 'x');
  put(text('https://two.example'));
  await until(1);
  reloader.request();
  await until(2);
  t.strictSame(told, ['applied routes[0].upstream', 'unchanged']);
  t.equal(applied.length, 1);
});

t.test('a change while another is being put in force comes after it: the last state wins', async (t) => {
  const { put, until, told, applied, onApply } = await start(t);
  const held = Promise.withResolvers<void>();
  onApply(() => held.promise);
  put(text('https://two.example'));
  await new Promise((resolve) => setTimeout(resolve, 200));
  put(text('https://three.example'));
  put(text('https://four.example'));
  held.resolve();
  await until(2);
  t.strictSame(told, ['applied routes[0].upstream', 'applied routes[0].upstream']);
  t.equal(applied.at(-1)?.routes[0]?.upstream, 'https://four.example');
});

t.test('a file that is half written or away for a moment is nobody’s mistake', async (t) => {
  const { put, until, told, file } = await start(t);
  unlinkSync(file);
  await new Promise((resolve) => setTimeout(resolve, 200));
  writeFileSync(file, 'routes: [');
  await new Promise((resolve) => setTimeout(resolve, 200));
  put(text('https://two.example'));
  await until(1);
  t.strictSame(told, ['applied routes[0].upstream']);
});

t.test('a mistake is told once, and its end; a person who asks hears it again', async (t) => {
  const { put, until, told, applied, reloader } = await start(t);
  put(text('https://two.example', 'lgo: {}'));
  await until(1);
  put(text('https://two.example', 'lgo: {}'));
  await new Promise((resolve) => setTimeout(resolve, 300));
  reloader.request();
  await until(2);
  put(text());
  await until(3);
  t.strictSame(told, ['refused config_key_unknown', 'refused config_key_unknown', 'unchanged']);
  t.equal(applied.length, 0);
});

t.test('what cannot be put in force is refused as a whole, with all that is wrong', async (t) => {
  const { put, until, told, onApply } = await start(t);
  const wrong = (setting: string) => new SidebearerError('tls_file_unusable', { setting });
  onApply(() => Promise.reject(new ConfigRefusal([wrong('routes[0].tls.ca'), wrong('listen.tls.key')])));
  put(text('https://two.example'));
  await until(1);
  put(text('https://two.example', 'log: { format: pretty }\nlimits: { headerBytes: 1KiB }'));
  await until(2);
  t.strictSame(told, [
    'refused tls_file_unusable,tls_file_unusable',
    'refused restart_required,restart_required,tls_file_unusable,tls_file_unusable',
  ]);
  onApply(async () => undefined);
  put(text('https://two.example'));
  await until(3);
  t.equal(told.at(-1), 'applied routes[0].upstream', 'mended');
});

t.test('files that it names are followed, those that a refused one names as well', async (t) => {
  const level = (name: string): string => text(undefined, `log: { level: "\${file:FOLDER/${name}}" }`);
  const { put, until, told, applied } = await start(t, level('level'), { level: 'info' });
  put('debug', 'level');
  await until(1);
  put(level('other'));
  await until(2);
  put('warn', 'other');
  await until(3);
  t.strictSame(told, ['applied log.level', 'refused config_reference_missing', 'applied log.level']);
  t.strictSame(
    applied.map(({ log }) => log.level),
    ['debug', 'warn'],
  );
});

t.test('a mistake that is mended while it is looked at a second time is not taken for the mistake', async (t) => {
  const { put, until, told, onApply } = await start(t);
  let attempts = 0;
  onApply(async ({ routes }) => {
    if (routes[0]?.upstream !== 'https://two.example') return;
    attempts += 1;
    if (attempts === 2) put(text('https://three.example'));
    throw new ConfigRefusal([new SidebearerError('tls_file_unusable', { setting: 'routes[0].tls.ca' })]);
  });
  put(text('https://two.example'));
  await until(2);
  t.strictSame(told, ['refused tls_file_unusable', 'applied routes[0].upstream']);
});

t.test('a file that changes just after it was read is read again', async (t) => {
  let isOver = false;
  const { put, until, told, applied } = await start(t, text(), {}, (path) => {
    const content = readFile(path);
    if (!isOver && content.includes('two.example')) {
      isOver = true;
      put(text('https://three.example'));
    }
    return content;
  });
  put(text('https://two.example'));
  await until(2);
  t.strictSame(told, ['applied routes[0].upstream', 'applied routes[0].upstream']);
  t.equal(applied.at(-1)?.routes[0]?.upstream, 'https://three.example');
});

t.test('a mistake is told in a folder that never rests', async (t) => {
  const { put, until, told, folder } = await start(t);
  const neighbour = setInterval(() => writeFileSync(join(folder, 'neighbour'), String(Math.random())), 20);
  t.teardown(() => clearInterval(neighbour));
  put(text('https://two.example', 'lgo: {}'));
  await until(1);
  put(text('https://two.example'));
  await until(2);
  t.strictSame(told, ['refused config_key_unknown', 'applied routes[0].upstream']);
});

t.test('the end of a mistake is told, too, where the refused one named other files', async (t) => {
  const { put, until, told } = await start(t);
  put(text(undefined, `log: { level: "\${file:FOLDER/nowhere}" }`));
  await until(1);
  put(text());
  await until(2);
  t.strictSame(told, ['refused config_reference_missing', 'unchanged']);
});

t.test('two hundred changes leave no watch behind', async (t) => {
  const level = (name: string): string => text(undefined, `log: { level: "\${file:FOLDER/${name}/level}" }`);
  const watches = new Set<number>();
  const hook = createHook({
    init: (id, type) => void (type === 'FSEVENTWRAP' && watches.add(id)),
    destroy: (id) => void watches.delete(id),
  }).enable();
  t.teardown(() => hook.disable());
  const { put, until, folder, reloader } = await start(t);
  t.equal(watches.size, 1);
  const folders = ['a', 'b', 'c'];
  for (const name of folders) {
    mkdirSync(join(folder, name));
    put(name === 'a' ? 'debug' : 'warn', `${name}/level`);
  }
  for (let round = 0; round < 200; round += 1) {
    put(level(folders[round % 3] ?? ''));
    reloader.request();
    await until(round + 1);
  }
  const left = async (count: number): Promise<void> => {
    while (watches.size > count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await left(2);
  await reloader.close();
  await left(0);
  t.pass('one for each folder, and none in the end');
});
