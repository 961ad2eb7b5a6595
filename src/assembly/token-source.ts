// How one credential comes by its tokens: a provider, a breaker, and the grant that puts both to use. Commands that
// work without a running sidecar build this part alone.
import type { Clock } from '../clock.ts';
import type { CredentialConfig } from '../config/schema.ts';
import type { Breaker } from '../credentials/breaker.ts';
import { createObtainedGrant } from '../credentials/obtained-grant.ts';
import { createRecords } from '../credentials/records.ts';
import type { TokenSource } from '../credentials/renewal.ts';
import { createRotatingGrant } from '../credentials/rotating-grant.ts';
import { egressName, type Way } from '../egress/way.ts';
import type { Grant, Provider } from '../providers/provider.ts';
import type { Sealing, Store } from '../stores/store.ts';
import type { Observers } from '../telemetry/observers.ts';
import { breakerOf } from './breakers.ts';

/** What one credential needs to come by tokens. */
export interface Means {
  readonly clock: Clock;
  readonly store: Store;
  readonly sealing: Sealing;
  readonly observers: Pick<Observers, 'credentials'>;
  /** By token endpoint and egress. */
  readonly breakers: Map<string, Breaker>;
  readonly owner: string;
  readonly leaseMs: number;
}

/** They spend nothing, so that nothing of them is stored. */
const obtainedGrants: ReadonlySet<Grant> = new Set(['client_credentials', 'token_exchange', 'jwt_bearer']);

export function createSource(
  credential: string,
  provider: Provider,
  settings: Exclude<CredentialConfig, { provider: 'file' }>,
  shared: Means,
  way: Way | undefined,
): TokenSource {
  const { clock, store, sealing, owner, leaseMs } = shared;
  const { refresh } = settings;
  const observer = shared.observers.credentials;
  const common = {
    credential,
    provider,
    breaker: breakerOf(provider.endpoint, egressName(way, new URL(provider.endpoint)), settings, shared),
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
  if (obtainedGrants.has(provider.grant)) return createObtainedGrant(common);
  return createRotatingGrant({
    ...common,
    store,
    records: createRecords({ credential, bound: provider.bound, store, sealing, observer }),
    owner,
    leaseMs,
    unclear: refresh.unclear,
    seed: settings.refreshToken,
    revokeSuperseded: settings.revokeSuperseded,
  });
}
