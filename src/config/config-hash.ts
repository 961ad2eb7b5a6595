// Tells configurations apart in a metric that anybody in the pod network may read. Keyed: a plain hash would let its
// reader try words for a weak client secret until one fits.
import { createHmac } from 'node:crypto';
import type { Config } from './schema.ts';

/**
 * 8 characters, the same for the same configuration under the same first seal key.
 * @param keyOfProcess stands in where there is no seal key: then other processes have others
 */
export function configHash(config: Config, keyOfProcess: Buffer): string {
  return createHmac('sha256', config.store.keys[0] ?? keyOfProcess)
    .update(JSON.stringify(config))
    .digest('hex')
    .slice(0, 8);
}
