// A change of the seal key: after rekey the first key alone opens everything, and nothing else has changed.
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createRecords } from '../../src/credentials/records.ts';
import { type RekeyOutcome, rekeyCredential } from '../../src/credentials/rekey.ts';
import { createMemoryStore } from '../../src/stores/memory.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import type { Sealing, Store } from '../../src/stores/store.ts';
import { createFileSetting } from '../stores/_file-setting.ts';
import { skip, startRedisServer } from '../stores/_redis-server.ts';
import { createRedisSetting } from '../stores/_redis-setting.ts';
import { bound } from './_provider.ts';
import { silent } from './_rig.ts';

const [older, newer] = [randomBytes(32), randomBytes(32)];
const tokens = { accessToken: 'access', refreshToken: 'refresh', obtainedAtMs: 1_000 };

const recordsOf = (store: Store, sealing: Sealing, credential = 'codex') =>
  createRecords({ credential, bound, store, sealing, observer: silent });

const rekey = (store: Store, keys: readonly Buffer[], leaseMs = 200): Promise<RekeyOutcome> =>
  rekeyCredential('codex', { store, sealing: createSealing(keys), owner: 'rekey', leaseMs, clock: systemClock });

async function write(store: Store): Promise<void> {
  const records = recordsOf(store, createSealing([older]));
  await records.commit(records.prepare(await records.read(), { tokens, seed: { fingerprint: 'seed' } }));
}

const kinds: readonly (readonly [kind: string, skip: string | false, open: (t: Test) => Promise<Store>])[] = [
  ['memory', false, async () => createMemoryStore({ clock: systemClock })],
  ['file', false, async (t) => (await createFileSetting(t)).open()],
  ['redis', skip, async (t) => createRedisSetting(t, (await startRedisServer(t)).url).open()],
];

for (const [kind, skip, open] of kinds) {
  t.test(`${kind}: what the older key sealed opens with the first alone, and all else stays`, { skip }, async (t) => {
    const store = await open(t);
    t.equal(await rekey(store, [newer, older]), 'empty');
    await write(store);
    const { record: before } = await store.read('codex');
    t.equal(await rekey(store, [newer, older]), 'resealed');
    t.equal(await rekey(store, [newer, older]), 'current', 'once');
    const { record: after } = await store.read('codex');
    t.same(
      { ...after, version: 0, writeId: '', sealed: '' },
      { ...before, version: 0, writeId: '', sealed: '' },
      'the generation does not move',
    );
    t.match(await recordsOf(store, createSealing([newer])).read(), { tokens });
    await t.rejects(recordsOf(store, createSealing([older])).read(), { code: 'record_unopenable' });
    t.equal((await store.lease('codex', 'another', 1_000)).held, false, 'the lease was released');
  });

  t.test(`${kind}: an operator’s edit that comes in between stays`, { skip }, async (t) => {
    const store = await open(t);
    await write(store);
    let edits = 0;
    const edited: Store = {
      ...store,
      async commit(credential, expected, record) {
        edits += 1;
        if (edits === 1) {
          const { version, record: standing } = await store.read(credential);
          if (standing === undefined) throw new Error('no record');
          const operator = { disabled: true, note: 'by hand' };
          await store.commit(credential, version, { ...standing, writeId: 'edit', operator });
        }
        return await store.commit(credential, expected, record);
      },
    };
    t.equal(await rekey(edited, [newer, older]), 'resealed');
    t.match((await store.read('codex')).record, { operator: { disabled: true, note: 'by hand' } });
    t.match(await recordsOf(store, createSealing([newer])).read(), { tokens });
  });

  t.test(`${kind}: a token that is written upon an operator’s edit leaves the edit as it is`, { skip }, async (t) => {
    const store = await open(t);
    await write(store);
    const records = recordsOf(store, createSealing([older]));
    const { version, record } = await store.read('codex');
    if (record === undefined) throw new Error('no record');
    const base = await records.read();
    const operator = { disabled: true, note: 'by hand' };
    await store.commit('codex', version, { ...record, writeId: 'edit', operator });
    const next = { ...tokens, accessToken: 'second' };
    t.equal(await records.commit(records.prepare(base, { tokens: next })), undefined, 'a conflict');
    await records.commit(records.prepare(await records.read(), { tokens: next }));
    t.match(await records.read(), { tokens: next, stored: { operator, seed: { fingerprint: 'seed' } } });
  });

  t.test(`${kind}: a record that no key opens is record_unopenable and stays as it is`, { skip }, async (t) => {
    const store = await open(t);
    await write(store);
    const before = await store.read('codex');
    await t.rejects(rekey(store, [newer]), { code: 'record_unopenable' });
    t.same(await store.read('codex'), before);
    t.equal((await store.lease('codex', 'another', 1_000)).held, false, 'the lease was released');
  });
}

t.test('who holds the lease is waited for; one who lives on is told, and nothing is changed', async (t) => {
  const store = createMemoryStore({ clock: systemClock });
  await write(store);
  const before = await store.read('codex');
  const taken = await store.lease('codex', 'refresher', 100);
  const renewing = setInterval(() => void (taken.held || taken.lease.renew()), 20);
  t.equal(await rekey(store, [newer, older], 100), 'held');
  t.same(await store.read('codex'), before);
  clearInterval(renewing);
  t.equal(await rekey(store, [newer, older], 100), 'resealed', 'one who died is stale after a TTL');
});
