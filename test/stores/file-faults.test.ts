// A disk that fails: each failure has its code, nothing is torn by it, and trying again ends well.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFileSetting } from './_file-setting.ts';
import { interceptDisk, systemError } from './_intercept.ts';
import { createRecord } from './_record.ts';

function isDone(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const mount = (path: string, size: string): boolean =>
  isDone('mount', '-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', path);

/** A disk of its own, as small as told. */
function mountDisk(t: Test, size: string): string {
  const path = mkdtempSync(join(tmpdir(), 'sidebearer-disk-'));
  t.teardown(() => {
    isDone('umount', path);
    rmSync(path, { recursive: true, force: true });
  });
  if (!mount(path, size)) throw new Error('the disk was not mounted');
  return path;
}

/** Whether this user may mount a disk at all: found out by doing it. */
function mayMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'sidebearer-disk-'));
  const isMounted = mount(path, '16k') && isDone('umount', path);
  rmSync(path, { recursive: true, force: true });
  return isMounted;
}

const needsMount = mayMount() ? {} : { skip: 'this user may not mount a disk' };

t.test(
  'a full disk answers store_write_failed with ENOSPC, the record stays, and space makes it go on',
  needsMount,
  async (t) => {
    const disk = mountDisk(t, '256k');
    const { open } = await createFileSetting(t, disk);
    const store = await open();
    const record = createRecord('codex');
    await store.commit('codex', '0', record);
    await t.rejects(writeFile(join(disk, 'ballast'), Buffer.alloc(1 << 20)), { code: 'ENOSPC' });
    const next = createRecord('codex', { generation: 2 });
    const details = { systemCode: 'ENOSPC' };
    await t.rejects(store.commit('codex', '1', next), { code: 'store_write_failed', details });
    await t.rejects(store.probe(), { code: 'store_write_failed', details });
    await t.rejects(store.lease('codex', 'me', 1_000), { code: 'store_write_failed', details });
    const login = { credential: 'codex', sealed: 'sealed', expiresAtMs: Number.MAX_SAFE_INTEGER };
    await t.rejects(store.logins.put('a'.repeat(64), login), { code: 'store_write_failed', details });
    t.same(await store.read('codex'), { version: '1', record });
    const folders = ['records/codex', 'leases/codex', 'logins'].map((folder) => join(disk, folder));
    for (const folder of folders)
      t.same(
        (await readdir(folder)).filter((name) => name.startsWith('.')),
        [],
        folder,
      );
    rmSync(join(disk, 'ballast'));
    t.same(await store.commit('codex', '1', next), { committed: true, version: '2' });
    await store.probe();
    t.match(await store.lease('codex', 'me', 1_000), { held: false });
  },
);

t.test(
  'a disk that turned read-only answers store_write_failed with EROFS, and can still be opened and read',
  needsMount,
  async (t) => {
    const disk = mountDisk(t, '1m');
    const { open, warnings } = await createFileSetting(t, disk);
    const record = createRecord('codex');
    await (await open()).commit('codex', '0', record);
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    const store = await open();
    t.same(await store.read('codex'), { version: '1', record });
    t.same(await store.list(), ['codex']);
    const details = { systemCode: 'EROFS' };
    await t.rejects(store.commit('codex', '1', createRecord('codex')), { code: 'store_write_failed', details });
    await t.rejects(store.probe(), { code: 'store_write_failed', details });
    await t.rejects(store.lease('codex', 'me', 1_000), { code: 'store_write_failed', details });
    t.same(warnings, []);
  },
);

t.test(
  'whichever one step fails, with whatever code, a commit is either done or told with a code, and can be repeated',
  async (t) => {
    const setting = await createFileSetting(t);
    const store = await setting.open();
    // Four versions first, so that the commit has something to delete.
    for (const expected of ['0', '1', '2', '3']) await store.commit('codex', expected, createRecord('codex'));
    let failing = 1;
    for (let isReached = true; isReached; failing += 1) {
      const { version } = await store.read('codex');
      const record = createRecord('codex', { generation: failing });
      let steps = 0;
      let failed = '';
      const restore = await interceptDisk((step, target) => {
        steps += 1;
        if (steps !== failing) return;
        failed = `${step} ${target}`;
        throw systemError('EIO');
      });
      const outcome = await store.commit('codex', version, record).catch((thrown: unknown) => thrown);
      restore();
      isReached = failed !== '';
      if (outcome instanceof Error) {
        if (!(outcome instanceof SidebearerError)) throw outcome;
        t.match(outcome.code, /^store_(write_failed|unavailable)$/, failed);
        t.match(outcome.details, { systemCode: 'EIO', path: setting.path }, failed);
      } else {
        t.match(outcome, { committed: true }, `the commit stands in spite of ${failed || 'nothing'}`);
      }
      const found = await store.read('codex');
      t.ok([version, String(Number(version) + 1)].includes(found.version), 'the old record or the new one');
      const again = { committed: true, version: String(Number(version) + 1) };
      t.same(await store.commit('codex', version, record), again, `repeated after ${failed}`);
      t.same((await store.read('codex')).record, record);
    }
    t.ok(failing > 20, `${failing} steps were tried`);
  },
);

t.test(
  'whichever one step fails, a lease, a login and a probe are told with a code, and succeed afterwards',
  async (t) => {
    const { path, clock, open } = await createFileSetting(t);
    const store = await open();
    const expiresAtMs = clock.wallMs() + 60_000;
    const tasks = {
      lease: () => store.lease('codex', 'me', 1_000),
      put: (id: string) => store.logins.put(id, { credential: id.slice(0, 40), sealed: 'sealed', expiresAtMs }),
      take: (id: string) => store.logins.take(id),
      probe: () => store.probe(),
      list: () => store.list(),
    };
    for (const [name, run] of Object.entries(tasks)) {
      let tried = 0;
      for (let failing = 1, isReached = true; isReached; failing += 1, tried += 1) {
        // A put looks at all others: each begins with none, so that its number of steps stays.
        for (const left of await readdir(join(path, 'logins'))) rmSync(join(path, 'logins', left));
        const id = failing.toString(16).padStart(4, '0').repeat(16);
        if (name === 'take') await tasks.put(id);
        let steps = 0;
        isReached = false;
        const restore = await interceptDisk((step) => {
          steps += 1;
          if (steps !== failing) return;
          isReached = true;
          throw systemError(step === 'unlink' ? 'EBUSY' : 'EIO');
        });
        const thrown = await run(id).then(
          () => undefined,
          (error: unknown) => error,
        );
        restore();
        if (thrown !== undefined && !(thrown instanceof SidebearerError)) throw thrown;
        if (thrown !== undefined)
          t.match(thrown.code, /^store_(write_failed|unavailable)$/, `${name}, step ${failing}`);
        if (name === 'take') t.match((await store.logins.take(id)).status, /^(pending|used)$/);
        else if (name !== 'put') await run(id);
      }
      t.ok(tried > 2, `${name}: ${tried} steps were tried`);
    }
  },
);
