// The file with the token to exchange, as kubelet and careless people leave it.
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createSubjectToken } from '../../src/providers/subject-token.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';

async function fileIn(t: Test): Promise<{ folder: string; path: string; read: () => Promise<string> }> {
  const folder = await mkdtemp(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'sa');
  return { folder, path, read: () => createSubjectToken({ path, clock: systemClock }).read() };
}

t.test('the token is read anew each time, without the blanks around it', async (t) => {
  const { path, read } = await fileIn(t);
  await writeFile(path, '\n the-token \r\n');
  t.equal(await read(), 'the-token');
  await writeFile(path, 'another');
  t.equal(await read(), 'another');
  await writeFile(path, `\n${'x'.repeat(64 * 1024 - 1)}`);
  t.equal((await read()).length, 64 * 1024 - 1, 'up to 64 KiB');
});

t.test('missing, no file, empty and too large have codes of their own, and name the path', async (t) => {
  const { folder, path, read } = await fileIn(t);
  t.match(await rejectionOf(t, read()), {
    code: 'subject_token_unreadable',
    details: { path, systemCode: 'ENOENT' },
    row: { outcome: 'temporary' },
  });
  for (const text of ['', ' \n\t']) {
    await writeFile(path, text);
    t.match(await rejectionOf(t, read()), { code: 'subject_token_empty', details: { path } });
  }
  await writeFile(path, `s-SECRET${'x'.repeat(64 * 1024)}`);
  const large = await rejectionOf(t, read());
  t.match(large, { code: 'subject_token_too_large', details: { path }, row: { outcome: 'temporary' } });
  holdsNone(t, large, ['s-SECRET']);
  const isFolder = await rejectionOf(t, createSubjectToken({ path: folder, clock: systemClock }).read());
  t.match(isFolder, { code: 'subject_token_unreadable', details: { reason: 'it is no file' } });
});

t.test('a pipe that nobody writes to, or a device without an end, holds nothing up', async (t) => {
  const { folder } = await fileIn(t);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const path of [pipe, '/dev/zero']) {
    const error = await rejectionOf(t, createSubjectToken({ path, clock: systemClock }).read());
    t.match(error, { code: 'subject_token_unreadable', details: { path } });
  }
});

t.test("kubelet's swap of a symlink is told, and then the new token is read", async (t) => {
  const { folder, path } = await fileIn(t);
  const put = async (version: number): Promise<void> => {
    await mkdir(join(folder, `..${version}`));
    await writeFile(join(folder, `..${version}`, 'sa'), `token-${version}`);
    await symlink(`..${version}`, join(folder, '..data_tmp'));
    await rename(join(folder, '..data_tmp'), join(folder, '..data'));
  };
  await put(1);
  await symlink('..data/sa', path);
  const clock = createFakeClock();
  const subject = createSubjectToken({ path, clock });
  t.equal(await subject.read(), 'token-1');
  let changes = 0;
  const watch = subject.watch(() => {
    changes += 1;
  });
  t.teardown(() => watch.close());
  await put(2);
  while (clock.armed === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  await clock.advance(50);
  t.equal(changes, 1);
  t.equal(await subject.read(), 'token-2');
});
