// How one credential comes by its tokens: a provider, a breaker, and the grant that puts both to use. Commands that
// work without a running sidecar build this part alone.
import type { Clock } from '../clock.ts';
import type { CredentialConfig } from '../config/schema.ts';
import type { Breaker } from '../credentials/breaker.ts';
import type { CredentialMemory } from '../credentials/memory.ts';
import type { CredentialObserver } from '../credentials/observer.ts';
import { createObtainedGrant } from '../credentials/obtained-grant.ts';
import { createRecords } from '../credentials/records.ts';
import type { TokenSource } from '../credentials/renewal.ts';
import { createRotatingGrant } from '../credentials/rotating-grant.ts';
import { egressName, type Way } from '../egress/way.ts';
import type { Grant, Provider } from '../providers/provider.ts';
import type { Sealing, Store } from '../stores/store.ts';
import type { BreakerPlace } from './breakers.ts';

/** A credential whose tokens are asked for; the others read theirs from a file. */
export type ProvidedConfig = Exclude<CredentialConfig, { provider: 'file' }>;

/** What every credential needs to come by tokens. */
export interface Means {
  readonly clock: Clock;
  readonly store: Store;
  readonly sealing: Sealing;
  readonly observer: CredentialObserver;
  readonly owner: string;
  readonly leaseMs: number;
}

export interface SourceParts {
  readonly provider: Provider;
  readonly breaker: Breaker;
  readonly memory: CredentialMemory;
}

/** They spend nothing, so that nothing of them is stored. */
const obtainedGrants: ReadonlySet<Grant> = new Set(['client_credentials', 'token_exchange', 'jwt_bearer']);

export function createSource(
  credential: string,
  settings: ProvidedConfig,
  { provider, breaker, memory }: SourceParts,
  { clock, store, sealing, observer, owner, leaseMs }: Means,
): TokenSource {
  const { refresh, wait } = settings;
  const common = {
    credential,
    provider,
    breaker,
    clock,
    random: Math.random,
    observer,
    timeoutMs: refresh.timeout,
    attempts: {
      attempts: refresh.attempts,
      initialBackoffMs: refresh.backoff.initial,
      maxBackoffMs: refresh.backoff.max,
    },
  };
  if (obtainedGrants.has(provider.grant)) return createObtainedGrant({ ...common, memory });
  return createRotatingGrant({
    ...common,
    store,
    records: createRecords({ credential, bound: provider.bound, store, sealing, observer }),
    owner,
    leaseMs,
    waitMs: wait.timeout,
    unclear: refresh.unclear,
    seed: settings.refreshToken,
    revokeSuperseded: settings.revokeSuperseded,
    memory,
  });
}

/** Where its breaker stands. */
export function placeOf({ endpoint }: Provider, way: Way | undefined, { breaker }: ProvidedConfig): BreakerPlace {
  const policy = { failures: breaker.failures, windowMs: breaker.window, resetAfterMs: breaker.resetAfter };
  return { endpoint, egress: egressName(way, new URL(endpoint)), policy };
}

/**
 * What makes a token another one: whoever has one obtained by settings that agree in this may go on using it. A stored
 * grant is bound to its client alone; what is obtained without one is what was asked for.
 */
export function tokenIdentity(settings: ProvidedConfig, { bound, grant }: Provider): string {
  if (!obtainedGrants.has(grant)) return JSON.stringify(['stored', bound]);
  const { scope, tokenParams, subjectTokenFile } = settings as Readonly<Record<string, unknown>>;
  return JSON.stringify([grant, bound, scope, tokenParams, subjectTokenFile]);
}
