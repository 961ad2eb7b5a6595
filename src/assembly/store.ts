// The store of a configuration, and what seals it. Implementations are loaded only where the configuration names them.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { openTlsFiles, type TlsSettings } from '../egress/tls-files.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import {
  type ChangeableSealing,
  createChangeableSealing,
  createPlaintextSealing,
  createSealing,
  parseSealKey,
} from '../stores/sealing.ts';
import type { Sealing, Store } from '../stores/store.ts';

export interface OpenedStore {
  readonly store: Store;
  /** What TLS to it was opened with. */
  readonly tls?: TlsSettings | undefined;
  /** Whom TLS to it trusts from now on; absent where it has no such setting. */
  readonly trust?: (tls: TlsSettings | undefined) => void;
}

export interface StoreParts {
  readonly clock: Clock;
  readonly onWarning: (warning: SidebearerError) => void;
  /** The configured names, asked whenever they matter. */
  readonly credentials: () => readonly string[];
}

export async function openStore(config: Config, parts: StoreParts): Promise<OpenedStore> {
  const { clock, onWarning, credentials } = parts;
  const { kind, path, url, keyPrefix, tls, namespace, secretPrefix, serviceAccount } = config.store;
  switch (kind) {
    case 'memory':
      return { store: (await import('../stores/memory.ts')).createMemoryStore({ clock }) };
    case 'file':
      return { store: await (await import('../stores/file.ts')).createFileStore({ path, clock, onWarning }) };
    case 'redis': {
      if (url === undefined) throw new Error('store.url is missing');
      const { createRedisStore } = await import('../stores/redis.ts');
      const opened = await openTlsFiles(tls, 'store.tls');
      const secureContext = opened?.secureContext;
      const store = createRedisStore({ url, keyPrefix, secureContext, clock, random: Math.random, onWarning });
      return { store, tls: opened, trust: (next) => store.trust(next?.secureContext) };
    }
    case 'kubernetes': {
      const { createKubernetesStore } = await import('../stores/kubernetes.ts');
      const store = await createKubernetesStore({
        credentials,
        namespace,
        secretPrefix,
        serviceAccount,
        env: process.env,
        clock,
        random: Math.random,
        onWarning,
      });
      return { store };
    }
  }
}

/** For a command: it warns of nothing, and no name changes. */
export async function openStoreOffline(config: Config, clock: Clock): Promise<Store> {
  const names = Object.keys(config.credentials);
  return (await openStore(config, { clock, onWarning: () => undefined, credentials: () => names })).store;
}

export function createStoreSealing({ store }: Config): Sealing {
  const keys = store.keys.map(parseSealKey).filter((key) => key !== undefined);
  if (keys.length > 0) return createSealing(keys);
  // What never leaves the process is sealed as well: one path for all, under a key that dies with it.
  return store.plaintext ? createPlaintextSealing() : createSealing([randomBytes(32)]);
}

/** The same, whose keys a reload may change. */
export function openSealing(config: Config): ChangeableSealing {
  return createChangeableSealing(createStoreSealing(config));
}

/** For the page after a login, and the commands. */
export function describeStore({ kind, path, keyPrefix, namespace, secretPrefix }: Config['store']): string {
  if (kind === 'file') return `file ${path}`;
  if (kind === 'redis') return `Redis ${keyPrefix}…`;
  return kind === 'kubernetes' ? `Secret ${namespace === '' ? '' : `${namespace}/`}${secretPrefix}…` : kind;
}
