// A folder that cannot be the store is refused at start, with what is wrong with it.
import { chmod, chown, lstat, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { createFileStore } from '../../src/stores/file.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { createFileSetting } from './_file-setting.ts';
import { createRecord } from './_record.ts';

const needsRoot = process.geteuid?.() === 0 ? {} : { skip: 'only root can give a folder away' };
const clock = createFakeClock();
const open = (path: string) => createFileStore({ path, clock, onWarning: () => {} });

t.test('a folder that is missing is made, with its parents, for this user alone', async (t) => {
  const { path } = await createFileSetting(t);
  const folder = join(path, 'var', 'lib', 'sidebearer');
  await (await open(folder)).close();
  t.equal((await lstat(folder)).mode & 0o777, 0o700);
});

t.test('a file in the place of the folder or of a parent answers store_path_invalid', async (t) => {
  const { path } = await createFileSetting(t);
  await writeFile(join(path, 'plain'), '');
  const [file, below] = [join(path, 'plain'), join(path, 'plain', 'store')];
  await t.rejects(open(file), { code: 'store_path_invalid', details: { path: file } });
  await t.rejects(open(below), { code: 'store_path_invalid', details: { path: below, systemCode: 'ENOTDIR' } });
  await t.rejects(open('/proc/sidebearer'), { code: 'store_path_invalid', details: { systemCode: 'ENOENT' } });
});

t.test('a folder of another user answers store_path_invalid', needsRoot, async (t) => {
  const { path } = await createFileSetting(t);
  await chown(path, 65_534, 65_534);
  await t.rejects(open(path), { code: 'store_path_invalid', details: { path } });
});

t.test('a file, a symlink or an open folder in the place of one of its own folders is refused', async (t) => {
  const file = await createFileSetting(t);
  await writeFile(join(file.path, 'records'), '');
  await t.rejects(file.open(), { code: 'store_permissions_open', details: { path: join(file.path, 'records') } });

  const linked = await createFileSetting(t);
  await mkdir(join(linked.path, 'elsewhere'), { mode: 0o700 });
  await symlink(join(linked.path, 'elsewhere'), join(linked.path, 'leases'));
  await t.rejects(linked.open(), { code: 'store_permissions_open', details: { path: join(linked.path, 'leases') } });

  const wide = await createFileSetting(t);
  await mkdir(join(wide.path, 'logins'));
  await chmod(join(wide.path, 'logins'), 0o755);
  await t.rejects(wide.open(), { code: 'store_permissions_open', details: { path: join(wide.path, 'logins') } });
});

t.test('a folder that anybody may write in is used with a warning, as an emptyDir is such a one', async (t) => {
  const { path, open, warnings } = await createFileSetting(t);
  await chmod(path, 0o777);
  await open();
  t.match(warnings, [{ code: 'store_permissions_wide', details: { path } }]);
  t.equal(warnings.length, 1);
});

t.test('the folder may be reached through a symlink', async (t) => {
  const { path } = await createFileSetting(t);
  await mkdir(join(path, 'real'), { mode: 0o700 });
  await symlink(join(path, 'real'), join(path, 'link'));
  const store = await open(join(path, 'link'));
  t.match(await store.commit('codex', '0', createRecord('codex')), { committed: true });
});

t.test('a folder that vanishes under the running store is absent, and is made again by the next commit', async (t) => {
  const { path, open } = await createFileSetting(t);
  const store = await open();
  await store.commit('codex', '0', createRecord('codex'));
  await rename(join(path, 'records'), join(path, 'moved'));
  t.equal((await store.read('codex')).record, undefined);
  t.same(await store.list(), []);
  t.match(await store.commit('codex', '0', createRecord('codex')), { committed: true, version: '1' });
});
