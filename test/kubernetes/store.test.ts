// The store of a cluster keeps the contract on a real API server, with the rights that the chart grants and no others.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createKubernetesStore } from '../../src/stores/kubernetes.ts';
import { ABSENT, type Store } from '../../src/stores/store.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';
import { type StoreSetting, testStoreContract } from '../stores/_contract.ts';
import { createRecord } from '../stores/_record.ts';
import { admin, createAccount, createNamespace, createStoreObjects, podEnv, skip, storeRules } from './_cluster.ts';

const prefix = 'sidebearer-';
/** All that the contract suite names. */
const credentials = ['codex', 'other', 'another', 'a', 'b-2', 'leased-only', 'read-only', 'sweep'];

interface ClusterSetting extends StoreSetting {
  readonly namespace: string;
  readonly account: string;
  readonly clock: FakeClock;
  readonly warnings: SidebearerError[];
}

async function createSetting(t: Test, isPrepared = true): Promise<ClusterSetting> {
  const namespace = await createNamespace(t);
  if (isPrepared) await createStoreObjects(namespace, prefix, credentials);
  const account = await createAccount(t, namespace, storeRules(prefix, credentials));
  const clock = createFakeClock(Date.now());
  const warnings: SidebearerError[] = [];
  const stores: Store[] = [];
  t.teardown(() => Promise.all(stores.map((store) => store.close())));
  return {
    namespace,
    account,
    clock,
    warnings,
    async open() {
      const store = await createKubernetesStore({
        credentials: () => credentials,
        namespace: '',
        secretPrefix: prefix,
        serviceAccount: account,
        env: podEnv,
        clock,
        random: Math.random,
        onWarning: (warning) => void warnings.push(warning),
      });
      stores.push(store);
      return store;
    },
  };
}

if (skip) t.test('the contract on a real API server', { skip }, () => undefined);
else testStoreContract('kubernetes', (t) => createSetting(t));

t.test('what stands in a Secret beside the record stays', { skip }, async (t) => {
  const { namespace, open } = await createSetting(t);
  const secret = `/api/v1/namespaces/${namespace}/secrets/sidebearer-codex`;
  const labels = { 'app.kubernetes.io/managed-by': 'Helm' };
  await admin('PATCH', secret, { metadata: { labels }, stringData: { other: 'theirs' } });
  const store = await open();
  const result = await store.commit('codex', ABSENT, createRecord('codex'));
  t.match(result, { committed: true });
  const other = Buffer.from('theirs').toString('base64');
  t.match(await admin('GET', secret), { metadata: { labels }, data: { other } });

  await admin('PATCH', secret, { metadata: { labels: { touched: 'yes' } } });
  t.equal(
    (await store.commit('codex', result.committed ? result.version : '', createRecord('codex'))).committed,
    false,
  );
  t.equal(
    (await store.read('codex')).record?.credential,
    'codex',
    'somebody’s label is a new version, and loses nothing',
  );
});

t.test('a record that is torn or another’s is `record_corrupt`, and is left as it is', { skip }, async (t) => {
  const { namespace, open } = await createSetting(t);
  const store = await open();
  const torn = Buffer.from('{"format":1').toString('base64');
  const secret = `/api/v1/namespaces/${namespace}/secrets/sidebearer-codex`;
  await admin('PATCH', secret, { data: { 'record.json': torn } });
  await t.rejects(store.read('codex'), { code: 'record_corrupt' });
  await t.rejects(store.commit('codex', ABSENT, createRecord('codex')), { code: 'record_corrupt' });
  t.match(await admin('GET', secret), { data: { 'record.json': torn } });
});

t.test('rights that are missing are `store_forbidden`, and say which', { skip }, async (t) => {
  const { open } = await createSetting(t, false);
  const store = await open();
  t.same(await store.read('codex'), { version: ABSENT, record: undefined });
  await t.rejects(store.commit('codex', ABSENT, createRecord('codex')), {
    code: 'store_forbidden',
    details: { reason: 'create Secret sidebearer-codex' },
  });
  await t.rejects(store.lease('codex', 'me', 30_000), { code: 'store_forbidden' });
  await t.rejects(store.read('elsewhere'), {
    code: 'store_forbidden',
    details: { status: 403, reason: 'get Secret sidebearer-elsewhere' },
  });
});

t.test('a token that is no longer accepted is read again from disk', { skip }, async (t) => {
  const { account, open, clock } = await createSetting(t);
  const good = readFileSync(join(account, 'token'), 'utf8');
  writeFileSync(join(account, 'token'), 'stale');
  const store = await open();
  const rejected = store.read('codex');
  await t.rejects(rejected, { code: 'store_unavailable', details: { status: 401 } });
  writeFileSync(join(account, 'token'), good);
  t.same(await store.read('codex'), { version: ABSENT, record: undefined });
  t.equal(clock.armed, 0);
});

t.test('the probe of a Secret that is not there yet, or that may not be changed', { skip }, async (t) => {
  const { namespace, open } = await createSetting(t);
  const store = await open();
  await store.probe();
  const secret = `/api/v1/namespaces/${namespace}/secrets/sidebearer-codex`;
  await admin('PATCH', secret, { immutable: true });
  await t.rejects(store.probe(), { code: 'store_write_failed', details: { status: 422 } });
  t.notMatch(await admin('GET', secret), { data: Object });

  const elsewhere = await createNamespace(t);
  const account = await createAccount(t, elsewhere, [
    { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'watch', 'update', 'create'] },
  ]);
  const other = await createKubernetesStore({
    credentials: () => ['codex'],
    namespace: '',
    secretPrefix: prefix,
    serviceAccount: account,
    env: podEnv,
    clock: createFakeClock(Date.now()),
    random: Math.random,
    onWarning: () => undefined,
  });
  t.teardown(() => other.close());
  await other.probe();
  t.same(await other.list(), [], 'nothing was made');
});
