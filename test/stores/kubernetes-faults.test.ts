// Answers that are lost, objects that lack our key, rights that one credential has not got: nobody burns or loses
// anything by them, and one credential's trouble stays its own.
import t from 'tap';
import { ABSENT, type Lease, type LeaseResult } from '../../src/stores/store.ts';
import type { Asked, Fault } from './_api-server.ts';
import { createKubernetesSetting } from './_kubernetes-setting.ts';
import { createRecord } from './_record.ts';

const id = 'a'.repeat(64);
const ttlMs = 30_000;

/** The first write is done, and its answer lost. */
function loseFirstWrite(): (asked: Asked) => Fault | undefined {
  let isLost = false;
  return ({ method }) => {
    if (isLost || method !== 'PUT') return undefined;
    isLost = true;
    return 'lost';
  };
}

function mustHold(result: LeaseResult): Lease {
  if (result.held) throw new Error(`held by ${result.owner}`);
  return result.lease;
}

t.test('a commit whose answer was lost is known as one’s own', async (t) => {
  const { server, open } = await createKubernetesSetting(t, ['codex']);
  const store = await open();
  server.fault = loseFirstWrite();
  const result = await store.commit('codex', ABSENT, createRecord('codex'));
  t.match(result, { committed: true, version: server.objects.get('secrets/s-codex')?.metadata.resourceVersion });
  t.match(await store.commit('codex', ABSENT, createRecord('codex')), { committed: false, conflict: true });
});

t.test('a lease whose answer was lost is held, renewed and released all the same', async (t) => {
  const { server, open } = await createKubernetesSetting(t, ['codex']);
  const [store, other] = [await open(), await open()];
  server.fault = loseFirstWrite();
  const lease = mustHold(await store.lease('codex', 'me', ttlMs));
  t.match(await other.lease('codex', 'you', ttlMs), { held: true, owner: 'me' });
  server.fault = loseFirstWrite();
  t.equal(await lease.renew(), true);
  server.fault = loseFirstWrite();
  await lease.release();
  mustHold(await other.lease('codex', 'you', ttlMs));
});

t.test('a login that was taken with its answer lost is taken: its payload is not gone', async (t) => {
  const { server, open, clock } = await createKubernetesSetting(t, ['codex']);
  const [store, other] = [await open(), await open()];
  server.fault = loseFirstWrite();
  await store.logins.put(id, { credential: 'codex', sealed: 'x', expiresAtMs: clock.wallMs() + 60_000 });
  server.fault = loseFirstWrite();
  t.match(await store.logins.take(id), { status: 'pending', credential: 'codex', sealed: 'x' });
  t.same(await store.logins.take(id), { status: 'used' });
  t.same(await other.logins.take(id), { status: 'used' });
});

t.test('a login of which two are asked for at once is one’s alone, whoever’s answer was lost', async (t) => {
  const { server, open, clock } = await createKubernetesSetting(t, ['codex']);
  const [store, other] = [await open(), await open()];
  await store.logins.put(id, { credential: 'codex', sealed: 'x', expiresAtMs: clock.wallMs() + 60_000 });
  server.fault = loseFirstWrite();
  const found = await Promise.all([store.logins.take(id), other.logins.take(id)]);
  t.strictSame(found.map(({ status }) => status).sort(), ['pending', 'used']);
});

t.test('a credential without rights takes no login away from the others', async (t) => {
  const { server, open, clock } = await createKubernetesSetting(t, ['added', 'codex']);
  server.fault = ({ path }) => (path.includes('s-added') ? { status: 403 } : undefined);
  const store = await open();
  await store.logins.put(id, { credential: 'codex', sealed: 'x', expiresAtMs: clock.wallMs() + 60_000 });
  t.match(await store.logins.find(id), { status: 'pending' });
  t.match(await store.logins.take(id), { status: 'pending', sealed: 'x' });
  t.match(await store.logins.take(id), { status: 'used' });
  const forbidden = { code: 'store_forbidden', details: { reason: 'get Secret s-added-logins' } };
  await t.rejects(store.logins.find('b'.repeat(64)), forbidden, 'it may be one of those that cannot be read');
  await t.rejects(
    store.logins.put('c'.repeat(64), { credential: 'added', sealed: 'x', expiresAtMs: clock.wallMs() + 60_000 }),
    forbidden,
  );
});

t.test('what is left of ended logins goes after its half hour: the Secret does not grow', async (t) => {
  const { server, open, clock } = await createKubernetesSetting(t, ['codex']);
  const store = await open();
  const put = (login: string): Promise<void> =>
    store.logins.put(login, { credential: 'codex', sealed: 'x', expiresAtMs: clock.wallMs() + 60_000 });
  const kept = (): string[] => Object.keys(server.objects.get('secrets/s-codex-logins')?.['data'] ?? {}).sort();
  const [used, expired, last] = ['a', 'b', 'c'].map((letter) => letter.repeat(64)) as [string, string, string];
  await put(used);
  await store.logins.take(used);
  await put(expired);
  clock.pass(60_000);
  await put(last);
  t.strictSame(kept(), [used, expired, last]);
  t.match(await store.logins.find(expired), { status: 'expired' });
  clock.pass(30 * 60_000);
  await put('d'.repeat(64));
  t.strictSame(kept(), [last, 'd'.repeat(64)]);
});

t.test('a Secret without our key is absent, takes a record, and keeps what is another’s', async (t) => {
  const { server, open } = await createKubernetesSetting(t, ['codex']);
  const metadata = { name: 's-codex', resourceVersion: '1', labels: { a: 'b' } };
  server.objects.set('secrets/s-codex', { metadata, type: 'Opaque', data: { other: 'eA==' } });
  const store = await open();
  t.same(await store.read('codex'), { version: ABSENT, record: undefined });
  t.same(await store.list(), []);
  t.match(await store.commit('codex', ABSENT, createRecord('codex')), { committed: true });
  t.match(server.objects.get('secrets/s-codex'), {
    metadata: { labels: { a: 'b' } },
    type: 'Opaque',
    data: { other: 'eA==', 'record.json': String },
  });
  t.same(await store.list(), ['codex']);
});

t.test('versions are compared, whatever they look like, and never counted', async (t) => {
  const { server, open } = await createKubernetesSetting(t, ['codex']);
  const [store, other] = [await open(), await open()];
  let version = ABSENT;
  for (let round = 1; round <= 12; round += 1) {
    const before = version;
    const result = await store.commit('codex', version, createRecord('codex', { generation: round }));
    t.ok(result.committed);
    if (result.committed) version = result.version;
    t.match(await other.commit('codex', before, createRecord('codex')), { committed: false }, `onto ${before}`);
    t.equal(server.objects.get('secrets/s-codex')?.metadata.resourceVersion, version);
  }
});

t.test('a lease is another’s until it stood still for a whole TTL, and not one tick less', async (t) => {
  const { open, clock } = await createKubernetesSetting(t, ['codex']);
  const [store, other] = [await open(), await open()];
  const lease = mustHold(await store.lease('codex', 'me', ttlMs));
  t.equal(lease.deadlineMs, clock.monotonicMs() + ttlMs);
  t.match(await other.lease('codex', 'you', ttlMs), { held: true, owner: 'me' });
  clock.pass(ttlMs - 1);
  t.match(await other.lease('codex', 'you', ttlMs), { held: true, owner: 'me' });
  t.equal(await lease.renew(), true, 'a counter that moves');
  clock.pass(1);
  t.match(await other.lease('codex', 'you', ttlMs), { held: true, owner: 'me' });
  clock.pass(ttlMs);
  mustHold(await other.lease('codex', 'you', ttlMs));
  t.equal(await lease.renew(), false);
  await lease.release();
  t.match(await store.lease('codex', 'me', ttlMs), { held: true, owner: 'you' });
});

t.test('a lease that somebody emptied by hand is free', async (t) => {
  const { server, open } = await createKubernetesSetting(t, ['codex']);
  const metadata = { name: 's-codex', resourceVersion: '1' };
  server.objects.set('leases/s-codex', { metadata, spec: { holderIdentity: '', leaseTransitions: 3 } });
  mustHold(await (await open()).lease('codex', 'me', ttlMs));
});

t.test('the lease says to people who holds it since when; a released one says nothing', async (t) => {
  const { server, open, clock } = await createKubernetesSetting(t, ['codex']);
  const store = await open();
  const lease = mustHold(await store.lease('codex', 'me', ttlMs));
  const renewTime = new Date(clock.wallMs()).toISOString().replace('Z', '000Z');
  t.match(server.objects.get('leases/s-codex'), { spec: { holderIdentity: 'me', renewTime } });
  await lease.release();
  t.strictSame(server.objects.get('leases/s-codex')?.['spec'], {});
});

t.test('the probe finds out what cannot be written, and writes nothing', async (t) => {
  const { server, open } = await createKubernetesSetting(t, ['codex', 'other']);
  const before = structuredClone([...server.objects]);
  const store = await open();
  await store.probe();
  t.same([...server.objects], before);
  const writes = server.asked.filter(({ method }) => method !== 'GET');
  t.ok(writes.length >= 2 && writes.every(({ query }) => query.get('dryRun') === 'All'));
  t.ok(
    writes.every(({ body }) => JSON.stringify(body?.['data']) !== undefined),
    'a Secret that may not be changed refuses what changes it, and that alone',
  );

  server.objects.delete('secrets/s-codex');
  await store.probe();
  t.notOk(server.objects.has('secrets/s-codex'), 'one that is not there yet may be made');

  let conflicts = 1;
  server.fault = ({ method }) => {
    if (method !== 'PUT' || conflicts === 0) return undefined;
    conflicts -= 1;
    return { status: 409 };
  };
  await store.probe();

  server.fault = ({ method, path }) => (method === 'PUT' && path.endsWith('s-other') ? { status: 422 } : undefined);
  await t.rejects(store.probe(), { code: 'store_write_failed', details: { status: 422 } });
  server.fault = ({ method }) => (method === 'PUT' ? { status: 409 } : undefined);
  await t.rejects(store.probe(), { code: 'store_write_failed' }, 'always another first');
});
