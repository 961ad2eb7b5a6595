// The folder of numbered versions: what it keeps, what counts as absent, and writers that were frozen half way.
import { mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { CommitResult, Store } from '../../src/stores/store.ts';
import { createFileSetting } from './_file-setting.ts';
import { interceptDisk } from './_intercept.ts';
import { createRecord } from './_record.ts';

async function commitTimes(store: Store, times: number): Promise<void> {
  for (let count = 0; count < times; count += 1) {
    const { version } = await store.read('codex');
    const result = await store.commit('codex', version, createRecord('codex', { generation: Number(version) + 1 }));
    if (!result.committed) throw new Error('the commit met a conflict');
  }
}

/** A commit that stands still just before its link until `go` is called. */
async function freezeBeforeLink(store: Store, expected: string, record = createRecord('codex')) {
  let go = (): void => {};
  let arrived = (): void => {};
  const isThere = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const mayGo = new Promise<void>((resolve) => {
    go = resolve;
  });
  let isFirst = true;
  const restore = await interceptDisk((step) => {
    if (step !== 'link' || !isFirst) return undefined;
    isFirst = false;
    arrived();
    return mayGo;
  });
  const result: Promise<CommitResult> = store.commit('codex', expected, record);
  await isThere;
  restore();
  return { result, go };
}

t.test('the two highest versions are kept, and nothing else', async (t) => {
  const { path, open } = await createFileSetting(t);
  const store = await open();
  const folder = join(path, 'records', 'codex');
  await commitTimes(store, 2);
  t.same((await readdir(folder)).sort(), ['1', '2']);
  await commitTimes(store, 5);
  t.same((await readdir(folder)).sort(), ['6', '7', 'begun']);
  const lease = await store.lease('codex', 'me', 1_000);
  for (let count = 0; count < 4; count += 1) if (!lease.held) await lease.lease.renew();
  t.same((await readdir(join(path, 'leases', 'codex'))).sort(), ['4', '5', 'begun']);
  t.same((await readdir(path)).sort(), ['leases', 'logins', 'records']);
});

t.test('what is stored is the record, readable but for its tokens, in one line of JSON', async (t) => {
  const { path, open } = await createFileSetting(t);
  const record = createRecord('codex');
  await (await open()).commit('codex', '0', record);
  const text = await readFile(join(path, 'records', 'codex', '1'), 'utf8');
  t.match(text, /^\{.*\}\n$/);
  t.match(JSON.parse(text), record);
});

t.test(
  'a writer that was frozen until its number was free again is told of a conflict and buries nothing',
  async (t) => {
    const { path, open } = await createFileSetting(t);
    const [slow, quick] = [await open(), await open()];
    await commitTimes(quick, 1);
    const frozen = await freezeBeforeLink(slow, '1');
    await commitTimes(quick, 3);
    t.same((await readdir(join(path, 'records', 'codex'))).filter((name) => /^\d+$/.test(name)).sort(), ['3', '4']);
    const before = await quick.read('codex');
    frozen.go();
    t.same(await frozen.result, { committed: false, conflict: true });
    t.same(await quick.read('codex'), before);
    t.same((await readdir(join(path, 'records', 'codex'))).sort(), ['3', '4', 'begun'], 'it removed its own');
  },
);

t.test('a writer whose version was built upon before it looked again is told that it has won', async (t) => {
  const { open } = await createFileSetting(t);
  const [slow, quick] = [await open(), await open()];
  await commitTimes(quick, 1);
  let isFirst = true;
  const restore = await interceptDisk(async (step) => {
    // The link stands; before it is looked at, others commit twelve times upon it.
    if (step !== 'file.sync' || !isLinked || !isFirst) return;
    isFirst = false;
    await commitTimes(quick, 12);
  });
  let isLinked = false;
  const stop = await interceptDisk((step) => {
    if (step === 'unlink') isLinked = true;
  });
  const result = await slow.commit('codex', '1', createRecord('codex'));
  stop();
  restore();
  t.same(result, { committed: true, version: '2' });
  t.equal((await quick.read('codex')).version, '14');
});

t.test('a writer that was passed by further than can be told gets store_write_failed, not a guess', async (t) => {
  const { open } = await createFileSetting(t);
  const [slow, quick] = [await open(), await open()];
  await commitTimes(quick, 1);
  const frozen = await freezeBeforeLink(slow, '1');
  await commitTimes(quick, 40);
  const before = await quick.read('codex');
  frozen.go();
  await t.rejects(frozen.result, { code: 'store_write_failed' });
  t.same(await quick.read('codex'), before);
});

t.test('a version that vanishes between listing and reading makes the reader list again', async (t) => {
  const { open } = await createFileSetting(t);
  const [reader, writer] = [await open(), await open()];
  await commitTimes(writer, 1);
  let isFirst = true;
  const restore = await interceptDisk(async (step, target) => {
    if (step !== 'open' || !target.endsWith(join('codex', '1')) || !isFirst) return;
    isFirst = false;
    await commitTimes(writer, 3);
  });
  const found = await reader.read('codex');
  restore();
  t.equal(isFirst, false);
  t.equal(found.version, '4');
});

t.test('an empty listing is absent only where the folder never held a version', async (t) => {
  const { path, open } = await createFileSetting(t);
  const store = await open();
  const folder = join(path, 'records', 'codex');
  await mkdir(folder, { mode: 0o700 });
  t.equal((await store.read('codex')).record, undefined, 'a folder that was only made');
  await commitTimes(store, 3);
  for (const name of ['2', '3']) await rename(join(folder, name), join(path, `kept-${name}`));
  await t.rejects(store.read('codex'), { code: 'record_corrupt', details: { credential: 'codex', path: folder } });
  await t.rejects(store.commit('codex', '0', createRecord('codex')), { code: 'record_corrupt' });
  t.same(await store.list(), ['codex'], 'it is not silently gone from the list');
  await rename(join(path, 'kept-3'), join(folder, '3'));
  t.equal((await store.read('codex')).version, '3', 'and comes back with its version');
  await rename(folder, join(path, 'moved-away'));
  t.equal((await store.read('codex')).record, undefined, 'a folder that was moved away as a whole');
  await commitTimes(store, 1);
});

t.test('a listing that misses all versions once is not taken for absent', async (t) => {
  const { path, open } = await createFileSetting(t);
  const store = await open();
  await commitTimes(store, 3);
  const folder = join(path, 'records', 'codex');
  let looks = 0;
  const restore = await interceptDisk(async (step, target) => {
    // What a scan can miss while versions come and go: seen here as all of them gone for two listings.
    if (step !== 'readdir' || target !== folder) return;
    looks += 1;
    if (looks === 1)
      await rename(join(folder, '3'), join(path, 'hidden-3')).then(() =>
        rename(join(folder, '2'), join(path, 'hidden-2')),
      );
    if (looks === 3) await rename(join(path, 'hidden-3'), join(folder, '3'));
  });
  const found = await store.read('codex');
  restore();
  t.equal(looks, 3);
  t.equal(found.version, '3');
});

t.test('temporary files go after an hour, not before, wherever they lie', async (t) => {
  const { path, clock, open } = await createFileSetting(t);
  await commitTimes(await open(), 1);
  const folders = [path, join(path, 'logins'), join(path, 'records', 'codex')];
  const now = clock.wallMs() / 1_000;
  for (const folder of folders) {
    for (const [name, ageS] of [
      ['.tmp-old', 3_700],
      ['.tmp-young', 3_500],
    ] as const) {
      await writeFile(join(folder, name), 'torn', { mode: 0o600 });
      await utimes(join(folder, name), now - ageS, now - ageS);
    }
  }
  const store = await open();
  await store.read('codex');
  for (const folder of folders)
    t.same(
      (await readdir(folder)).filter((name) => name.startsWith('.')),
      ['.tmp-young'],
      folder,
    );
});

t.test('a name that is no credential never becomes a path', async (t) => {
  const { path, open } = await createFileSetting(t);
  const store = await open();
  for (const name of ['..', '../x', 'a/b', '', 'A', '.', 'x'.repeat(43), 'a\0']) {
    await t.rejects(store.read(name), { code: 'internal_error' }, JSON.stringify(name));
    await t.rejects(store.commit(name, '0', createRecord(name)), { code: 'internal_error' });
    await t.rejects(store.lease(name, 'me', 1_000), { code: 'internal_error' });
    t.throws(() => store.watch?.(name, () => {}), { code: 'internal_error' });
  }
  t.same((await readdir(path)).sort(), ['leases', 'logins', 'records']);
});

t.test('a torn lease is held by nobody known and goes stale; a lease folder that was emptied is free', async (t) => {
  const { path, clock, open } = await createFileSetting(t);
  const store = await open();
  for (let count = 0; count < 3; count += 1) await store.lease('codex', 'me', 1_000);
  const folder = join(path, 'leases', 'codex');
  await writeFile(join(folder, '3'), '{"wri');
  t.match(await store.lease('codex', 'you', 1_000), { held: true });
  await clock.advance(1_000);
  t.match(await store.lease('codex', 'you', 1_000), { held: false });
  await rm(join(folder, '3'));
  await rm(join(folder, '4'));
  t.match(await store.lease('codex', 'they', 1_000), { held: false });
});
