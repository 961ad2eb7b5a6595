// The composition root: builds every part from a configuration, starts and stops them in order, and puts a changed
// configuration in force. What parts are made of stands in assembly/; here is no logic but the order.
import { randomBytes } from 'node:crypto';
import { activeFacts, proxySettings } from './assembly/active.ts';
import { createConfigurationStanding } from './assembly/configuration-standing.ts';
import { createCredentialSet } from './assembly/credential-set.ts';
import { rekeyAll } from './assembly/rekey.ts';
import { prepareReload } from './assembly/reload.ts';
import { describeStore, openSealing, openStore } from './assembly/store.ts';
import { openFirstWays } from './assembly/ways.ts';
import { type Clock, sleep, systemClock, type Timer } from './clock.ts';
import { configHash } from './config/config-hash.ts';
import type { ReloadObserver } from './config/reload-observer.ts';
import type { Config } from './config/schema.ts';
import { SidebearerError, toSidebearerError } from './errors/sidebearer-error.ts';
import { type BoundAddress, bind, type ListenAddress } from './listen.ts';
import { createOAuthServer } from './oauth/server.ts';
import { type Cut, createProxyListener } from './proxy/listener.ts';
import { openListenerTls } from './proxy/listener-tls.ts';
import type { StopCause } from './telemetry/life-observer.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { createObservers } from './telemetry/observers.ts';
import { createTelemetryServer } from './telemetry/server.ts';

export interface Sidecar {
  /** Addresses that are really served; `oauth` is undefined while it is off or cannot be bound. */
  readonly urls: { readonly proxy: string; readonly oauth: string | undefined; readonly telemetry: string };
  readonly logger: Logger;
  readonly reloads: ReloadObserver;
  /**
   * Puts another configuration in force, all of it at once. One at a time.
   * @param against what `changesBetween` has found that needs a restart: then the rest is tried only
   * @throws ConfigRefusal with all that is wrong: nothing was changed
   */
  reload(config: Config, against?: readonly SidebearerError[]): Promise<void>;
  /**
   * Graceful: resolves when every stream has ended or its time is over, and what was redeemed is durable.
   * @param hurry aborted: the time of streams is over; a redeem that was sent keeps its own
   */
  stop(cause: StopCause, hurry?: AbortSignal): Promise<void>;
}

export interface SidecarOptions {
  readonly version: string;
  /** Shown in the kubectl commands of the pages. */
  readonly podName?: string | undefined;
  readonly clock?: Clock;
  /** What POST /quitquitquit orders, where shutdown.quit is set: a call of `stop`. */
  readonly quit?: () => void;
  /** Aborted: the start is given up, whatever it waits for. */
  readonly stopping?: AbortSignal;
}

/** How often a busy oauth port is tried again while a stored token serves, ms. */
const REBIND_INTERVAL_MS = 5_000;
/** What a redeem that was sent may take beyond its own timeout: its commit, ms. */
const COMMIT_GRACE_MS = 5_000;

/**
 * Starts everything.
 * @throws SidebearerError with an exit code in its row, sidecar_stopping where it was given up; nothing is left running
 */
export async function startSidecar(first: Config, options: SidecarOptions): Promise<Sidecar> {
  const { version, podName, clock = systemClock, stopping } = options;
  /** In force; another one after a reload. */
  let config = first;
  /** The longest that a redeem may take, of one that an earlier configuration began as well. */
  let redeemMs = longestTimeoutMs(first);
  const keyOfProcess = randomBytes(32);
  const logger = await createLogger({
    level: config.log.level,
    format: config.log.format,
    base: { service: 'sidebearer' },
  });
  let ways = await openFirstWays(config, clock);
  let listenerTls = await openListenerTls({ ...config.listen.tls, clientCa: config.listen.clients.ca });
  const names = (): readonly string[] => Object.keys(config.credentials);
  const statuses = () => [...credentials.all.values()].map((credential) => credential.status());
  const metrics = createMetrics({
    credentials: statuses,
    hasCredential: (name) => credentials.all.has(name),
    active: activeFacts(config, keyOfProcess),
    version,
    node: process.version,
    storeKind: config.store.kind,
  });
  const observers = createObservers({ metrics, logger, clock, accessLog: () => config.log.access });
  const standing = createConfigurationStanding(observers.reloads, () => configHash(config, keyOfProcess), clock);

  const onWarning = (warning: SidebearerError): void => observers.credentials.failed(warning);
  const opened = await openStore(config, { clock, onWarning, credentials: names });
  const { store } = opened;
  let storeTls = opened.tls;
  const sealing = openSealing(config);
  const owner = randomBytes(16).toString('base64url');
  const leaseMs = config.store.lease;
  const credentials = createCredentialSet({
    clock,
    store,
    sealing,
    observer: observers.credentials,
    owner,
    leaseMs,
    hasLoginPages: config.listen.oauth !== 'off',
  });
  // What is stored is read first, so that it is known whether a token serves when a port turns out busy.
  const giveUp = (): void => void store.close();
  // A start that is given up waits for no store: whoever reads is told that it is closed.
  stopping?.addEventListener('abort', giveUp, { once: true });
  (await credentials.prepare(config, ways)).commit();
  stopping?.removeEventListener('abort', giveUp);

  let isBound = false;
  let isStopping = false;
  let rebinding: Timer | undefined;
  let binding: Promise<void> | undefined;
  const oauth = createOAuthServer({
    credentials: credentials.all,
    logins: store.logins,
    probeStore: () => store.probe(),
    rekey: () => rekeyAll(names(), { store, sealing, owner, leaseMs, clock }),
    sealing,
    clock,
    observer: observers.logins,
    version,
    storedIn: describeStore(config.store),
    configuration: standing.status,
    adminToken: () => config.admin.token,
    ...(podName !== undefined && { podName }),
  });
  const telemetry = createTelemetryServer({
    metrics,
    probes: () => ({ isBound, isStopping, require: config.readiness.require, credentials: statuses }),
    failed: (thrown) => observers.credentials.failed(toSidebearerError(thrown)),
    quit: () => (config.shutdown.quit ? options.quit : undefined),
    quitRefused: (error) => observers.life.quitRefused(error),
  });
  const proxy = createProxyListener({
    address: config.listen.proxy,
    ...proxySettings(config, { credentials: credentials.all, ways, listenerTls, clock }),
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

  async function end(minDrainMs: number, maxDrainMs: number, hurry?: AbortSignal): Promise<Cut> {
    isStopping = true;
    rebinding?.cancel();
    // From now on no redeem begins; one that was sent, and its commit, may take their time.
    const redeemed = credentials.stop();
    const redeemEndsAtMs = clock.monotonicMs() + maxDrainMs + redeemMs + COMMIT_GRACE_MS;
    const drained = proxy.close({ minDrainMs, maxDrainMs, hurry });
    // A listener that is just being bound can only be closed once it is.
    await binding;
    const [cut] = await Promise.all([drained, oauth.close()]);
    const graceOver = new AbortController();
    await Promise.race([redeemed, sleep(clock, redeemEndsAtMs - clock.monotonicMs(), graceOver.signal)]);
    graceOver.abort();
    for (const name of credentials.dirty()) observers.credentials.failed(lostAtEnd(name), name);
    credentials.close();
    await store.close();
    await telemetry.close();
    return cut;
  }

  async function endInOrder(cause: StopCause, hurry: AbortSignal | undefined): Promise<void> {
    const beganMs = clock.monotonicMs();
    observers.life.stopping(cause);
    const { requests, upgrades } = await end(config.shutdown.minDrain, config.shutdown.maxDrain, hurry);
    const durationMs = clock.monotonicMs() - beganMs;
    observers.life.stopped({ durationMs, cutRequests: requests, cutUpgrades: upgrades });
  }

  async function reload(next: Config, against?: readonly SidebearerError[]): Promise<void> {
    const inForce = { config, ways, listenerTls, storeTls, sealing, credentials, store };
    const prepared = await prepareReload(next, inForce, clock, against);
    // One that came too late must not begin anything.
    if (isStopping) return prepared.credentials.drop();
    // From here to the end in one turn: no request meets half of it.
    const keys = prepared.sealing;
    if (keys !== undefined) sealing.change(keys);
    if (prepared.storeTls?.digest !== storeTls?.digest) opened.trust?.(prepared.storeTls);
    config = next;
    redeemMs = Math.max(redeemMs, longestTimeoutMs(next));
    ({ ways, listenerTls, storeTls } = prepared);
    const gone = prepared.credentials.commit();
    proxy.reconfigure(proxySettings(config, { credentials: credentials.all, ways, listenerTls, clock }));
    logger.setLevel(config.log.level);
    credentials.start();
    if (keys !== undefined) credentials.lookAgain();
    await metrics.reconfigure(activeFacts(config, keyOfProcess), gone);
  }

  let ended: Promise<void> | undefined;
  const stop: Sidecar['stop'] = (cause, hurry) => {
    ended ??= endInOrder(cause, hurry);
    return ended;
  };
  const checkStopping = (): void => {
    if (stopping?.aborted) throw new SidebearerError('sidecar_stopping');
  };

  try {
    checkStopping();
    const { oauth: oauthAddress } = config.listen;
    if (oauthAddress !== 'off') {
      const needing = [...credentials.all.values()].filter(
        ({ login, device }) => login !== undefined || device !== undefined,
      );
      await bindOAuth(oauthAddress, needing.length === 0 || needing.some((credential) => credential.status().usable));
    }
    const telemetryUrl = await bound('telemetry', () =>
      bind(telemetry.server, config.listen.telemetry, 'listen.telemetry'),
    );
    checkStopping();
    const proxyUrl = await bound('proxy', () => proxy.listen());
    credentials.start();
    // A store that cannot be written is told before a refresh finds it out; it is never a reason not to start.
    store.probe().catch((thrown: unknown) => observers.credentials.failed(toSidebearerError(thrown)));
    isBound = true;
    return {
      logger,
      reloads: standing.reloads,
      reload,
      stop,
      get urls() {
        return { proxy: proxyUrl, telemetry: telemetryUrl, oauth: oauthUrl };
      },
    };
  } catch (thrown) {
    // Nobody is served yet, so there is nothing to drain.
    await end(0, 0);
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
