// What the settings of one credential make of it: a provider and a source, behind what a refresher works by. It reads
// nothing of what is stored, and sends nothing.
import type { CredentialConfig } from '../config/schema.ts';
import type { Breaker } from '../credentials/breaker.ts';
import { createInjection } from '../credentials/injection.ts';
import type { CredentialMemory } from '../credentials/memory.ts';
import type { CredentialSlice } from '../credentials/refresher.ts';
import { createWrittenToken } from '../credentials/written-token.ts';
import type { Provider } from '../providers/provider.ts';
import { createUpstreamLimits } from '../providers/upstream-limits.ts';
import { createSource, type Means, type ProvidedConfig } from './token-source.ts';

export interface CredentialMeans extends Means {
  readonly hasLoginPages: boolean;
}

export async function createWrittenSlice(
  name: string,
  settings: Extract<CredentialConfig, { provider: 'file' }>,
  memory: CredentialMemory,
  { clock }: CredentialMeans,
): Promise<CredentialSlice> {
  const { createTokenFile } = await import('../providers/token-file.ts');
  const { header, format, headers } = settings.inject;
  return {
    limits: createUpstreamLimits(clock),
    source: createWrittenToken(name, createTokenFile({ path: settings.path, clock }), memory),
    injection: createInjection({ headers: { [header]: format, ...headers } }),
    ...writtenTokenPolicy,
  };
}

export function createProvidedSlice(
  name: string,
  settings: ProvidedConfig,
  parts: { readonly provider: Provider; readonly breaker: Breaker; readonly memory: CredentialMemory },
  means: CredentialMeans,
): CredentialSlice {
  const { provider } = parts;
  const { refresh, breaker, wait, inject } = settings;
  const { header, format, headers } = inject;
  return {
    limits: provider.limits ?? createUpstreamLimits(means.clock),
    source: createSource(name, settings, parts, means),
    injection: createInjection({ headers: { [header]: format, ...provider.headers, ...headers } }),
    pauses: {
      cooldownMs: refresh.cooldown,
      resetAfterMs: breaker.resetAfter,
      maxRetryAfterMs: refresh.maxRetryAfter,
    },
    lead: { leadMs: refresh.lead ?? provider.leadMs, jitter: refresh.jitter },
    wait: { timeoutMs: wait.timeout, places: wait.queue },
    ...(provider.completeImport !== undefined && { completeImport: provider.completeImport }),
    insteadOfLogin: insteadOfLogin(provider, means),
  };
}

function insteadOfLogin({ login, device }: Provider, { hasLoginPages }: CredentialMeans): string | undefined {
  if (login === undefined && device === undefined) return 'Put a new refresh token into refreshToken.';
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
