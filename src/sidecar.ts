// The composition root: builds every part from a configuration, starts and stops them in order. What is built of what
// stands in assembly/; here is no logic but the order of start and stop.
import { randomBytes } from 'node:crypto';
import { createCredential, type Shared } from './assembly/credential.ts';
import { rekeyAll } from './assembly/rekey.ts';
import { createRoutes } from './assembly/routes.ts';
import { createStoreSealing, describeStore, openStore } from './assembly/store.ts';
import { openWays } from './assembly/ways.ts';
import { type Clock, sleep, systemClock, type Timer } from './clock.ts';
import { configHash } from './config/config-hash.ts';
import type { Config } from './config/schema.ts';
import type { Refresher } from './credentials/refresher.ts';
import { createSchedule } from './credentials/schedule.ts';
import { createTokenCache } from './credentials/token-cache.ts';
import { SidebearerError, toSidebearerError } from './errors/sidebearer-error.ts';
import { type BoundAddress, bind, type ListenAddress } from './listen.ts';
import { createOAuthServer } from './oauth/server.ts';
import type { ClientToken } from './proxy/client-token.ts';
import { createProxyListener } from './proxy/listener.ts';
import { openListenerTls } from './proxy/listener-tls.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { createObservers } from './telemetry/observers.ts';
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
    routes: createRoutes(config, credentials, ways, clock),
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

function lostAtEnd(credential: string): SidebearerError {
  const reason = 'the process ends with a token that is not durable';
  return new SidebearerError('store_write_failed', { credential, reason });
}

function longestTimeoutMs({ credentials }: Config): number {
  const timeouts = Object.values(credentials).map((settings) => ('refresh' in settings ? settings.refresh.timeout : 0));
  return Math.max(0, ...timeouts);
}

function clientTokenOf({ header, token }: Config['listen']['clients']): ClientToken | undefined {
  return header === undefined || token === undefined ? undefined : { header, token };
}
