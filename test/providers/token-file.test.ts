import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createTokenFile } from '../../src/providers/token-file.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';
import { unsignedJwt } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

t.test('the token is read without the blanks around it', async (t) => {
  const path = join(await folderOf(t), 'token');
  await writeFile(path, '\n the-token \r\n');
  const clock = createFakeClock();
  const answer = await createTokenFile({ path, clock }).read();
  t.strictSame(answer, { accessToken: 'the-token', obtainedAtMs: clock.wallMs(), warnings: [] });
});

t.test('a token that is a JWT tells its own expiry', async (t) => {
  const path = join(await folderOf(t), 'token');
  await writeFile(path, unsignedJwt({ exp: 1_900_000_000 }));
  t.equal((await createTokenFile({ path, clock: systemClock }).read()).expiresAtMs, 1_900_000_000_000);
  await writeFile(path, unsignedJwt({ exp: 'soon' }));
  t.equal((await createTokenFile({ path, clock: systemClock }).read()).expiresAtMs, undefined);
});

t.test('a file that is missing, a folder, or empty is token_file_unreadable and names the path', async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, 'token');
  const missing = await rejectionOf(t, createTokenFile({ path, clock: systemClock }).read());
  t.match(missing, { code: 'token_file_unreadable', details: { path, systemCode: 'ENOENT' } });
  const isFolder = await rejectionOf(t, createTokenFile({ path: folder, clock: systemClock }).read());
  t.match(isFolder, { code: 'token_file_unreadable', details: { systemCode: 'EISDIR' } });
  await writeFile(path, ' \n');
  const empty = await rejectionOf(t, createTokenFile({ path, clock: systemClock }).read());
  t.match(empty, { code: 'token_file_unreadable', details: { path, reason: 'it is empty' } });
});

t.test('a token that cannot stand in a header is access_token_malformed and is not shown', async (t) => {
  const path = join(await folderOf(t), 'token');
  for (const text of ['SECRET two', 'SECRET\r\nX: y', 'SECRETé', '{\n"SECRET": 1 }']) {
    await writeFile(path, text);
    const error = await rejectionOf(t, createTokenFile({ path, clock: systemClock }).read());
    t.equal(error.code, 'access_token_malformed');
    holdsNone(t, error, ['SECRET']);
  }
});

/** Watches with a clock of the test's: events come from the kernel, the pause after them from the clock. */
function watching(t: Test, path: string): { clock: FakeClock; calls: () => number; settled: () => Promise<void> } {
  const clock = createFakeClock();
  let calls = 0;
  const watch = createTokenFile({ path, clock }).watch(() => {
    calls += 1;
  });
  t.teardown(() => watch.close());
  return {
    clock,
    calls: () => calls,
    async settled() {
      while (clock.armed === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      await clock.advance(50);
    },
  };
}

t.test('a file that is written or replaced is told once for each burst of events', async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, 'token');
  await writeFile(path, 'one');
  const { settled, calls } = watching(t, path);
  await writeFile(path, 'two');
  await settled();
  t.equal(calls(), 1);
  await writeFile(join(folder, 'new'), 'three');
  await rename(join(folder, 'new'), path);
  await settled();
  t.ok(calls() >= 2);
});

t.test('a folder that never rests does not put the telling off', async (t) => {
  const path = join(await folderOf(t), 'token');
  const { clock, settled, calls } = watching(t, path);
  await writeFile(path, 'one');
  while (clock.armed === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  await clock.advance(30);
  await writeFile(path, 'two');
  await new Promise((resolve) => setTimeout(resolve, 20));
  await clock.advance(20);
  t.equal(calls(), 1);
  await writeFile(path, 'three');
  await settled();
  t.equal(calls(), 2);
});

t.test("kubelet's swap of the ..data symlink is told, and the new token is read", async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, 'token');
  await mkdir(join(folder, '..1'));
  await writeFile(join(folder, '..1', 'token'), 'one');
  await symlink('..1', join(folder, '..data'));
  await symlink(join('..data', 'token'), path);
  const file = createTokenFile({ path, clock: systemClock });
  t.equal((await file.read()).accessToken, 'one');

  await mkdir(join(folder, '..2'));
  await writeFile(join(folder, '..2', 'token'), 'two');
  await symlink('..2', join(folder, '..data_tmp'));
  const { settled, calls } = watching(t, path);
  await rename(join(folder, '..data_tmp'), join(folder, '..data'));
  await settled();
  t.ok(calls() >= 1);
  t.equal((await file.read()).accessToken, 'two');
});

t.test('a folder that appears later, or is replaced, is found again', async (t) => {
  const folder = join(await folderOf(t), 'later');
  const path = join(folder, 'token');
  const { clock, settled, calls } = watching(t, path);
  t.equal(clock.armed, 1, 'it will look again');
  await mkdir(folder);
  await writeFile(path, 'one');
  await clock.advance(5_000);
  t.equal(calls(), 1, 'what was written meanwhile is told');

  await rm(folder, { recursive: true });
  await mkdir(folder);
  await settled();
  const before = calls();
  await writeFile(path, 'two');
  await settled();
  t.ok(calls() > before, 'the new folder is the one that is watched');
});

t.test('a watch that is closed tells nothing more and leaves no timer', async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, 'token');
  const clock = createFakeClock();
  const file = createTokenFile({ path, clock });
  const watch = file.watch(() => t.fail('it was told'));
  await writeFile(path, 'one');
  while (clock.armed === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  watch.close();
  watch.close();
  t.equal(clock.armed, 0);
  await writeFile(path, 'two');
  await clock.advance(10_000);
  createTokenFile({ path: join(folder, 'none', 'token'), clock })
    .watch(() => undefined)
    .close();
  t.equal(clock.armed, 0);
});
