// The watch of a folder outlives the folder, tells only what is new, and warns where there is nothing to watch.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { createFileSetting } from './_file-setting.ts';
import { createRecord } from './_record.ts';

/** Counts calls and lets a test wait for the next one. */
function createCounter() {
  let wake = (): void => {};
  const counter = {
    calls: 0,
    changed(): void {
      counter.calls += 1;
      wake();
    },
    next: (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      }),
  };
  return counter;
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

t.test('temporary files, the marker and deletions are not told', async (t) => {
  const { path, open } = await createFileSetting(t);
  const store = await open();
  const counter = createCounter();
  for (const expected of ['0', '1', '2']) await store.commit('codex', expected, createRecord('codex'));
  store.watch?.('codex', counter.changed);
  const folder = join(path, 'records', 'codex');
  const told = counter.next();
  await store.commit('codex', '3', createRecord('codex'));
  await told;
  await settle();
  const before = counter.calls;
  await writeFile(join(folder, '.tmp-x'), '');
  await rm(join(folder, '.tmp-x'));
  await rm(join(folder, 'begun'));
  await rm(join(folder, '3'));
  await settle();
  t.equal(counter.calls, before);
});

t.test('a folder that is moved away and comes again is watched again, and that itself is told', async (t) => {
  const { path, open, warnings } = await createFileSetting(t);
  const store = await open();
  const counter = createCounter();
  await store.commit('codex', '0', createRecord('codex'));
  store.watch?.('codex', counter.changed);
  const moved = counter.next();
  await rename(join(path, 'records', 'codex'), join(path, 'moved'));
  await moved;
  const again = counter.next();
  await store.commit('codex', '0', createRecord('codex'));
  await again;
  const removed = counter.next();
  await rm(join(path, 'records', 'codex'), { recursive: true });
  await removed;
  t.same(warnings, []);
});

t.test('where nothing can be watched it warns with store_watch_failed, and the next watch tries again', async (t) => {
  const { path, open, warnings } = await createFileSetting(t);
  const store = await open();
  const folder = join(path, 'records', 'codex');
  await writeFile(folder, '');
  const counter = createCounter();
  const first = store.watch?.('codex', counter.changed);
  t.match(warnings, [{ code: 'store_watch_failed', details: { path: folder } }]);
  t.equal(warnings.length, 1);
  await rm(folder);
  await mkdir(folder, { mode: 0o700 });
  store.watch?.('codex', () => {});
  const told = counter.next();
  await store.commit('codex', '0', createRecord('codex'));
  await told;
  t.ok(counter.calls >= 1, 'the first listener is served, too');
  first?.close();
});

t.test('where nothing can be watched the record is read every 30 s, until it can be watched again', async (t) => {
  const { path, open, warnings, clock } = await createFileSetting(t);
  const store = await open();
  const folder = join(path, 'records', 'codex');
  await writeFile(folder, '');
  const counter = createCounter();
  const watch = store.watch?.('codex', counter.changed);
  await clock.advance(30_000);
  t.equal(counter.calls, 1);
  t.equal(warnings.length, 2);
  await rm(folder);
  await clock.advance(30_000);
  t.equal(counter.calls, 2);
  t.equal(warnings.length, 2);
  const told = counter.next();
  await store.commit('codex', '0', createRecord('codex'));
  await told;
  watch?.close();
  t.equal(clock.armed, 0);
});
