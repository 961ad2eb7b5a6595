// Another program's tokens, put into the store of a sidecar that does not run.
import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import type { ImportedTokens } from '../credentials/bearer.ts';
import { answerOfImport } from '../credentials/imported-tokens.ts';
import { awaitLease } from '../credentials/lease-keeper.ts';
import { createMemory } from '../credentials/memory.ts';
import type { CredentialObserver } from '../credentials/observer.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Account } from '../providers/provider.ts';
import { createBreakers } from './breakers.ts';
import { createProvider } from './provider.ts';
import { createStoreSealing, openStoreOffline } from './store.ts';
import { createSource, type Means, placeOf } from './token-source.ts';
import { openFirstWays } from './ways.ts';

/**
 * Under the lease, so that no refresh of another process is at work.
 * @throws import_held, and what `ManagedCredential.importTokens` throws
 */
export async function importOffline(
  config: Config,
  credential: string,
  imported: ImportedTokens,
  options: { readonly replaceAccount: boolean },
  clock: Clock = systemClock,
): Promise<{ readonly name: string; readonly account?: Account; readonly expiresAtMs?: number }> {
  const settings = config.credentials[credential];
  if (settings === undefined) throw new SidebearerError('credential_unknown', { credential });
  if (settings.provider === 'file') throw new SidebearerError('login_unsupported', { credential });
  const ways = await openFirstWays(config, clock);
  const store = await openStoreOffline(config, clock);
  const means: Means = {
    clock,
    store,
    sealing: createStoreSealing(config),
    owner: randomBytes(16).toString('base64url'),
    leaseMs: config.store.lease,
    observer: nobody,
  };
  const breakers = createBreakers(clock, nobody);
  try {
    const lease = await awaitLease(credential, means);
    if (lease === undefined) throw new SidebearerError('import_held', { credential });
    try {
      const way = ways.ofCredentials.get(credential);
      const provider = await createProvider(settings, clock, way);
      const answer = answerOfImport(imported, clock.wallMs(), credential);
      const breaker = breakers.at(placeOf(provider, way, settings));
      const source = createSource(credential, settings, { provider, breaker, memory: createMemory() }, means);
      const kept = await source.accept(provider.completeImport?.(answer) ?? answer, options);
      const { expiresAtMs } = kept.tokens;
      return {
        name: credential,
        ...(kept.account !== undefined && { account: kept.account }),
        ...(expiresAtMs !== undefined && { expiresAtMs }),
      };
    } finally {
      await lease.release();
    }
  } finally {
    breakers.stop();
    await store.close();
  }
}

/** A command tells what it did itself. */
const nobody: CredentialObserver = {
  refreshEnded: () => undefined,
  tokenRequested: () => undefined,
  failed: () => undefined,
  storeWritten: () => undefined,
  dirtyChanged: () => undefined,
  breakerChanged: () => undefined,
  breakerGone: () => undefined,
  tokenRefused: () => undefined,
};
