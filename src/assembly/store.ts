// The store of a configuration, and what seals it. Implementations are loaded only where the configuration names them.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { openTlsFiles } from '../egress/tls-files.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import { createPlaintextSealing, createSealing, parseSealKey } from '../stores/sealing.ts';
import type { Sealing, Store } from '../stores/store.ts';

export async function openStore(
  config: Config,
  clock: Clock,
  onWarning: (warning: SidebearerError) => void,
): Promise<Store> {
  const { kind, path, url, keyPrefix, tls, namespace, secretPrefix, serviceAccount } = config.store;
  switch (kind) {
    case 'memory':
      return (await import('../stores/memory.ts')).createMemoryStore({ clock });
    case 'file':
      return await (await import('../stores/file.ts')).createFileStore({ path, clock, onWarning });
    case 'redis': {
      if (url === undefined) throw new Error('store.url is missing');
      const { createRedisStore } = await import('../stores/redis.ts');
      const secureContext = (await openTlsFiles(tls, 'store.tls'))?.secureContext;
      return createRedisStore({ url, keyPrefix, secureContext, clock, random: Math.random, onWarning });
    }
    case 'kubernetes':
      return await (await import('../stores/kubernetes.ts')).createKubernetesStore({
        credentials: Object.keys(config.credentials),
        namespace,
        secretPrefix,
        serviceAccount,
        env: process.env,
        clock,
        random: Math.random,
        onWarning,
      });
  }
}

export function createStoreSealing({ store }: Config): Sealing {
  const keys = store.keys.map(parseSealKey).filter((key) => key !== undefined);
  if (keys.length > 0) return createSealing(keys);
  // What never leaves the process is sealed as well: one path for all, under a key that dies with it.
  return store.plaintext ? createPlaintextSealing() : createSealing([randomBytes(32)]);
}

/** For the page after a login, and the commands. */
export function describeStore({ kind, path, keyPrefix, namespace, secretPrefix }: Config['store']): string {
  if (kind === 'file') return `file ${path}`;
  if (kind === 'redis') return `Redis ${keyPrefix}…`;
  return kind === 'kubernetes' ? `Secret ${namespace === '' ? '' : `${namespace}/`}${secretPrefix}…` : kind;
}
