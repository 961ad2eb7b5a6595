// The API server goes away and comes back, as it does at every upgrade of a control plane.
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createKubernetesStore } from '../../src/stores/kubernetes.ts';
import { ABSENT, type Store } from '../../src/stores/store.ts';
import { createRecord } from '../stores/_record.ts';
import {
  createAccount,
  createNamespace,
  createStoreObjects,
  podEnv,
  restartApiServer,
  skip,
  storeRules,
} from './_cluster.ts';

const secretPrefix = 'sidebearer-';
const credentials = ['codex'];

interface Open {
  readonly store: Store;
  readonly warnings: SidebearerError[];
}

async function createOpener(t: Test): Promise<() => Promise<Open>> {
  const namespace = await createNamespace(t);
  await createStoreObjects(namespace, secretPrefix, credentials);
  const serviceAccount = await createAccount(t, namespace, storeRules(secretPrefix, credentials));
  return async () => {
    const warnings: SidebearerError[] = [];
    const store = await createKubernetesStore({
      credentials: () => credentials,
      namespace: '',
      secretPrefix,
      serviceAccount,
      env: podEnv,
      clock: systemClock,
      random: Math.random,
      onWarning: (warning) => void warnings.push(warning),
    });
    t.teardown(() => store.close());
    return { store, warnings };
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('what is asked while the API server restarts is answered when it is back', { skip }, async (t) => {
  const open = await createOpener(t);
  const { store } = await open();
  const first = createRecord('codex');
  const { version } = (await store.commit('codex', ABSENT, first)) as { version: string };
  const second = createRecord('codex', { generation: 2 });
  let asked: Promise<unknown[]> | undefined;
  await restartApiServer(async () => {
    asked = Promise.all([
      store.read('codex'),
      store.lease('codex', 'me', 30_000),
      store.commit('codex', version, second),
    ]);
    asked.catch(() => undefined);
    await pause(500);
  });
  const [read, lease, commit] = (await asked) ?? [];
  t.match(read, { record: { credential: 'codex' } });
  t.match(lease, { held: false });
  t.match(commit, { committed: true });
  t.match(await store.read('codex'), { record: { generation: 2 } });
});

t.test('a watch that an outage ended tells what was committed in between, and goes on', { skip }, async (t) => {
  const open = await createOpener(t);
  const [{ store, warnings }, { store: other }] = [await open(), await open()];
  let told = 0;
  store.watch?.('codex', () => {
    told += 1;
  });
  const untilTold = async (count: number): Promise<void> => {
    for (let round = 0; told < count && round < 400; round += 1) await pause(50);
  };
  let { version } = (await other.commit('codex', ABSENT, createRecord('codex'))) as { version: string };
  await untilTold(1);
  t.ok(told >= 1);
  await store.read('codex');
  await restartApiServer(() => pause(200));
  const before = told;
  ({ version } = (await other.commit('codex', version, createRecord('codex', { generation: 2 }))) as {
    version: string;
  });
  await untilTold(before + 1);
  t.ok(told > before, 'after the outage');
  t.match(await store.read('codex'), { version, record: { generation: 2 } });
  t.ok(warnings.every(({ code }) => code === 'store_watch_failed'));
});

t.test('an outage that lasts is `store_unavailable`, in bounded time, and heals', { skip }, async (t) => {
  const open = await createOpener(t);
  const { store } = await open();
  await restartApiServer(async () => {
    await t.rejects(store.read('codex'), {
      code: 'store_unavailable',
      details: { systemCode: 'ECONNREFUSED', reason: 'get Secret sidebearer-codex' },
    });
  });
  t.same(await store.read('codex'), { version: ABSENT, record: undefined });
});
