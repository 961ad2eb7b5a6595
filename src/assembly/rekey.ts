// Seals every record of a store under the first key: those of configured credentials, and those that are left of
// others. One that fails does not end the rest.
import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { type RekeyOptions, type RekeyOutcome, rekeyCredential } from '../credentials/rekey.ts';
import { type SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { createStoreSealing, openStoreOffline } from './store.ts';

export async function* rekeyAll(names: Iterable<string>, options: RekeyOptions) {
  const all = new Set([...names, ...(await options.store.list())]);
  for (const credential of [...all].sort()) {
    yield { credential, result: await rekeyCredential(credential, options).catch(toSidebearerError) };
  }
}

/** Without a running sidecar. @throws store_*: the store cannot be opened or listed */
export async function rekeyStore(
  config: Config,
  tell: (credential: string, result: RekeyOutcome | SidebearerError) => void,
  clock: Clock = systemClock,
): Promise<void> {
  const store = await openStoreOffline(config, clock);
  const owner = randomBytes(16).toString('base64url');
  const options = { store, sealing: createStoreSealing(config), owner, leaseMs: config.store.lease, clock };
  try {
    for await (const { credential, result } of rekeyAll(Object.keys(config.credentials), options)) {
      tell(credential, result);
    }
  } finally {
    await store.close();
  }
}
