// A process takes a pending login, is frozen half way, and wakes when the login is long over.
// Another process finished it meanwhile, and even the memory of that was swept: the first must not get it again.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { createFileSetting } from './_file-setting.ts';
import { interceptDisk } from './_intercept.ts';

const id = 'a'.repeat(64);
const other = 'b'.repeat(64);

t.test('a taker that was frozen until the tombstone was forgotten gets `used`, not the login', async (t) => {
  const { clock, open } = await createFileSetting(t);
  const [slow, quick] = [await open(), await open()];
  const login = { credential: 'codex', sealed: 'sealed', expiresAtMs: clock.wallMs() + 1_800_000 };
  await slow.logins.put(id, login);
  let isFirst = true;
  const restore = await interceptDisk(async (step) => {
    if (step !== 'link' || !isFirst) return;
    isFirst = false;
    t.match(await quick.logins.take(id), { status: 'pending' });
    await clock.advance(1_900_000);
    await quick.logins.put(other, { ...login, expiresAtMs: clock.wallMs() + 1_000 });
    t.same(await quick.logins.find(id), { status: 'unknown' });
  });
  const found = await slow.logins.take(id);
  restore();
  t.equal(isFirst, false);
  t.same(found, { status: 'used' });
});

t.test('a taker that was killed after its tombstone leaves a used login, whose payload goes with time', async (t) => {
  const { path, clock, open } = await createFileSetting(t);
  const [killed, store] = [await open(), await open()];
  const login = { credential: 'codex', sealed: 'PAYLOAD', expiresAtMs: clock.wallMs() + 1_800_000 };
  await store.logins.put(id, login);
  const restore = await interceptDisk((step, target) => {
    if (step === 'unlink' && target.endsWith(id)) throw new Error('as if it were dead');
  });
  await t.rejects(killed.logins.take(id));
  restore();
  t.same(await store.logins.take(id), { status: 'used' });
  await clock.advance(1_861_000);
  await store.logins.put(other, { ...login, expiresAtMs: clock.wallMs() + 1_000 });
  t.notOk((await readdir(join(path, 'logins'))).includes(id));
  t.equal((await store.logins.find(id)).status, 'unknown');
});
