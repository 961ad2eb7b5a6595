// One credential of a running sidecar: its settings, provider and source behind a refresher. It reads nothing of what
// is stored, and sends nothing.
import type { CredentialConfig } from '../config/schema.ts';
import { createInjection } from '../credentials/injection.ts';
import { Refresher } from '../credentials/refresher.ts';
import type { Schedule } from '../credentials/schedule.ts';
import type { TokenCache } from '../credentials/token-cache.ts';
import { createWrittenToken } from '../credentials/written-token.ts';
import type { Provider } from '../providers/provider.ts';
import { createUpstreamLimits } from '../providers/upstream-limits.ts';
import { createProvider } from './provider.ts';
import { createSource, type Means } from './token-source.ts';
import type { Ways } from './ways.ts';

export interface Shared extends Means {
  readonly schedule: Schedule;
  readonly cache: TokenCache;
  readonly hasLoginPages: boolean;
  readonly ways: Ways;
}

export async function createCredential(name: string, settings: CredentialConfig, shared: Shared): Promise<Refresher> {
  const { clock, cache, schedule } = shared;
  const observer = shared.observers.credentials;
  const limits = createUpstreamLimits(clock);
  const common = { name, cache, schedule, clock, random: Math.random, observer, limits };
  const { header, format, headers } = settings.inject;
  if (settings.provider === 'file') {
    const { createTokenFile } = await import('../providers/token-file.ts');
    return new Refresher({
      ...common,
      source: createWrittenToken(name, createTokenFile({ path: settings.path, clock })),
      injection: createInjection({ headers: { [header]: format, ...headers } }),
      ...writtenTokenPolicy,
    });
  }
  const way = shared.ways.ofCredentials.get(name);
  const provider = await createProvider(settings, clock, way);
  const { refresh, breaker, wait } = settings;
  return new Refresher({
    ...common,
    source: createSource(name, provider, settings, shared, way),
    injection: createInjection({ headers: { [header]: format, ...provider.headers, ...headers } }),
    pauses: {
      cooldownMs: refresh.cooldown,
      resetAfterMs: breaker.resetAfter,
      maxRetryAfterMs: refresh.maxRetryAfter,
    },
    lead: { leadMs: refresh.lead ?? provider.leadMs, jitter: refresh.jitter },
    wait: { timeoutMs: wait.timeout, places: wait.queue },
    ...(provider.limits !== undefined && { limits: provider.limits }),
    ...(provider.completeImport !== undefined && { completeImport: provider.completeImport }),
    insteadOfLogin: insteadOfLogin(provider, shared),
  });
}

function insteadOfLogin({ login, device }: Provider, { hasLoginPages }: Shared): string | undefined {
  if (login === undefined && device === undefined) return 'Put a new refresh token into refreshToken and restart.';
  return hasLoginPages
    ? undefined
    : 'Set listen.oauth, which is off, to an address such as 127.0.0.1:1455, restart, and log in.';
}

/** Nothing is refreshed: the file is looked at again soon, and only while requests ask. */
export const writtenTokenPolicy = {
  pauses: { cooldownMs: 5_000, resetAfterMs: 1_000, maxRetryAfterMs: 3_600_000 },
  lead: { leadMs: 0, jitter: 0 },
  wait: { timeoutMs: 1_000, places: 1_000 },
} as const;
