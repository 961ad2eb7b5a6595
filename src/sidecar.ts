// The composition root: builds every part from a configuration, starts and stops them in order. It is the only file
// that imports implementations, and it holds no logic but the order of start and stop.
import { randomBytes } from 'node:crypto';
import { type Clock, sleep, systemClock, type Timer } from './clock.ts';
import { configHash } from './config/config-hash.ts';
import type { Config, CredentialConfig, RouteConfig } from './config/schema.ts';
import type { Bearer, ImportedTokens } from './credentials/bearer.ts';
import { type Breaker, createBreaker } from './credentials/breaker.ts';
import { answerOfImport } from './credentials/imported-tokens.ts';
import { createInjection } from './credentials/injection.ts';
import { awaitLease } from './credentials/lease-keeper.ts';
import type { CredentialObserver } from './credentials/observer.ts';
import { createObtainedGrant } from './credentials/obtained-grant.ts';
import { createPool } from './credentials/pool.ts';
import { createRecords } from './credentials/records.ts';
import { Refresher } from './credentials/refresher.ts';
import { type RekeyOptions, type RekeyOutcome, rekeyCredential } from './credentials/rekey.ts';
import type { TokenSource } from './credentials/renewal.ts';
import { createRotatingGrant } from './credentials/rotating-grant.ts';
import { createSchedule, type Schedule } from './credentials/schedule.ts';
import { createTokenCache, type TokenCache } from './credentials/token-cache.ts';
import { createWrittenToken } from './credentials/written-token.ts';
import type { EgressProxy } from './egress/egress-proxy.ts';
import { createExemptions } from './egress/exemptions.ts';
import { openTlsFiles, type TlsFiles } from './egress/tls-files.ts';
import { createWay, egressName, type Way } from './egress/way.ts';
import { SidebearerError, toSidebearerError } from './errors/sidebearer-error.ts';
import { type BoundAddress, bind, type ListenAddress } from './listen.ts';
import { createOAuthServer } from './oauth/server.ts';
import type { Account, Grant, Provider } from './providers/provider.ts';
import { createUpstreamLimits } from './providers/upstream-limits.ts';
import type { ClientToken } from './proxy/client-token.ts';
import { createProxyListener } from './proxy/listener.ts';
import { openListenerTls } from './proxy/listener-tls.ts';
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
  const ways = await openWays(config, clock);
  const listenerTls = await openListenerTls({ ...config.listen.tls, clientCa: config.listen.clients.ca });
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
    configHash: configHash(config, randomBytes(32)),
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
    ways,
  };
  for (const [name, settings] of Object.entries(config.credentials)) {
    credentials.set(name, await createCredential(name, settings, shared));
  }

  let isBound = false;
  let isStopping = false;
  let rebinding: Timer | undefined;
  let binding: Promise<void> | undefined;
  const oauth = createOAuthServer({
    credentials,
    logins: store.logins,
    probeStore: () => store.probe(),
    rekey: () => rekeyAll(names, { store, sealing, owner: shared.owner, leaseMs: shared.leaseMs, clock }),
    sealing,
    clock,
    observer: observers.logins,
    version,
    storedIn: describeStore(config.store),
    adminToken: config.admin.token,
    ...(podName !== undefined && { podName }),
  });
  const telemetry = createTelemetryServer({
    metrics,
    probes: () => ({ isBound, isStopping, require: config.readiness.require, credentials: statuses }),
    failed: (thrown) => observers.credentials.failed(toSidebearerError(thrown)),
  });
  const proxy = createProxyListener({
    address: config.listen.proxy,
    routes: config.routes.map((route, index) => {
      const members = route.credential.map((name) => memberOf(credentials, name));
      const [first] = members;
      if (first === undefined) throw new Error(`route ${route.name} names no credential`);
      const memberWays = ways.ofRoutes[index] ?? new Map();
      const hasOneWay = new Set(memberWays.values()).size <= 1;
      return {
        name: route.name,
        ...(route.host !== undefined && { host: route.host }),
        path: route.path,
        upstream: new URL(route.upstream),
        stripPath: route.stripPath,
        bearer: members.length === 1 ? first : poolOf(members, route, config, clock),
        timeouts: {
          connectMs: route.timeouts.connect,
          headersMs: route.timeouts.headers,
          idleMs: route.timeouts.idle,
        },
        replayMaxBodyBytes: route.replay.maxBody,
        http2: route.http2,
        forwarding: { forwarded: route.forwarded, via: route.via },
        way: hasOneWay ? memberWays.get(first.name) : undefined,
        waysOfMembers: hasOneWay ? undefined : memberWays,
      };
    }),
    hosts: config.listen.hosts,
    tls: listenerTls,
    clients: clientTokenOf(config.listen.clients),
    limits: {
      inFlight: config.limits.inFlight,
      headerBytes: config.limits.headerBytes,
      headerCount: config.limits.headerCount,
      headerTimeoutMs: config.limits.headerTimeout,
      keepAliveMs: config.limits.keepAlive,
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
      if (isStopping) return;
      observers.listeners.failed('oauth', error, clock.wallMs() + REBIND_INTERVAL_MS);
      const again = (): void => {
        binding = bindOAuth(address, true);
      };
      rebinding = clock.after(REBIND_INTERVAL_MS, again, { background: true });
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

  async function end({ minDrain, maxDrain }: Config['shutdown']): Promise<void> {
    isStopping = true;
    rebinding?.cancel();
    schedule.stop();
    // From now on no redeem begins; one that was sent, and its commit, may take their time.
    const redeemed = Promise.all([...credentials.values()].map((credential) => credential.stop()));
    const redeemEndsAtMs = clock.monotonicMs() + maxDrain + longestTimeoutMs(config) + COMMIT_GRACE_MS;
    const drained = proxy.close({ minDrainMs: minDrain, maxDrainMs: maxDrain });
    // A listener that is just being bound can only be closed once it is.
    await binding;
    await Promise.all([drained, oauth.close()]);
    const graceOver = new AbortController();
    await Promise.race([redeemed, sleep(clock, redeemEndsAtMs - clock.monotonicMs(), graceOver.signal)]);
    graceOver.abort();
    for (const { name, isDirty } of statuses()) {
      if (isDirty) observers.credentials.failed(lostAtEnd(name), name);
    }
    for (const breaker of shared.breakers.values()) breaker.stop();
    await store.close();
    await telemetry.close();
  }

  let ended: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    ended ??= end(config.shutdown);
    return ended;
  };

  try {
    // What is stored is read first, so that it is known whether a token serves when a port turns out busy.
    await Promise.all([...credentials.values()].map((credential) => credential.load()));
    const { oauth: oauthAddress } = config.listen;
    if (oauthAddress !== 'off') {
      const needing = [...credentials.values()].filter(
        ({ login, device }) => login !== undefined || device !== undefined,
      );
      await bindOAuth(oauthAddress, needing.length === 0 || needing.some((credential) => credential.status().usable));
    }
    const telemetryUrl = await bound('telemetry', () =>
      bind(telemetry.server, config.listen.telemetry, 'listen.telemetry'),
    );
    const proxyUrl = await bound('proxy', () => proxy.listen());
    for (const credential of credentials.values()) void credential.start();
    // A store that cannot be written is told before a refresh finds it out; it is never a reason not to start.
    store.probe().catch((thrown: unknown) => observers.credentials.failed(toSidebearerError(thrown)));
    isBound = true;
    return {
      logger,
      stop,
      get urls() {
        return { proxy: proxyUrl, telemetry: telemetryUrl, oauth: oauthUrl };
      },
    };
  } catch (thrown) {
    // Nobody is served yet, so there is nothing to drain.
    await end({ minDrain: 0, maxDrain: 0 });
    throw thrown;
  }
}

/**
 * Seals every record of the store under the first key: those of configured credentials, and those that are left of
 * others. One that fails does not end the rest.
 * @throws store_*: the store cannot be opened or listed
 */
export async function rekeyStore(
  config: Config,
  tell: (credential: string, result: RekeyOutcome | SidebearerError) => void,
  clock: Clock = systemClock,
): Promise<void> {
  const store = await openStore(config, clock, () => {});
  const owner = randomBytes(16).toString('base64url');
  const options = { store, sealing: createStoreSealing(config), owner, leaseMs: config.store.lease, clock };
  try {
    for await (const { credential, result } of rekeyAll(Object.keys(config.credentials), options)) {
      tell(credential, result);
    }
  } finally {
    await store.close();
  }
}

/**
 * Puts another program's tokens into the store of a sidecar that does not run: under the lease, so that no refresh of
 * another process is at work.
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
  const ways = await openWays(config, clock);
  const store = await openStore(config, clock, () => {});
  const means: Means = {
    clock,
    store,
    sealing: createStoreSealing(config),
    owner: randomBytes(16).toString('base64url'),
    leaseMs: config.store.lease,
    observers: { credentials: nobody },
    breakers: new Map(),
  };
  try {
    const lease = await awaitLease(credential, means);
    if (lease === undefined) throw new SidebearerError('import_held', { credential });
    try {
      const way = ways.ofCredentials.get(credential);
      const provider = await createProvider(settings, clock, way);
      const answer = answerOfImport(imported, clock.wallMs(), credential);
      const source = createSource(credential, provider, settings, means, way);
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
    for (const breaker of means.breakers.values()) breaker.stop();
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
  tokenRefused: () => undefined,
};

async function* rekeyAll(names: readonly string[], options: RekeyOptions) {
  const all = new Set([...names, ...(await options.store.list())]);
  for (const credential of [...all].sort()) {
    yield { credential, result: await rekeyCredential(credential, options).catch(toSidebearerError) };
  }
}

/** For the page after a login, and the commands. */
export function describeStore({ kind, path, keyPrefix, namespace, secretPrefix }: Config['store']): string {
  if (kind === 'file') return `file ${path}`;
  if (kind === 'redis') return `Redis ${keyPrefix}…`;
  return kind === 'kubernetes' ? `Secret ${namespace === '' ? '' : `${namespace}/`}${secretPrefix}…` : kind;
}

function lostAtEnd(credential: string): SidebearerError {
  const reason = 'the process ends with a token that is not durable';
  return new SidebearerError('store_write_failed', { credential, reason });
}

// --- parts ------------------------------------------------------------------------------------------------------

/** What one credential needs to come by tokens. */
interface Means {
  readonly clock: Clock;
  readonly store: Store;
  readonly sealing: Sealing;
  readonly observers: Pick<Observers, 'credentials'>;
  /** By token endpoint and egress. */
  readonly breakers: Map<string, Breaker>;
  readonly owner: string;
  readonly leaseMs: number;
}

interface Shared extends Means {
  readonly schedule: Schedule;
  readonly cache: TokenCache;
  readonly hasLoginPages: boolean;
  readonly ways: Ways;
}

/** By credential: each member of a pool has its own egress. */
type MemberWays = ReadonlyMap<string, Way | undefined>;

/** How connections go; undefined: straight out, trusting what Node trusts. */
interface Ways {
  readonly ofRoutes: readonly MemberWays[];
  /** To the provider. */
  readonly ofCredentials: ReadonlyMap<string, Way | undefined>;
}

/** @throws tls_file_unusable */
async function openWays({ egress, routes, credentials }: Config, clock: Clock): Promise<Ways> {
  const isExempt = createExemptions(egress.noProxy);
  // One for all that go alike, so that routes may share connections.
  const withoutTls = new Map<EgressProxy | undefined, Way | undefined>();
  const open = async (names: readonly string[], files: TlsFiles, setting: string): Promise<MemberWays> => {
    const tls = await openTlsFiles(files, setting);
    const known = tls === undefined ? withoutTls : new Map<EgressProxy | undefined, Way | undefined>();
    const ways = new Map<string, Way | undefined>();
    for (const name of names) {
      const proxy = credentials[name]?.egress.proxy ?? egress.proxy;
      const way = known.get(proxy) ?? createWay({ proxy, isExempt, tls, clock });
      known.set(proxy, way);
      ways.set(name, way);
    }
    return ways;
  };
  const ofCredentials = new Map<string, Way | undefined>();
  for (const [name, settings] of Object.entries(credentials)) {
    if (settings.provider !== 'file') {
      const ways = await open([name], settings.tls, `credentials.${name}.tls`);
      ofCredentials.set(name, ways.get(name));
    }
  }
  const ofRoutes = await Promise.all(
    routes.map(({ credential, tls }, index) => open(credential, tls, `routes[${index}].tls`)),
  );
  return { ofRoutes, ofCredentials };
}

function memberOf(credentials: ReadonlyMap<string, Refresher>, name: string): Refresher {
  const credential = credentials.get(name);
  if (credential === undefined) throw new Error(`a route names ${name}, which is no credential`);
  return credential;
}

/** Waiting for one member after the other ends when the most patient would give up. */
function poolOf(members: readonly Refresher[], route: RouteConfig, { credentials }: Config, clock: Clock): Bearer {
  const waits = members.map(({ name }) => {
    const settings = credentials[name];
    return settings === undefined || settings.provider === 'file'
      ? writtenTokenPolicy.wait.timeoutMs
      : settings.wait.timeout;
  });
  const { pool: choice, coolOn429: restsOnLimit } = route;
  return createPool({ members, choice, restsOnLimit, waitMs: Math.max(...waits), clock });
}

function clientTokenOf({ header, token }: Config['listen']['clients']): ClientToken | undefined {
  return header === undefined || token === undefined ? undefined : { header, token };
}

/** Implementations are loaded only where the configuration names them. */
async function openStore(config: Config, clock: Clock, onWarning: (warning: SidebearerError) => void): Promise<Store> {
  const { kind, path, url, keyPrefix, tls, namespace, secretPrefix, serviceAccount } = config.store;
  switch (kind) {
    case 'memory':
      return (await import('./stores/memory.ts')).createMemoryStore({ clock });
    case 'file':
      return await (await import('./stores/file.ts')).createFileStore({ path, clock, onWarning });
    case 'redis': {
      if (url === undefined) throw new Error('store.url is missing');
      const { createRedisStore } = await import('./stores/redis.ts');
      const secureContext = (await openTlsFiles(tls, 'store.tls'))?.secureContext;
      return createRedisStore({ url, keyPrefix, secureContext, clock, random: Math.random, onWarning });
    }
    case 'kubernetes':
      return await (await import('./stores/kubernetes.ts')).createKubernetesStore({
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

function createStoreSealing({ store }: Config): Sealing {
  const keys = store.keys.map(parseSealKey).filter((key) => key !== undefined);
  if (keys.length > 0) return createSealing(keys);
  // What never leaves the process is sealed as well: one path for all, under a key that dies with it.
  return store.plaintext ? createPlaintextSealing() : createSealing([randomBytes(32)]);
}

async function createProvider(
  settings: Exclude<CredentialConfig, { provider: 'file' }>,
  clock: Clock,
  way: Way | undefined,
): Promise<Provider> {
  const dispatcher =
    way === undefined ? undefined : (await import('./egress/connector.ts')).createEndpointDispatcher(way);
  const parts = { clock, dispatcher };
  switch (settings.provider) {
    case 'codex':
      return (await import('./providers/codex.ts')).createCodexProvider(settings, parts);
    case 'oidc':
      return (await import('./providers/oidc.ts')).createOidcProvider(settings, parts);
    case 'oauth2':
      return (await import('./providers/oauth2.ts')).createOAuth2Provider(settings, parts);
  }
}

async function createCredential(name: string, settings: CredentialConfig, shared: Shared): Promise<Refresher> {
  const { clock, cache, schedule } = shared;
  const observer = shared.observers.credentials;
  const limits = createUpstreamLimits(clock);
  const common = { name, cache, schedule, clock, random: Math.random, observer, limits };
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
const writtenTokenPolicy = {
  pauses: { cooldownMs: 5_000, resetAfterMs: 1_000, maxRetryAfterMs: 3_600_000 },
  lead: { leadMs: 0, jitter: 0 },
  wait: { timeoutMs: 1_000, places: 1_000 },
} as const;

/** They spend nothing, so that nothing of them is stored. */
const obtainedGrants: ReadonlySet<Grant> = new Set(['client_credentials', 'token_exchange', 'jwt_bearer']);

function createSource(
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

/** One breaker for each token endpoint and egress: the first credential that names them sets its numbers. */
function breakerOf(
  endpoint: string,
  egress: string,
  { breaker }: Exclude<CredentialConfig, { provider: 'file' }>,
  { breakers, clock, observers }: Means,
): Breaker {
  const key = `${endpoint} ${egress}`;
  const known = breakers.get(key);
  if (known !== undefined) return known;
  const created = createBreaker(
    { failures: breaker.failures, windowMs: breaker.window, resetAfterMs: breaker.resetAfter },
    clock,
    (state) => observers.credentials.breakerChanged(endpoint, egress, state),
  );
  breakers.set(key, created);
  observers.credentials.breakerChanged(endpoint, egress, created.state);
  return created;
}

function longestTimeoutMs({ credentials }: Config): number {
  const timeouts = Object.values(credentials).map((settings) => ('refresh' in settings ? settings.refresh.timeout : 0));
  return Math.max(0, ...timeouts);
}
