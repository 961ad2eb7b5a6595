// Several real processes on one folder: nothing is lost, nothing is given out twice.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createFileSetting } from './_file-setting.ts';
import { forkWriter } from './_fork.ts';

t.test('four processes that count up on one record lose no update and count none twice', async (t) => {
  const { path, open } = await createFileSetting(t);
  const store = await open();
  const writers = await Promise.all(Array.from({ length: 4 }, () => forkWriter(t, 'increment', path, '25')));
  for (const writer of writers) writer.begin();
  t.same(await Promise.all(writers.map(({ ended }) => ended)), [0, 0, 0, 0]);
  const { version, record } = await store.read('codex');
  t.equal(record?.generation, 100);
  t.equal(version, '100', 'each commit is one version');
});

t.test('four processes that take the same logins get each exactly once', async (t) => {
  const { path, clock, open } = await createFileSetting(t);
  const store = await open();
  const ids = Array.from({ length: 16 }, () => randomBytes(32).toString('hex'));
  const expiresAtMs = clock.wallMs() + 1_800_000;
  for (const id of ids) await store.logins.put(id, { credential: 'codex', sealed: 'sealed', expiresAtMs });
  const writers = await Promise.all(Array.from({ length: 4 }, () => forkWriter(t, 'logins', path, ids.join())));
  for (const writer of writers) writer.begin();
  t.same(await Promise.all(writers.map(({ ended }) => ended)), [0, 0, 0, 0]);
  const taken = writers.map(({ told }) => Number(told[0]?.split(' ')[1]));
  t.equal(
    taken.reduce((sum, count) => sum + count, 0),
    16,
    `taken: ${taken.join()}`,
  );
});
