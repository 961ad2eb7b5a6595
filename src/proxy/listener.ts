// The proxy's listener: puts router, exchanges, the standard carrier and upgrades together, binds, and drains. It adds
// no meaning of its own and reserves no path.
import { type Clock, sleep } from '../clock.ts';
import { type BoundAddress, bind, type ListenAddress } from '../listen.ts';
import { type Admit, createAdmission, type RouteOptions } from './admission.ts';
import type { ClientToken } from './client-token.ts';
import { createExchanges } from './exchange.ts';
import type { ListenerTls } from './listener-tls.ts';
import type { ProxyObserver } from './observer.ts';
import { createReplayMemory } from './replay.ts';
import { type CarrierLimits, createStandardServer } from './standard/server.ts';
import { createStandardUpstream } from './standard/upstream.ts';
import { createUpgrades } from './upgrade.ts';
import { createUpstreamPool, type RouteSet } from './upstream-pool.ts';

export interface ProxyLimits {
  /** Requests at work and waiting. */
  readonly inFlight: number;
  readonly headerBytes: number;
  readonly headerCount: number;
  readonly headerTimeoutMs: number;
  /** How long an idle connection is kept: longer than clients keep theirs, so that it is they who close it. */
  readonly keepAliveMs: number;
  /** What all copies of request bodies together may hold. */
  readonly replayMemoryBytes: number;
}

/** What a reload of the configuration may change. */
export interface ProxySettings {
  readonly routes: readonly RouteOptions[];
  /** Names that may stand in `Host`, and then no cross-site page may call; empty: any. */
  readonly hosts: readonly string[];
  /** Absent: plain. */
  readonly tls?: ListenerTls | undefined;
  /** What every client must show; absent: nothing. */
  readonly clients?: ClientToken | undefined;
  /** `headerBytes` is that of the start. */
  readonly limits: ProxyLimits;
}

export interface ProxyListenerOptions extends ProxySettings {
  readonly address: ListenAddress;
  readonly observer: ProxyObserver;
  readonly clock: Clock;
}

export interface ProxyListener {
  /** May be tried again after a failure. @throws listen_port_busy, listen_refused, listen_address_unavailable */
  listen(): Promise<BoundAddress>;
  /**
   * Answers close their connections from now on; accepting goes on for `minDrainMs`; what is in flight has until
   * `maxDrainMs` (both from now), then open upgrades are ended in order and the rest is cut. Never throws.
   */
  close(drain: Drain): Promise<Cut>;
  /**
   * From now on requests are admitted by these; those that were go on as they began, and so do connections. A listener
   * stays plain, or stays with TLS.
   */
  reconfigure(settings: ProxySettings): void;
  readonly inFlight: number;
}

export interface Drain {
  readonly minDrainMs: number;
  readonly maxDrainMs: number;
  /** Aborted: both times are over. */
  readonly hurry?: AbortSignal | undefined;
}

/** What was still at work when its time was over. */
export interface Cut {
  readonly requests: number;
  readonly upgrades: number;
}

/** Between the end of open upgrades and the cut: time for both sides to see the end. */
const UPGRADE_GRACE_MS = 500;

export function createProxyListener(options: ProxyListenerOptions): ProxyListener {
  const { clock, observer } = options;
  let settings: ProxySettings = options;
  const upstreams = createUpstreamPool(({ upstream: { origin }, timeouts, http2, way }) =>
    createStandardUpstream({ origin, timeouts, http2, way }),
  );
  const admissionOf = (set: RouteSet): Admit =>
    createAdmission({ ...settings, headerCount: settings.limits.headerCount }, set.connect, set.use);
  let routes = upstreams.open();
  let admission = admissionOf(routes);
  const admit: Admit = (head) => admission(head);
  const exchanges = createExchanges({
    admit,
    observer,
    clock,
    replayMemory: createReplayMemory(() => settings.limits.replayMemoryBytes),
    maxInFlight: () => settings.limits.inFlight,
  });
  const upgrades = createUpgrades({ admit, exchanges, observer, clock });
  const carrier = createStandardServer({
    clock,
    tls: options.tls,
    headerBytes: options.limits.headerBytes,
    limits: carrierLimits(options.limits),
    begin: exchanges.begin,
    upgrade: upgrades.begin,
    failed: observer.failed.bind(observer),
  });

  const close = async ({ minDrainMs, maxDrainMs, hurry }: Drain): Promise<Cut> => {
    const endsAtMs = clock.monotonicMs() + maxDrainMs;
    const pause = (ms: number): Promise<void> => sleep(clock, ms, hurry, { background: true });
    carrier.drain();
    if (minDrainMs > 0) await pause(minDrainMs);
    const closed = carrier.close();
    await Promise.race([closed, pause(Math.max(endsAtMs - clock.monotonicMs(), 0))]);
    const upgradesOpen = upgrades.open;
    const cut = { requests: exchanges.inFlight - upgradesOpen, upgrades: upgradesOpen };
    if (upgradesOpen > 0) {
      upgrades.end();
      await Promise.race([closed, sleep(clock, UPGRADE_GRACE_MS, undefined, { background: true })]);
    }
    carrier.destroy();
    await closed;
    await upstreams.destroy();
    return cut;
  };

  return {
    async listen() {
      const { url, address } = await bind(carrier.server, options.address, 'listen.proxy');
      return { url: options.tls === undefined ? url : url.replace(/^http:/, 'https:'), address };
    },
    close,
    reconfigure(next) {
      settings = next;
      const before = routes;
      routes = upstreams.open();
      admission = admissionOf(routes);
      // After the new ones took theirs, so that what both name stays open.
      before.retire();
      carrier.reconfigure(next.tls, carrierLimits(next.limits));
    },
    get inFlight() {
      return exchanges.inFlight;
    },
  };
}

function carrierLimits({ inFlight, headerTimeoutMs, keepAliveMs }: ProxyLimits): CarrierLimits {
  return { maxWaiting: inFlight, headerTimeoutMs, keepAliveMs };
}
