// Seals a stored record anew under the first key, so that an older key can be taken away. Under the lease, by
// compare-and-swap: whatever else stands in the record stays, and no generation moves.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Sealing, Store } from '../stores/store.ts';
import { awaitLease } from './lease-keeper.ts';
import { sealContext } from './records.ts';

export interface RekeyOptions {
  readonly store: Store;
  readonly sealing: Sealing;
  /** 16 random bytes of this process. */
  readonly owner: string;
  readonly leaseMs: number;
  readonly clock: Clock;
}

/**
 * `resealed`: now under the first key; `current`: was already; `empty`: no tokens are stored; `held`: another process
 * renewed its lease all the time.
 */
export type RekeyOutcome = 'resealed' | 'current' | 'empty' | 'held';

/** @throws store_*, record_*: then nothing was changed, or it cannot be told whether it was */
export async function rekeyCredential(credential: string, options: RekeyOptions): Promise<RekeyOutcome> {
  const lease = await awaitLease(credential, options);
  if (lease === undefined) return 'held';
  try {
    return await reseal(credential, options);
  } finally {
    await lease.release();
  }
}

async function reseal(credential: string, { store, sealing }: RekeyOptions): Promise<RekeyOutcome> {
  for (;;) {
    const { version, record } = await store.read(credential);
    if (record?.sealed === undefined) return 'empty';
    const sealed = sealing.reseal(record.sealed, sealContext(record));
    if (sealed === undefined) return 'current';
    const writeId = randomBytes(12).toString('base64url');
    const next = { ...record, version: record.version + 1, writeId, sealed };
    // A conflict is an operator's edit, which needs no lease: read again, and it stays.
    if ((await store.commit(credential, version, next)).committed) return 'resealed';
  }
}
