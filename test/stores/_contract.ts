// What every store promises, in one suite. Each store's own test calls it with a way to open the store.
// It knows nothing of how a store keeps its things, and moves time only by the clock it is given.
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { ABSENT, type Lease, type LeaseResult, type Store, type StoredRecord } from '../../src/stores/store.ts';
import type { FakeClock } from '../_fake-clock.ts';
import { increment } from './_increment.ts';
import { createRecord } from './_record.ts';

export interface StoreSetting {
  /** The clock of every store that `open` gives. */
  readonly clock: FakeClock;
  /** The same data as another process sees it; where only one process can see it, the same store. */
  open(): Promise<Store>;
}

const ttlMs = 30_000;
const halfHourMs = 30 * 60_000;
const newId = (): string => randomBytes(32).toString('hex');

async function mustCommit(store: Store, expected: string, record: StoredRecord): Promise<string> {
  const result = await store.commit(record.credential, expected, record);
  if (!result.committed) throw new Error('the commit met a conflict');
  return result.version;
}

function mustHold(result: LeaseResult): Lease {
  if (result.held) throw new Error(`the lease is held by ${result.owner}`);
  return result.lease;
}

/** @param start a fresh, empty store; it cleans up by `t.teardown` */
export function testStoreContract(name: string, start: (t: Test) => Promise<StoreSetting>): void {
  t.test(`${name}: records`, (t) => testRecords(t, start));
  t.test(`${name}: leases`, (t) => testLeases(t, start));
  t.test(`${name}: pending logins`, (t) => testLogins(t, start));
  t.test(`${name}: watch`, (t) => testWatch(t, start));
}

async function testRecords(t: Test, start: (t: Test) => Promise<StoreSetting>): Promise<void> {
  await t.test(
    'a credential that was never written is absent, at the version that can be committed against',
    async (t) => {
      const store = await (await start(t)).open();
      t.same(await store.read('codex'), { version: ABSENT, record: undefined });
      t.same(await store.list(), []);
      const version = await mustCommit(store, ABSENT, createRecord('codex'));
      t.not(version, ABSENT);
    },
  );

  await t.test('a record comes back as it was committed, to every process', async (t) => {
    const { open } = await start(t);
    const [store, other] = [await open(), await open()];
    const record = createRecord('codex', {
      seed: { fingerprint: 'seed' },
      dead: { fingerprint: 'f', code: 'grant_reused', at: 1 },
    });
    const version = await mustCommit(store, ABSENT, record);
    t.same(await store.read('codex'), { version, record });
    t.same(await other.read('codex'), { version, record });
    t.same(await other.read('other'), { version: ABSENT, record: undefined }, 'another credential has none');
  });

  await t.test('what was read can be changed without changing what is stored', async (t) => {
    const store = await (await start(t)).open();
    const record = createRecord('codex');
    await mustCommit(store, ABSENT, record);
    const { record: read } = await store.read('codex');
    Object.assign(read?.operator ?? {}, { note: 'changed' });
    t.equal((await store.read('codex')).record?.operator.note, record.operator.note);
  });

  await t.test(
    'a commit on a version that is no longer the current one is a conflict and changes nothing',
    async (t) => {
      const { open } = await start(t);
      const [store, other] = [await open(), await open()];
      const first = await mustCommit(store, ABSENT, createRecord('codex'));
      const winner = createRecord('codex', { generation: 2 });
      const second = await mustCommit(other, first, winner);
      t.not(second, first);
      t.same(await store.commit('codex', first, createRecord('codex')), { committed: false, conflict: true });
      t.same(await store.commit('codex', ABSENT, createRecord('codex')), { committed: false, conflict: true });
      t.same(await store.read('codex'), { version: second, record: winner });
    },
  );

  await t.test('a commit on a version that never was is a conflict', async (t) => {
    const store = await (await start(t)).open();
    t.same(await store.commit('codex', '7', createRecord('codex')), { committed: false, conflict: true });
    t.same(await store.read('codex'), { version: ABSENT, record: undefined });
  });

  await t.test('a commit that is sent again because its answer was lost is reported as committed', async (t) => {
    const { open } = await start(t);
    const [store, other] = [await open(), await open()];
    const record = createRecord('codex');
    const version = await mustCommit(store, ABSENT, record);
    t.same(await store.commit('codex', ABSENT, record), { committed: true, version });
    t.same(await other.commit('codex', ABSENT, record), { committed: true, version }, 'by another process, too');
    t.same(await store.read('codex'), { version, record });
  });

  await t.test('of concurrent commits on one version exactly one wins', async (t) => {
    const { open } = await start(t);
    const stores = await Promise.all(Array.from({ length: 5 }, () => open()));
    let version = ABSENT;
    for (let round = 1; round <= 6; round += 1) {
      const records = stores.map(() => createRecord('codex', { generation: round }));
      const results = await Promise.all(
        stores.map((store, index) => store.commit('codex', version, records[index] ?? createRecord('codex'))),
      );
      const winners = results.flatMap((result, index) =>
        result.committed ? [{ index, version: result.version }] : [],
      );
      t.equal(winners.length, 1, `round ${round}`);
      version = winners[0]?.version ?? '';
      t.same(await stores[0]?.read('codex'), { version, record: records[winners[0]?.index ?? -1] });
    }
  });

  await t.test(
    'increments by compare-and-swap through several stores are neither lost nor counted twice',
    async (t) => {
      const { open } = await start(t);
      const stores = await Promise.all(Array.from({ length: 3 }, () => open()));
      await Promise.all(stores.map((store) => increment(store, 'codex', 8)));
      t.equal((await (await open()).read('codex')).record?.generation, 24);
    },
  );

  await t.test('the list names the credentials that have a record, and no others', async (t) => {
    const { open } = await start(t);
    const store = await open();
    await mustCommit(store, ABSENT, createRecord('b-2'));
    await mustCommit(store, ABSENT, createRecord('a'));
    await store.lease('leased-only', 'owner', ttlMs);
    await store.read('read-only');
    t.same((await (await open()).list()).sort(), ['a', 'b-2']);
  });

  await t.test('a probe passes, also several at once, and leaves nothing behind', async (t) => {
    const { open } = await start(t);
    const stores = [await open(), await open(), await open()];
    await Promise.all(stores.map((store) => store.probe()));
    t.same(await stores[0]?.list(), []);
  });
}

async function testLeases(t: Test, start: (t: Test) => Promise<StoreSetting>): Promise<void> {
  await t.test('a lease on an absent record is given, for a whole TTL from when it was asked', async (t) => {
    const { clock, open } = await start(t);
    const store = await open();
    const lease = mustHold(await store.lease('codex', 'me', ttlMs));
    t.equal(lease.deadlineMs, clock.monotonicMs() + ttlMs);
    t.same(await store.read('codex'), { version: ABSENT, record: undefined }, 'it writes no record');
  });

  await t.test('a lease that somebody holds is told with its owner, and at once', async (t) => {
    const { open } = await start(t);
    const [store, other] = [await open(), await open()];
    mustHold(await store.lease('codex', 'me', ttlMs));
    t.same(await other.lease('codex', 'you', ttlMs), { held: true, owner: 'me' });
    mustHold(await other.lease('another', 'you', ttlMs));
  });

  await t.test('of many owners who ask at once exactly one gets the lease', async (t) => {
    const { open } = await start(t);
    const stores = await Promise.all(Array.from({ length: 6 }, () => open()));
    const results = await Promise.all(stores.map((store, index) => store.lease('codex', `owner-${index}`, ttlMs)));
    t.equal(results.filter((result) => !result.held).length, 1);
  });

  await t.test('the owner takes its own lease again at once', async (t) => {
    const { clock, open } = await start(t);
    const [store, other] = [await open(), await open()];
    mustHold(await store.lease('codex', 'me', ttlMs));
    await clock.advance(1_000);
    const again = mustHold(await other.lease('codex', 'me', ttlMs));
    t.equal(again.deadlineMs, clock.monotonicMs() + ttlMs);
  });

  await t.test('a released lease is free at once', async (t) => {
    const { open } = await start(t);
    const [store, other] = [await open(), await open()];
    const lease = mustHold(await store.lease('codex', 'me', ttlMs));
    await lease.release();
    t.equal(await lease.renew(), false, 'what was released cannot be renewed');
    mustHold(await other.lease('codex', 'you', ttlMs));
  });

  await t.test('a lease goes stale only when its reader saw it stand still for a whole TTL', async (t) => {
    const { clock, open } = await start(t);
    const [store, other] = [await open(), await open()];
    mustHold(await store.lease('codex', 'me', ttlMs));
    await clock.advance(10 * ttlMs);
    t.equal((await other.lease('codex', 'you', ttlMs)).held, true, 'its first look, however old the lease is');
    await clock.advance(ttlMs - 1);
    t.equal((await other.lease('codex', 'you', ttlMs)).held, true, 'one millisecond too early');
    clock.jumpWall(10 * ttlMs);
    t.equal((await other.lease('codex', 'you', ttlMs)).held, true, 'the wall clock counts for nothing');
    await clock.advance(1);
    const lease = mustHold(await other.lease('codex', 'you', ttlMs));
    t.equal(lease.deadlineMs, clock.monotonicMs() + ttlMs);
  });

  await t.test('a renewal begins the TTL anew for the holder and for who waits', async (t) => {
    const { clock, open } = await start(t);
    const [store, other] = [await open(), await open()];
    const lease = mustHold(await store.lease('codex', 'me', ttlMs));
    for (let round = 0; round < 6; round += 1) {
      t.same(await other.lease('codex', 'you', ttlMs), { held: true, owner: 'me' });
      await clock.advance(ttlMs / 2);
      t.equal(await lease.renew(), true);
      t.equal(lease.deadlineMs, clock.monotonicMs() + ttlMs);
    }
    t.same(await other.lease('codex', 'you', ttlMs), { held: true, owner: 'me' });
    await clock.advance(ttlMs);
    mustHold(await other.lease('codex', 'you', ttlMs));
  });

  await t.test(
    'a lease that another took is lost: late renewals say so, a late release takes nothing away',
    async (t) => {
      const { clock, open } = await start(t);
      const [store, other] = [await open(), await open()];
      const lost = mustHold(await store.lease('codex', 'me', ttlMs));
      const { deadlineMs } = lost;
      await other.lease('codex', 'you', ttlMs);
      await clock.advance(ttlMs);
      const taken = mustHold(await other.lease('codex', 'you', ttlMs));
      t.equal(await lost.renew(), false);
      t.equal(lost.deadlineMs, deadlineMs, 'the deadline stays in the past');
      await lost.release();
      t.same(await store.lease('codex', 'me', ttlMs), { held: true, owner: 'you' });
      t.equal(await taken.renew(), true);
    },
  );

  await t.test('a late renewal succeeds where nobody took the lease meanwhile', async (t) => {
    const { clock, open } = await start(t);
    const lease = mustHold(await (await open()).lease('codex', 'me', ttlMs));
    await clock.advance(5 * ttlMs);
    t.equal(await lease.renew(), true);
    t.equal(lease.deadlineMs, clock.monotonicMs() + ttlMs);
  });

  await t.test('renewals that overlap a release never bring the lease back', async (t) => {
    const { open } = await start(t);
    const [store, other] = [await open(), await open()];
    const lease = mustHold(await store.lease('codex', 'me', ttlMs));
    await Promise.all([lease.renew(), lease.renew(), lease.release(), lease.renew()]);
    t.equal(await lease.renew(), false);
    mustHold(await other.lease('codex', 'you', ttlMs));
  });
}

async function testLogins(t: Test, start: (t: Test) => Promise<StoreSetting>): Promise<void> {
  const put = async (store: Store, expiresAtMs: number, credential = 'codex'): Promise<string> => {
    const id = newId();
    await store.logins.put(id, { credential, sealed: `sealed-${id}`, expiresAtMs });
    return id;
  };

  await t.test('a pending login is found by every process, and looking does not consume it', async (t) => {
    const { clock, open } = await start(t);
    const [store, other] = [await open(), await open()];
    const expiresAtMs = clock.wallMs() + halfHourMs;
    const id = await put(store, expiresAtMs);
    const pending = { status: 'pending', credential: 'codex', sealed: `sealed-${id}`, expiresAtMs };
    t.same(await other.logins.find(id), pending);
    t.same(await store.logins.find(id), pending);
    t.same(await other.logins.take(id), pending);
    t.same(await store.logins.find(id), { status: 'used' });
    t.same(await store.logins.take(id), { status: 'used' });
    t.same(await store.list(), [], 'a login is no record');
  });

  await t.test('of many who take a login at once exactly one gets it', async (t) => {
    const { clock, open } = await start(t);
    const stores = await Promise.all(Array.from({ length: 6 }, () => open()));
    for (let round = 0; round < 4; round += 1) {
      const id = await put(await open(), clock.wallMs() + halfHourMs);
      const found = await Promise.all(stores.map((store) => store.logins.take(id)));
      t.same(found.map(({ status }) => status).sort(), ['pending', 'used', 'used', 'used', 'used', 'used']);
    }
  });

  await t.test('a state that was never given out is unknown, whatever it looks like', async (t) => {
    const store = await (await start(t)).open();
    for (const id of [newId(), '', '..', '../records', newId().toUpperCase(), `${newId()}.ended`, '%2e%2e', '\0']) {
      t.same(await store.logins.find(id), { status: 'unknown' });
      t.same(await store.logins.take(id), { status: 'unknown' });
    }
  });

  await t.test('used, expired and unknown are told apart for 30 min, with sweeps between or without', async (t) => {
    for (const isSwept of [false, true]) {
      const { clock, open } = await start(t);
      const store = await open();
      const sweep = async (): Promise<unknown> => isSwept && put(store, clock.wallMs() + 1, 'sweep');
      const used = await put(store, clock.wallMs() + halfHourMs);
      const expired = await put(store, clock.wallMs() + 60_000);
      await store.logins.take(used);
      await clock.advance(59_999);
      t.equal((await store.logins.find(expired)).status, 'pending');
      await clock.advance(1);
      await sweep();
      t.same(await store.logins.find(expired), { status: 'expired' });
      t.same(await store.logins.take(expired), { status: 'expired' });
      await clock.advance(halfHourMs - 60_001);
      await sweep();
      t.same(await store.logins.find(used), { status: 'used' });
      t.same(await store.logins.find(expired), { status: 'expired' });
      await clock.advance(1);
      await sweep();
      t.same(await store.logins.find(used), { status: 'unknown' });
      t.same(await store.logins.take(used), { status: 'unknown' });
      t.same(await store.logins.find(expired), { status: 'expired' });
      await clock.advance(60_000);
      await sweep();
      t.same(await store.logins.take(expired), { status: 'unknown' });
    }
  });

  await t.test('the 17th pending login of a credential is refused with logins_pending_limit', async (t) => {
    const { clock, open } = await start(t);
    const [store, other] = [await open(), await open()];
    const expiresAtMs = clock.wallMs() + halfHourMs;
    const ids: string[] = [];
    for (let count = 0; count < 16; count += 1) ids.push(await put(count % 2 === 0 ? store : other, expiresAtMs));
    await t.rejects(put(store, expiresAtMs), { code: 'logins_pending_limit', details: { credential: 'codex' } });
    await put(store, expiresAtMs, 'another');
    t.equal((await store.logins.take(ids[0] ?? '')).status, 'pending');
    await put(other, expiresAtMs);
    await t.rejects(put(other, expiresAtMs), { code: 'logins_pending_limit' });
  });

  await t.test('expired logins do not count, and puts at once through one store fill the limit exactly', async (t) => {
    const { clock, open } = await start(t);
    const store = await open();
    for (let count = 0; count < 16; count += 1) await put(store, clock.wallMs() + 1_000);
    await clock.advance(1_000);
    const expiresAtMs = clock.wallMs() + halfHourMs;
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => put(store, expiresAtMs)));
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 16);
  });

  await t.test('puts at once through several processes never exceed the limit', async (t) => {
    const { clock, open } = await start(t);
    const stores = await Promise.all(Array.from({ length: 4 }, () => open()));
    const expiresAtMs = clock.wallMs() + halfHourMs;
    const puts = stores.flatMap((store) => Array.from({ length: 6 }, () => put(store, expiresAtMs)));
    const results = await Promise.allSettled(puts);
    const ids = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    t.ok(ids.length <= 16, `${ids.length} were let through`);
    for (const id of ids) t.equal((await (await open()).logins.find(id)).status, 'pending');
  });

  await t.test('a state that is in use cannot be put again, not even after it was used', async (t) => {
    const { clock, open } = await start(t);
    const [store, other] = [await open(), await open()];
    const id = await put(store, clock.wallMs() + halfHourMs);
    const again = { credential: 'codex', sealed: 'forged', expiresAtMs: clock.wallMs() + halfHourMs };
    await t.rejects(other.logins.put(id, again), { code: 'store_write_failed' });
    t.match(await store.logins.take(id), { status: 'pending', sealed: `sealed-${id}` });
    await t.rejects(other.logins.put(id, again), { code: 'store_write_failed' });
    t.same(await store.logins.take(id), { status: 'used' });
  });
}

async function testWatch(t: Test, start: (t: Test) => Promise<StoreSetting>): Promise<void> {
  await t.test(
    'a watch tells of the commits of any process, of this credential alone, until it is closed',
    async (t) => {
      const { open } = await start(t);
      const [store, other] = [await open(), await open()];
      if (store.watch === undefined) return void t.pass('this store has no watch');
      let calls = 0;
      let wake = (): void => {};
      const watch = store.watch('codex', () => {
        calls += 1;
        wake();
      });
      const elsewhere = store.watch('another', () => t.fail('nothing was committed there'));
      const changed = async (act: () => Promise<unknown>): Promise<void> => {
        const called = new Promise<void>((resolve) => {
          wake = resolve;
        });
        await act();
        await called;
      };
      let version = ABSENT;
      const commit = async (by: Store): Promise<void> => {
        version = await mustCommit(by, version, createRecord('codex'));
      };
      await changed(() => commit(other));
      await changed(() => commit(store));
      await changed(() => commit(other));
      t.ok(calls >= 3);
      await settle();
      watch.close();
      watch.close();
      const before = calls;
      await commit(other);
      await settle();
      t.equal(calls, before, 'a closed watch is silent');
      elsewhere.close();
    },
  );

  await t.test('two watches on one credential are both told, and each is closed alone', async (t) => {
    const { open } = await start(t);
    const [store, other] = [await open(), await open()];
    if (store.watch === undefined) return void t.pass('this store has no watch');
    let calls = 0;
    const first = store.watch('codex', () => t.fail('it was closed'));
    const told = new Promise<void>((resolve) => {
      store.watch?.('codex', () => {
        calls += 1;
        resolve();
      });
    });
    first.close();
    await mustCommit(other, ABSENT, createRecord('codex'));
    await told;
    await settle();
    await store.close();
    const before = calls;
    await mustCommit(other, (await other.read('codex')).version, createRecord('codex'));
    await settle();
    t.equal(calls, before, 'a closed store is silent');
  });
}

/** Lets events that are under way arrive. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 30));
}
