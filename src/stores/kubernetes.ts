// The store of a cluster: one Secret a credential for its record, one for its pending logins, one Lease. Replicas share
// one rotating refresh token by it. `resourceVersion` is the version, compared and never counted.
import type { Clock } from '../clock.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import { apiServerUrl, openServiceAccount } from './kubernetes-account.ts';
import { createKubernetesApi, type Resource } from './kubernetes-api.ts';
import { createLeaseObjects } from './kubernetes-leases.ts';
import { createKubernetesLogins } from './kubernetes-logins.ts';
import { createRecordSecrets } from './kubernetes-records.ts';
import { createKubernetesWatches } from './kubernetes-watch.ts';
import { createLeases } from './leases.ts';
import type { Store } from './store.ts';

export interface KubernetesStoreOptions {
  /** Configured ones: a Role names each Secret, so none can be listed. */
  readonly credentials: () => Iterable<string>;
  /** Empty: the pod's own. */
  readonly namespace: string;
  readonly secretPrefix: string;
  /** Folder of the service account. */
  readonly serviceAccount: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onWarning: (warning: SidebearerError) => void;
}

/** An API server that restarts is back within this time; a refresh waits longer by itself, a start must not. */
const PATIENCE_MS = 8_000;

/** @throws store_path_invalid, store_unavailable: there is no service account */
export async function createKubernetesStore(options: KubernetesStoreOptions): Promise<Store> {
  const { clock, random, secretPrefix, credentials, onWarning } = options;
  const account = openServiceAccount(options.serviceAccount, clock);
  const api = createKubernetesApi({ url: apiServerUrl(options.env), account, clock, random, patienceMs: PATIENCE_MS });
  const namespace = options.namespace === '' ? await account.namespace() : options.namespace;
  const secrets: Resource = { kind: 'Secret', apiVersion: 'v1', path: `/api/v1/namespaces/${namespace}/secrets` };
  const leases: Resource = {
    kind: 'Lease',
    apiVersion: 'coordination.k8s.io/v1',
    path: `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
  };
  const nameOf = (credential: string): string => secretPrefix + credential;
  const records = createRecordSecrets(api, secrets, nameOf);
  const watches = createKubernetesWatches({
    watch: (credential, watchOptions) => api.watch(secrets, nameOf(credential), watchOptions),
    look: records.look,
    clock,
    random,
    onWarning,
  });

  return {
    kind: 'kubernetes',
    read: records.read,
    commit: records.commit,
    lease: createLeases(createLeaseObjects(api, leases, nameOf, clock), clock),
    watch: watches.add,
    async list() {
      const found: string[] = [];
      for (const credential of credentials()) {
        if ((await records.read(credential)).record !== undefined) found.push(credential);
      }
      return found;
    },
    async probe() {
      // Each has its own Secret, and a Role may leave one out.
      for (const credential of credentials()) await records.probe(credential);
    },
    logins: createKubernetesLogins({ api, secrets, nameOf, credentials, clock, random }),
    async close() {
      watches.close();
      await api.close();
    },
  };
}
