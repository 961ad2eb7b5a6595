// The store of a cluster keeps the contract, here over the socket of an API server that keeps to `resourceVersion` alone.
// test/kubernetes/store.test.ts has the same on a real one, where there is one.
import t from 'tap';
import { createFakeClock } from '../_fake-clock.ts';
import { testStoreContract } from './_contract.ts';
import { createKubernetesSetting, createTimedSetting } from './_kubernetes-setting.ts';

/** All that the contract suite names. */
const credentials = ['codex', 'other', 'another', 'a', 'b-2', 'leased-only', 'read-only', 'sweep'];

testStoreContract('kubernetes', async (test) => {
  const setting = await createTimedSetting(test, credentials, createFakeClock(Date.now()));
  setting.server.tellsWatches = true;
  return setting;
});

t.test('its objects are in the pod’s own namespace, or in the one that is configured', async (t) => {
  const { server, open } = await createKubernetesSetting(t, ['codex']);
  await (await open()).lease('codex', 'me', 30_000);
  await (await open({ namespace: 'tokens' })).lease('codex', 'me', 30_000);
  await (await open({ namespace: 'tokens' })).read('codex');
  const paths = server.asked.filter(({ method }) => method === 'GET').map(({ path }) => path);
  t.strictSame(paths, [
    '/apis/coordination.k8s.io/v1/namespaces/default/leases/s-codex',
    '/apis/coordination.k8s.io/v1/namespaces/tokens/leases/s-codex',
    '/api/v1/namespaces/tokens/secrets/s-codex',
  ]);
});
