// The reloader on real files: when it looks, and what it puts in force.
import { createHook } from 'node:async_hooks';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readFile } from '../../src/cli/configuration.ts';
import type { Config } from '../../src/config/schema.ts';
import { start, text } from './_reloader.ts';

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

t.test('a file that changes just after it was read is read again', async (t) => {
  let isOver = false;
  const { put, until, told, applied } = await start(
    t,
    text(),
    {},
    {
      read: (path) => {
        const content = readFile(path);
        if (!isOver && content.includes('two.example')) {
          isOver = true;
          put(text('https://three.example'));
        }
        return content;
      },
    },
  );
  put(text('https://two.example'));
  await until(2);
  t.strictSame(told, ['applied routes[0].upstream', 'applied routes[0].upstream']);
  t.equal(applied.at(-1)?.routes[0]?.upstream, 'https://three.example');
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

t.test('what changed since it was read, before anybody watched, is put in force', async (t) => {
  const { until, told } = await start(t, text(), {}, { meanwhile: (put) => put(text('https://two.example')) });
  await until(1);
  t.strictSame(told, ['applied routes[0].upstream']);
});

t.test('what the command made of the configuration at its start is made of each later one', async (t) => {
  const adjust = (config: Config): Config => ({ ...config, log: { ...config.log, level: 'warn' } });
  const { put, until, told, applied } = await start(t, text(), {}, { adjust });
  put(text('https://two.example', 'log: { level: debug }'));
  await until(1);
  t.strictSame(told, ['applied routes[0].upstream']);
  t.equal(applied[0]?.log.level, 'warn');
});

t.test('what is probably not meant is told of a changed configuration, too', async (t) => {
  const { put, until, warned } = await start(t);
  put(text().replace('app: {', 'spare: { provider: file, path: /spare }, app: {'));
  await until(1);
  t.strictSame(warned, ['credentials.spare']);
});

t.test('a link to a folder is followed to another one that holds the same', async (t) => {
  const level = text(undefined, `log: { level: "\${file:FOLDER/current/level}" }`);
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['a', 'b']) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'level'), 'info');
  }
  symlinkSync('a', join(folder, 'current'));
  let looks = 0;
  const { until, told, reloader } = await start(
    t,
    level.replaceAll('FOLDER', folder),
    {},
    {
      read: (path) => {
        looks += 1;
        return readFile(path);
      },
    },
  );
  symlinkSync('b', join(folder, 'next'));
  renameSync(join(folder, 'next'), join(folder, 'current'));
  // Its event has come by once this has.
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.equal(looks, 2, 'nothing was read again');
  writeFileSync(join(folder, 'b', 'level'), 'debug');
  await until(1);
  t.strictSame(told, ['applied log.level']);
  await reloader.close();
});

t.test('the end waits for what is being put in force, and nothing is told of it any more', async (t) => {
  const { put, told, onApply, reloader } = await start(t);
  const held = Promise.withResolvers<void>();
  const began = Promise.withResolvers<void>();
  onApply(() => {
    began.resolve();
    return held.promise;
  });
  put(text('https://two.example'));
  await began.promise;
  let isClosed = false;
  const closed = reloader.close().then(() => {
    isClosed = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(isClosed, false);
  held.resolve();
  await closed;
  t.strictSame(told, []);
});
