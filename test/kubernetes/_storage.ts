// The store of a cluster for the worlds of the fault tests: objects and rights as the chart makes them, a service account
// as kubelet mounts it, and the test's own store beside the programs.
import { systemClock } from '../../src/clock.ts';
import { createKubernetesStore } from '../../src/stores/kubernetes.ts';
import { credential } from '../system/_fault-world.ts';
import type { Storage } from '../system/_storage.ts';
import {
  changeRules,
  createAccount,
  createNamespace,
  createStoreObjects,
  podEnv,
  type Rule,
  type Scope,
  storeRules,
} from './_cluster.ts';

const secretPrefix = 'sidebearer-';
const account = 'sidebearer';

export interface KubernetesStorage extends Storage {
  /** What the programs may do; the test's own store is theirs. */
  readonly rules: readonly Rule[];
  allow(rules: readonly Rule[]): Promise<void>;
}

/** Programs need `podEnv` in their environment. */
export async function createKubernetesStorage(t: Scope): Promise<KubernetesStorage> {
  const credentials = [credential];
  const rules = storeRules(secretPrefix, credentials);
  const namespace = await createNamespace(t);
  await createStoreObjects(namespace, secretPrefix, credentials);
  const serviceAccount = await createAccount(t, namespace, rules, account);
  const store = await createKubernetesStore({
    credentials: () => credentials,
    namespace: '',
    secretPrefix,
    serviceAccount,
    env: podEnv,
    clock: systemClock,
    random: Math.random,
    onWarning: () => undefined,
  });
  return {
    kind: 'kubernetes',
    settings: `kind: kubernetes, serviceAccount: "${serviceAccount}"`,
    store,
    rules,
    allow: (changed) => changeRules(namespace, account, changed),
    close: () => store.close(),
  };
}
