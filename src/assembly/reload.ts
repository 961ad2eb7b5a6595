// The part of a reload that may fail: everything that a changed configuration names is opened, tried and read, while the
// one in force goes on untouched. All that is wrong is told at once.
import type { Clock } from '../clock.ts';
import { ConfigRefusal } from '../config/refusal.ts';
import type { Config } from '../config/schema.ts';
import { sealContext } from '../credentials/records.ts';
import { openTlsFiles, type TlsSettings } from '../egress/tls-files.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { type ListenerTls, openListenerTls } from '../proxy/listener-tls.ts';
import type { Sealing, Store } from '../stores/store.ts';
import type { CredentialSet, PreparedCredentials } from './credential-set.ts';
import { createStoreSealing } from './store.ts';
import { openWays, type Ways } from './ways.ts';

export interface InForce {
  readonly config: Config;
  readonly ways: Ways;
  readonly listenerTls: ListenerTls | undefined;
  readonly storeTls: TlsSettings | undefined;
  readonly sealing: Sealing;
  readonly credentials: CredentialSet;
  readonly store: Store;
}

export interface PreparedReload {
  readonly ways: Ways;
  readonly listenerTls: ListenerTls | undefined;
  readonly storeTls: TlsSettings | undefined;
  /** Present where `store.keys` were changed. */
  readonly sealing: Sealing | undefined;
  readonly credentials: PreparedCredentials;
}

/**
 * @param against what was found already: then nothing is prepared, and the rest that is wrong is told with it
 * @throws ConfigRefusal with all that is wrong
 */
export async function prepareReload(
  config: Config,
  inForce: InForce,
  clock: Clock,
  against: readonly SidebearerError[] = [],
): Promise<PreparedReload> {
  const errors = [...against];
  const attempt = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work;
    } catch (thrown) {
      errors.push(...(thrown instanceof ConfigRefusal ? thrown.errors : [toSidebearerError(thrown)]));
      return undefined;
    }
  };
  const { listen, store } = config;
  const ways = await attempt(openWays(config, clock, inForce.ways));
  const listenerTls = await attempt(openListenerTls({ ...listen.tls, clientCa: listen.clients.ca }));
  const storeTls = await attempt(openTlsFiles(store.tls, 'store.tls'));
  const isNewKeys = JSON.stringify(store.keys) !== JSON.stringify(inForce.config.store.keys);
  const sealing = isNewKeys ? createStoreSealing(config) : undefined;
  if (sealing !== undefined) await attempt(assertOpens(sealing, config, inForce));
  const credentials = ways === undefined ? undefined : await attempt(inForce.credentials.prepare(config, ways));
  if (errors.length > 0 || ways === undefined || credentials === undefined) {
    credentials?.drop();
    throw new ConfigRefusal(errors);
  }
  return { ways, listenerTls, storeTls, sealing, credentials };
}

/**
 * Keys that do not open what the ones in force do would lose every grant at the next refresh.
 * @throws record_unopenable
 */
async function assertOpens(sealing: Sealing, config: Config, { sealing: inForce, store }: InForce): Promise<void> {
  for (const credential of Object.keys(config.credentials)) {
    const record = await store.read(credential).then(
      (found) => found.record,
      () => undefined,
    );
    if (record?.sealed === undefined) continue;
    const context = sealContext({ ...record, credential });
    if (opens(inForce, record.sealed, context) && !opens(sealing, record.sealed, context)) {
      const reason =
        'the new keys do not open what is stored; add the new one first, and `rekey` before the old one goes';
      throw new SidebearerError('record_unopenable', { credential, setting: 'store.keys', reason });
    }
  }
}

function opens(sealing: Sealing, sealed: string, context: string): boolean {
  try {
    sealing.open(sealed, context);
    return true;
  } catch {
    return false;
  }
}
