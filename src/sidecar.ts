// The composition root: builds every part from a configuration, starts and stops them in order. It is the only file
// that imports implementations, and it holds no logic but the order of start and stop.
import { randomBytes } from 'node:crypto';
import { type Clock, sleep, systemClock, type Timer } from './clock.ts';
import type { Config, CredentialConfig } from './config/schema.ts';
import { type Breaker, createBreaker } from './credentials/breaker.ts';
import { createInjection } from './credentials/injection.ts';
import { createObtainedGrant } from './credentials/obtained-grant.ts';
import { createRecords } from './credentials/records.ts';
import { Refresher } from './credentials/refresher.ts';
import type { TokenSource } from './credentials/renewal.ts';
import { createRotatingGrant } from './credentials/rotating-grant.ts';
import { createSchedule, type Schedule } from './credentials/schedule.ts';
import { createTokenCache, type TokenCache } from './credentials/token-cache.ts';
import { createWrittenToken } from './credentials/written-token.ts';
import { type SidebearerError, toSidebearerError } from './errors/sidebearer-error.ts';
import { type BoundAddress, bind, type ListenAddress } from './listen.ts';
import { createOAuthServer } from './oauth/server.ts';
import type { Provider } from './providers/provider.ts';
import { createProxyListener } from './proxy/listener.ts';
import { createPlaintextSealing, createSealing, parseSealKey } from './stores/sealing.ts';
import type { Sealing, Store } from './stores/store.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { createObservers, type Observers } from './telemetry/observers.ts';
import { createTelemetryServer } from './telemetry/server.ts';

export interface Sidecar {
  /** Addresses that are really served; `oauth` is undefined while it is off or cannot be bound. */
  readonly urls: { readonly proxy: string; readonly oauth: string | undefined; readonly telemetry: string };
  readonly logger: Logger;
  /** Graceful: resolves when every stream has ended or its time is over, and what was redeemed is durable. */
  stop(): Promise<void>;
}

export interface SidecarOptions {
  readonly version: string;
  /** Shown in the kubectl commands of the pages. */
  readonly podName?: string | undefined;
  readonly clock?: Clock;
}

/** How often a busy oauth port is tried again while a stored token serves, ms. */
const REBIND_INTERVAL_MS = 5_000;
/** What a redeem that was sent may take beyond its own timeout: its commit, ms. */
const COMMIT_GRACE_MS = 5_000;
/** Above this many credentials, gauges of single ones would be too many series. */
const MOST_CREDENTIALS_WITH_GAUGES = 100;

/** Starts everything. @throws SidebearerError with an exit code in its row; nothing is left running then */
export async function startSidecar(config: Config, options: SidecarOptions): Promise<Sidecar> {
  const { version, podName, clock = systemClock } = options;
  const logger = await createLogger({
    level: config.log.level,
    format: config.log.format,
    base: { service: 'sidebearer' },
  });
  const names = Object.keys(config.credentials);
  const credentials = new Map<string, Refresher>();
  const statuses = () => [...credentials.values()].map((credential) => credential.status());
  const metrics = createMetrics({
    credentials: statuses,
    hasCredential: (name) => credentials.has(name),
    routes: config.routes.map(({ name }) => name),
    perCredential:
      config.metrics.perCredential === 'auto'
        ? names.length <= MOST_CREDENTIALS_WITH_GAUGES
        : config.metrics.perCredential,
    version,
    node: process.version,
    storeKind: config.store.kind,
  });
  const observers = createObservers({ metrics, logger, clock, accessLog: config.log.access });

  const store = await openStore(config, clock, (warning) => observers.credentials.failed(warning));
  const sealing = createStoreSealing(config);
  const schedule = createSchedule(clock, (name) => credentials.get(name)?.due());
  const shared: Shared = {
    clock,
    store,
    sealing,
    schedule,
    observers,
    cache: createTokenCache(names.length),
    breakers: new Map(),
    owner: randomBytes(16).toString('base64url'),
    leaseMs: config.store.lease,
    hasLoginPages: config.listen.oauth !== 'off',
  };
  for (const [name, settings] of Object.entries(config.credentials)) {
    credentials.set(name, await createCredential(name, settings, shared));
  }

  let isBound = false;
  let isStopping = false;
  let rebinding: Timer | undefined;
  const oauth = createOAuthServer({
    credentials,
    logins: store.logins,
    sealing,
    clock,
    observer: observers.logins,
    version,
    storedIn: config.store.kind === 'file' ? `file ${config.store.path}` : config.store.kind,
    ...(podName !== undefined && { podName }),
  });
  const telemetry = createTelemetryServer({
    metrics,
    probes: () => ({ isBound, isStopping, require: config.readiness.require, credentials: statuses }),
    failed: (thrown) => observers.credentials.failed(toSidebearerError(thrown)),
  });
  const proxy = createProxyListener({
    address: config.listen.proxy,
    routes: config.routes.map((route) => {
      const bearer = credentials.get(route.credential);
      if (bearer === undefined) throw new Error(`route ${route.name} names no credential`);
      return {
        name: route.name,
        ...(route.host !== undefined && { host: route.host }),
        path: route.path,
        upstream: new URL(route.upstream),
        stripPath: route.stripPath,
        bearer,
        timeouts: {
          connectMs: route.timeouts.connect,
          headersMs: route.timeouts.headers,
          idleMs: route.timeouts.idle,
        },
        replayMaxBodyBytes: route.replay.maxBody,
        http2: 'never' as const,
      };
    }),
    hosts: config.listen.hosts,
    limits: {
      inFlight: config.limits.inFlight,
      headerBytes: config.limits.headerBytes,
      headerCount: config.limits.headerCount,
      headerTimeoutMs: config.limits.headerTimeout,
      replayMemoryBytes: config.limits.replayMemory,
    },
    clock,
    observer: observers.proxy,
  });

  let oauthUrl: string | undefined;
  /** Only where a stored token serves meanwhile is a busy port something to wait for. */
  async function bindOAuth(address: ListenAddress, mayWait: boolean): Promise<void> {
    try {
      ({ url: oauthUrl } = await oauth.listen(address, 'listen.oauth'));
      observers.listeners.bound('oauth', oauthUrl);
    } catch (thrown) {
      const error = toSidebearerError(thrown);
      if (!mayWait) {
        observers.listeners.failed('oauth', error);
        throw error;
      }
      observers.listeners.failed('oauth', error, clock.wallMs() + REBIND_INTERVAL_MS);
      rebinding = clock.after(REBIND_INTERVAL_MS, () => void bindOAuth(address, true), { background: true });
    }
  }

  async function bound(listener: 'proxy' | 'telemetry', listen: () => Promise<BoundAddress>): Promise<string> {
    try {
      const { url } = await listen();
      observers.listeners.bound(listener, url);
      return url;
    } catch (thrown) {
      observers.listeners.failed(listener, toSidebearerError(thrown));
      throw thrown;
    }
  }

  async function stop(): Promise<void> {
    if (isStopping) return;
    isStopping = true;
    rebinding?.cancel();
    schedule.stop();
    // From now on no redeem begins; one that was sent, and its commit, may take their time.
    const redeemed = Promise.all([...credentials.values()].map((credential) => credential.stop()));
    const redeemEndsAtMs = clock.monotonicMs() + config.shutdown.maxDrain + longestTimeoutMs(config) + COMMIT_GRACE_MS;
    await proxy.close({ minDrainMs: config.shutdown.minDrain, maxDrainMs: config.shutdown.maxDrain });
    await oauth.close();
    const graceOver = new AbortController();
    await Promise.race([redeemed, sleep(clock, redeemEndsAtMs - clock.monotonicMs(), graceOver.signal)]);
    graceOver.abort();
    for (const breaker of shared.breakers.values()) breaker.stop();
    await store.close();
    await telemetry.close();
  }

  try {
    // What is stored is read first, so that it is known whether a token serves when a port turns out busy.
    await Promise.all([...credentials.values()].map((credential) => credential.load()));
    const { oauth: oauthAddress } = config.listen;
    if (oauthAddress !== 'off') {
      const needing = [...credentials.values()].filter(({ login }) => login !== undefined);
      await bindOAuth(oauthAddress, needing.length === 0 || needing.some((credential) => credential.status().usable));
    }
    const telemetryUrl = await bound('telemetry', () =>
      bind(telemetry.server, config.listen.telemetry, 'listen.telemetry'),
    );
    const proxyUrl = await bound('proxy', () => proxy.listen());
    for (const credential of credentials.values()) void credential.start();
    isBound = true;
    return {
      logger,
      stop,
      get urls() {
        return { proxy: proxyUrl, telemetry: telemetryUrl, oauth: oauthUrl };
      },
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

// --- parts ------------------------------------------------------------------------------------------------------

interface Shared {
  readonly clock: Clock;
  readonly store: Store;
  readonly sealing: Sealing;
  readonly schedule: Schedule;
  readonly observers: Observers;
  readonly cache: TokenCache;
  /** By token endpoint. */
  readonly breakers: Map<string, Breaker>;
  readonly owner: string;
  readonly leaseMs: number;
  readonly hasLoginPages: boolean;
}

/** Implementations are loaded only where the configuration names them. */
async function openStore(config: Config, clock: Clock, onWarning: (warning: SidebearerError) => void): Promise<Store> {
  const { kind, path } = config.store;
  if (kind === 'memory') return (await import('./stores/memory.ts')).createMemoryStore({ clock });
  return await (await import('./stores/file.ts')).createFileStore({ path, clock, onWarning });
}

function createStoreSealing({ store }: Config): Sealing {
  const keys = store.keys.map(parseSealKey).filter((key) => key !== undefined);
  if (keys.length > 0) return createSealing(keys);
  // What never leaves the process is sealed as well: one path for all, under a key that dies with it.
  return store.plaintext ? createPlaintextSealing() : createSealing([randomBytes(32)]);
}

async function createProvider(
  settings: Exclude<CredentialConfig, { provider: 'file' }>,
  clock: Clock,
): Promise<Provider> {
  switch (settings.provider) {
    case 'codex':
      return (await import('./providers/codex.ts')).createCodexProvider(settings, { clock });
    case 'oidc':
      return (await import('./providers/oidc.ts')).createOidcProvider(settings, { clock });
    case 'oauth2':
      return (await import('./providers/oauth2.ts')).createOAuth2Provider(settings, { clock });
  }
}

async function createCredential(name: string, settings: CredentialConfig, shared: Shared): Promise<Refresher> {
  const { clock, cache, schedule } = shared;
  const observer = shared.observers.credentials;
  const common = { name, cache, schedule, clock, random: Math.random, observer };
  const { header, format, headers } = settings.inject;
  if (settings.provider === 'file') {
    const { createTokenFile } = await import('./providers/token-file.ts');
    return new Refresher({
      ...common,
      source: createWrittenToken(name, createTokenFile({ path: settings.path, clock })),
      injection: createInjection({ headers: { [header]: format, ...headers } }),
      ...writtenTokenPolicy,
    });
  }
  const provider = await createProvider(settings, clock);
  const { refresh, breaker, wait } = settings;
  return new Refresher({
    ...common,
    source: createSource(name, provider, settings, shared),
    injection: createInjection({ headers: { [header]: format, ...provider.headers, ...headers } }),
    pauses: {
      cooldownMs: refresh.cooldown,
      resetAfterMs: breaker.resetAfter,
      maxRetryAfterMs: refresh.maxRetryAfter,
    },
    lead: { leadMs: refresh.lead ?? provider.leadMs, jitter: refresh.jitter },
    wait: { timeoutMs: wait.timeout, places: wait.queue },
    insteadOfLogin: insteadOfLogin(provider, shared),
  });
}

function insteadOfLogin({ login }: Provider, { hasLoginPages }: Shared): string | undefined {
  if (login === undefined) return 'Put a new refresh token into refreshToken and restart.';
  return hasLoginPages
    ? undefined
    : 'Set listen.oauth, which is off, to an address such as 127.0.0.1:1455, restart, and log in.';
}

/** Nothing is refreshed: the file is looked at again soon, and only while requests ask. */
const writtenTokenPolicy = {
  pauses: { cooldownMs: 5_000, resetAfterMs: 1_000, maxRetryAfterMs: 0 },
  lead: { leadMs: 0, jitter: 0 },
  wait: { timeoutMs: 1_000, places: 1_000 },
} as const;

function createSource(
  credential: string,
  provider: Provider,
  settings: Exclude<CredentialConfig, { provider: 'file' }>,
  shared: Shared,
): TokenSource {
  const { clock, store, sealing, owner, leaseMs } = shared;
  const { refresh } = settings;
  const observer = shared.observers.credentials;
  const common = {
    credential,
    provider,
    breaker: breakerOf(provider.endpoint, settings, shared),
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
  if (provider.grant === 'client_credentials') return createObtainedGrant(common);
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

/** One breaker for each token endpoint: the first credential that names it sets its numbers. */
function breakerOf(
  endpoint: string,
  { breaker }: Exclude<CredentialConfig, { provider: 'file' }>,
  { breakers, clock, observers }: Shared,
): Breaker {
  const known = breakers.get(endpoint);
  if (known !== undefined) return known;
  const created = createBreaker(
    { failures: breaker.failures, windowMs: breaker.window, resetAfterMs: breaker.resetAfter },
    clock,
    (state) => observers.credentials.breakerChanged(endpoint, 'direct', state),
  );
  breakers.set(endpoint, created);
  observers.credentials.breakerChanged(endpoint, 'direct', created.state);
  return created;
}

function longestTimeoutMs({ credentials }: Config): number {
  const timeouts = Object.values(credentials).map((settings) => ('refresh' in settings ? settings.refresh.timeout : 0));
  return Math.max(0, ...timeouts);
}
