import fs, { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { foldersOf, watchContents } from '../src/file-watch.ts';
import { createFakeClock } from './_fake-clock.ts';

t.test('the folders of a file are those in which a swap changes what its path means', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const at = (...steps: string[]): string => join(folder, ...steps);
  mkdirSync(at('mount', '..1'), { recursive: true });
  writeFileSync(at('mount', '..1', 'config.yaml'), '');
  symlinkSync('..1', at('mount', '..data'));
  symlinkSync('..data/config.yaml', at('mount', 'config.yaml'));
  symlinkSync(at('mount'), at('current'));
  mkdirSync(at('etc'));
  symlinkSync('../current/config.yaml', at('etc', 'config.yaml'));
  symlinkSync('loop', at('loop'));

  const within = (path: string): string[] =>
    foldersOf(path)
      .filter((each) => each.startsWith(folder))
      .map((each) => each.slice(folder.length));
  t.strictSame(within(at('mount', '..1', 'config.yaml')), ['/mount/..1'], 'a plain file: its own');
  t.strictSame(within(at('mount', 'config.yaml')), ['/mount', '/mount/..1'], "kubelet's mount");
  t.strictSame(within(at('etc', 'config.yaml')), ['/etc', '', '/mount', '/mount/..1'], 'links to links');
  t.strictSame(within(at('nowhere', 'at', 'all')), ['/nowhere/at'], 'what is not there yet');
  t.strictSame(within(at('loop')), [''], 'a loop ends');
  t.end();
});

const SETTLE_MS = 50;
const RETRY_MS = 5_000;

/** Real events, and a clock of the test's own. */
function follow(t: Test) {
  const parent = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  const folder = join(parent, 'folder');
  mkdirSync(folder);
  const clock = createFakeClock();
  let calls = 0;
  const watch = watchContents(folder, clock, () => {
    calls += 1;
  });
  t.teardown(() => {
    watch.close();
    rmSync(parent, { recursive: true, force: true });
  });
  const write = (text: string): void => writeFileSync(join(folder, 'file'), text);
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  return { folder, clock, watch, write, until, calls: () => calls };
}

t.test('a burst is told once, a moment after its first event: in a folder that never rests, too', async (t) => {
  const { clock, write, until, calls } = follow(t);
  write('1');
  await until(() => clock.armed === 1);
  t.equal(calls(), 0, 'not before the burst is over');
  const dueMs = clock.nextDueMs;
  await clock.advance(SETTLE_MS - 1);
  write('2');
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(clock.nextDueMs, dueMs, 'no later event puts it off');
  await clock.advance(1);
  t.equal(calls(), 1);
});

t.test('a folder that goes and comes back is followed again, and what came with it is told', async (t) => {
  const { folder, clock, write, until, calls } = follow(t);
  rmSync(folder, { recursive: true });
  await until(() => clock.armed === 1);
  await clock.advance(SETTLE_MS);
  t.equal(calls(), 1);
  await clock.advance(RETRY_MS);
  t.equal(calls(), 1, 'it is not there yet');
  mkdirSync(folder);
  write('1');
  await clock.advance(RETRY_MS);
  t.equal(calls(), 2, 'nobody watched while it was written');
  write('2');
  await until(() => clock.armed === 1);
  await clock.advance(SETTLE_MS);
  t.equal(calls(), 3);
});

t.test('once closed it tells nothing, and holds no timer', async (t) => {
  const { clock, watch, write, until, calls } = follow(t);
  write('1');
  await until(() => clock.armed === 1);
  watch.close();
  t.equal(clock.armed, 0);
  write('2');
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(clock.armed, 0);
  await clock.advance(RETRY_MS);
  t.equal(calls(), 0);
});

t.test('a folder that the kernel has no more watches for is looked at now and then', async (t) => {
  const real = fs.watch;
  const restore = (): void => {
    fs.watch = real;
    syncBuiltinESMExports();
  };
  t.teardown(restore);
  fs.watch = () => {
    throw Object.assign(new Error('no more watches'), { code: 'ENOSPC' });
  };
  syncBuiltinESMExports();
  const { clock, write, until, calls } = follow(t);
  await clock.advance(RETRY_MS);
  t.equal(calls(), 1);
  await clock.advance(RETRY_MS);
  t.equal(calls(), 2);
  restore();
  await clock.advance(RETRY_MS);
  t.equal(calls(), 3);
  await clock.advance(RETRY_MS);
  t.equal(calls(), 3, 'now it is watched');
  write('1');
  await until(() => clock.armed === 1);
  await clock.advance(SETTLE_MS);
  t.equal(calls(), 4);
});
