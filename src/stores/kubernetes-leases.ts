// Leases of coordination.k8s.io as the cell of the lease protocol; a holder's name, and nobody's clock.
import type { Clock } from '../clock.ts';
import type { KubernetesApi, KubernetesObject, Resource } from './kubernetes-api.ts';
import type { LeaseCell } from './leases.ts';
import { ABSENT } from './store.ts';
import { isFields } from './stored-record.ts';

/** The object is kept by the last read, so that a swap leaves in it what is not ours. */
export function createLeaseObjects(
  api: KubernetesApi,
  leases: Resource,
  nameOf: (credential: string) => string,
  clock: Clock,
): LeaseCell {
  const last = new Map<string, KubernetesObject>();
  return {
    async read(credential) {
      const found = await api.read(leases, nameOf(credential));
      if (found === undefined) {
        last.delete(credential);
        return { counter: ABSENT, owner: undefined };
      }
      last.set(credential, found);
      const spec = found['spec'];
      const holder = isFields(spec) ? spec['holderIdentity'] : undefined;
      return {
        counter: found.metadata.resourceVersion ?? ABSENT,
        owner: typeof holder === 'string' && holder !== '' ? holder : undefined,
      };
    },
    async swap(credential, expected, owner) {
      const known = last.get(credential);
      const isNew = expected === ABSENT;
      if (!isNew && known?.metadata.resourceVersion !== expected) return false;
      const base = isNew || known === undefined ? { metadata: { name: nameOf(credential) } } : known;
      // The times are for people who look (`kubectl get lease`): nobody here goes by another host's clock.
      const spec = owner === undefined ? {} : { holderIdentity: owner, renewTime: microTime(clock.wallMs()) };
      return (await api.write(leases, { ...base, spec })) !== undefined;
    },
  };
}

/** RFC 3339 with microseconds, as the API wants it. */
function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace('Z', '000Z');
}
