// Records as Secrets. A write goes onto the `resourceVersion` that was read, so that of two writers one meets a conflict.

import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { KubernetesApi, KubernetesObject, Resource } from './kubernetes-api.ts';
import { readKey, withKey } from './kubernetes-secret.ts';
import type { Look } from './kubernetes-watch.ts';
import { ABSENT, type CommitResult, type ReadResult, type StoredRecord } from './store.ts';
import { assertStoredRecord } from './stored-record.ts';

export interface RecordSecrets {
  read(credential: string): Promise<ReadResult>;
  commit(credential: string, expected: string, record: StoredRecord): Promise<CommitResult>;
  probe(credential: string): Promise<void>;
  /** Without taking note of it: whoever watches tells, and somebody else reads. */
  look(credential: string): Promise<Look>;
}

/** The key of the Secret under which the record stands; other keys are somebody else's and stay. */
const RECORD_KEY = 'record.json';
/** Of the probe, which is never written for good: a Secret that may not be changed takes one that changes nothing. */
const PROBE_KEY = 'probe';

export function createRecordSecrets(
  api: KubernetesApi,
  secrets: Resource,
  nameOf: (credential: string) => string,
): RecordSecrets {
  /** Versions of the records that were read or written last. */
  const seen = new Map<string, string>();
  const load = (credential: string): Promise<KubernetesObject | undefined> => api.read(secrets, nameOf(credential));

  const note = (credential: string, version: string): void => {
    if (version === ABSENT) seen.delete(credential);
    else seen.set(credential, version);
  };

  /** A Secret that the chart made, without our key, is absent. */
  const judge = (credential: string, secret: KubernetesObject | undefined): ReadResult => {
    const value = secret === undefined ? undefined : readKey(secret, RECORD_KEY);
    if (secret === undefined || value === undefined) return { version: ABSENT, record: undefined };
    const record = assertStoredRecord(value.parsed, credential, `Secret ${nameOf(credential)}`);
    return { version: secret.metadata.resourceVersion ?? ABSENT, record };
  };

  return {
    async look(credential) {
      const secret = await load(credential);
      const since = secret?.metadata.resourceVersion;
      const now = secret !== undefined && readKey(secret, RECORD_KEY) !== undefined ? since : undefined;
      return { since, hasChanged: now !== seen.get(credential) };
    },

    async read(credential) {
      const result = judge(credential, await load(credential));
      note(credential, result.version);
      return result;
    },

    async commit(credential, expected, record) {
      const secret = await load(credential);
      const current = judge(credential, secret);
      if (current.version === expected) {
        const base = secret ?? { metadata: { name: nameOf(credential) }, type: 'Opaque' };
        const written = await api.write(secrets, withKey(base, RECORD_KEY, record));
        const version = written?.metadata.resourceVersion;
        if (version !== undefined) {
          note(credential, version);
          return { committed: true, version };
        }
      }
      // Somebody was first; or it was us, and the answer to our first try was lost.
      const stored = current.version === expected ? judge(credential, await load(credential)) : current;
      return stored.record?.writeId === record.writeId
        ? { committed: true, version: stored.version }
        : { committed: false, conflict: true };
    },

    async probe(credential) {
      for (let round = 0; round < 5; round += 1) {
        const secret = await load(credential);
        const base = secret ?? { metadata: { name: nameOf(credential) }, type: 'Opaque' };
        if ((await api.write(secrets, withKey(base, PROBE_KEY, {}), { dryRun: true })) !== undefined) return;
      }
      throw new SidebearerError('store_write_failed', { credential, reason: 'other writers were always first' });
    },
  };
}
