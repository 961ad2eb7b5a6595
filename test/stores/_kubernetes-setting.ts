// The store of a cluster in front of the API server of `_api-server.ts`.
import type { Clock } from '../../src/clock.ts';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createKubernetesStore } from '../../src/stores/kubernetes.ts';
import type { Store } from '../../src/stores/store.ts';
import { type ApiServer, type Scope, startApiServer } from './_api-server.ts';
import { createHurriedClock, type HurriedClock } from './_hurried-clock.ts';

export interface KubernetesSetting<Time extends Clock = HurriedClock> {
  readonly server: ApiServer;
  readonly clock: Time;
  readonly warnings: SidebearerError[];
  open(options?: { namespace: string }): Promise<Store>;
}

/** Each credential with its Secrets and its Lease, empty, as the chart makes them. Pauses are over at once. */
export function createKubernetesSetting(t: Scope, credentials: readonly string[]): Promise<KubernetesSetting> {
  return createTimedSetting(t, credentials, createHurriedClock());
}

export async function createTimedSetting<Time extends Clock>(
  t: Scope,
  credentials: readonly string[],
  clock: Time,
): Promise<KubernetesSetting<Time>> {
  const server = await startApiServer(t);
  for (const name of credentials) {
    for (const object of [`secrets/s-${name}`, `secrets/s-${name}-logins`, `leases/s-${name}`]) {
      server.objects.set(object, { metadata: { name: object.split('/')[1] ?? '', resourceVersion: '1' } });
    }
  }
  const warnings: SidebearerError[] = [];
  return {
    server,
    clock,
    warnings,
    async open({ namespace } = { namespace: '' }) {
      const store = await createKubernetesStore({
        credentials: () => credentials,
        namespace,
        secretPrefix: 's-',
        serviceAccount: server.account,
        env: { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(server.port) },
        clock,
        random: () => 1,
        onWarning: (warning) => void warnings.push(warning),
      });
      t.teardown(() => store.close());
      return store;
    },
  };
}
