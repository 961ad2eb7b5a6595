// Counts what happens and exposes it to Prometheus. It never decides, never logs, and takes no label value that the
// configuration, the catalogue or a literal union does not bound.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type CredentialStatus, publishedStates } from '../credentials/bearer.ts';
import type { BreakerState, RefreshEnd } from '../credentials/observer.ts';
import { catalogue, errorCodes } from '../errors/catalogue.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Grant } from '../providers/provider.ts';
import type { ReplayOutcome, RequestEnd } from '../proxy/observer.ts';
import type { Store } from '../stores/store.ts';
import { LiveHistogram } from './live-histogram.ts';
import { type MetricDefinition, metricDefinitions } from './metric-definitions.ts';

export interface MetricsOptions {
  /** Called once a scrape. */
  readonly credentials: () => readonly CredentialStatus[];
  /** Whether a name is a configured credential: what is not never becomes a label. */
  readonly hasCredential: (name: string) => boolean;
  readonly active: ActiveConfiguration;
  readonly version: string;
  /** Version of Node. */
  readonly node: string;
  readonly storeKind: Store['kind'];
}

/** What a reload of the configuration may change. */
export interface ActiveConfiguration {
  /** Names (or indices) of the routes: their series begin at 0. */
  readonly routes: readonly string[];
  /** Whether the gauges of single credentials are exposed. */
  readonly perCredential: boolean;
  /** @see metricDefinitions.configInfo */
  readonly configHash?: string;
}

export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

export interface Metrics {
  expose(): Promise<Exposition>;
  /** Series of routes that are gone end with their last request; those of credentials that are gone end now. */
  reconfigure(active: ActiveConfiguration, goneCredentials: readonly string[]): Promise<void>;
  configReloaded(outcome: 'applied' | 'refused'): void;
  requestBegan(route: string): void;
  requestEnded(end: RequestEnd): void;
  replayed(route: string, outcome: ReplayOutcome): void;
  upgradesChanged(route: string, delta: 1 | -1): void;
  /** Counts a failure; its credential is `credential`, else the one that its details name. */
  failed(error: SidebearerError, credential?: string): void;
  refreshEnded(credential: string, end: RefreshEnd): void;
  tokenRequested(credential: string, grant: Grant, result: string): void;
  storeWritten(outcome: 'committed' | 'conflict' | 'failed'): void;
  /** Also to be called once at the start, so that a breaker is seen before it first moves. */
  breakerChanged(endpoint: string, egress: string, state: BreakerState): void;
  breakerGone(endpoint: string, egress: string): void;
  /** `outcome` is `succeeded` or a code of the catalogue. */
  loginEnded(credential: string | undefined, outcome: 'succeeded' | SidebearerError['code']): void;
}

/** The label of what has no name: equal to no label at all, so it can collide with no configured one. */
const NONE = '';
const statusClasses = ['aborted', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;
const replayOutcomes = ['accepted', 'refused_again', 'body_too_large', 'refresh_failed'] as const;
const writeOutcomes = ['committed', 'conflict', 'failed'] as const;
const breakerStates = ['closed', 'open', 'half_open'] as const;
const quotaWindows = ['primary', 'secondary'] as const;
const reloadOutcomes = ['applied', 'refused'] as const;
const tokenResults = new Set(['1xx', '2xx', '3xx', '4xx', '5xx', 'network']);
const SWITCHING_PROTOCOLS = 101;

/** One route's figures: a request that ends allocates no labels and hashes none. */
interface RouteSeries {
  /** In the order of `statusClasses`. */
  readonly byStatusClass: number[];
  readonly duration: { observe(seconds: number): void };
  readonly ttfb: { observe(seconds: number): void } | undefined;
  readonly replays: ReadonlyMap<ReplayOutcome, { inc(): void }>;
  inFlight: number;
  upgrades: number;
}

/** All metrics on a registry of their own; prom-client's global one is never touched. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const common = ({ name, help, labels }: MetricDefinition) => ({ name, help, labelNames: labels, registers });
  const counter = (definition: MetricDefinition) => new Counter(common(definition));
  const gauge = (definition: MetricDefinition) => new Gauge(common(definition));
  const histogram = (definition: MetricDefinition) =>
    new Histogram({ ...common(definition), buckets: [...(definition.buckets ?? [])] });

  const define = metricDefinitions;
  const buildInfo = gauge(define.buildInfo);
  const requests = counter(define.requests);
  const requestDuration = new LiveHistogram(define.requestDuration, registry);
  const upstreamTtfb = new LiveHistogram(define.upstreamTtfb, registry);
  const requestsInFlight = gauge(define.requestsInFlight);
  const requestsWaiting = gauge(define.requestsWaiting);
  const upgradesOpen = gauge(define.upgradesOpen);
  const replays = counter(define.replays);
  const errors = counter(define.errors);
  const credentialErrors = counter(define.credentialErrors);
  const refreshes = counter(define.refreshes);
  const refreshDuration = histogram(define.refreshDuration);
  const tokenRequests = counter(define.tokenRequests);
  const tokenExpiry = gauge(define.tokenExpiry);
  const grantExpiry = gauge(define.grantExpiry);
  const refreshDue = gauge(define.refreshDue);
  const credentialState = gauge(define.credentialState);
  const breakerState = gauge(define.breakerState);
  const cooldownEnd = gauge(define.cooldownEnd);
  const upstreamQuota = gauge(define.upstreamQuota);
  const configInfo = gauge(define.configInfo);
  const configReloads = counter(define.configReloads);
  const storeWrites = counter(define.storeWrites);
  const storeDirty = gauge(define.storeDirty);
  const logins = counter(define.logins);
  const perCredential = [
    requestsWaiting,
    tokenExpiry,
    grantExpiry,
    refreshDue,
    credentialState,
    cooldownEnd,
    upstreamQuota,
    storeDirty,
  ] as const;
  collectDefaultMetrics({ register: registry });

  buildInfo.set({ version: options.version, node: options.node }, 1);
  for (const outcome of reloadOutcomes) configReloads.inc({ outcome }, 0);
  // rate() is taken for each series: one that is born at 1 hides its first failure.
  for (const code of errorCodes) errors.inc({ layer: catalogue[code].layer, code }, 0);
  for (const outcome of writeOutcomes) storeWrites.inc({ kind: options.storeKind, outcome }, 0);

  const routes = new Map<string, RouteSeries>();
  const seriesOf = (route: string): RouteSeries => routes.get(route) ?? addRoute(route);
  const unmatched = addRoute(NONE);
  let active = options.active;
  activate(active);

  function activate(next: ActiveConfiguration): void {
    active = next;
    for (const route of next.routes) seriesOf(route);
    configInfo.reset();
    if (next.configHash !== undefined) configInfo.set({ hash: next.configHash }, 1);
  }

  /** Those that no configuration names any more, and whose last request has ended. */
  function forgetRoutes(): void {
    for (const [route, { inFlight, upgrades }] of routes) {
      if (route === NONE || active.routes.includes(route) || inFlight > 0 || upgrades > 0) continue;
      routes.delete(route);
      requestDuration.forget(route);
      upstreamTtfb.forget(route);
      for (const outcome of replayOutcomes) replays.remove({ route, outcome });
      requestsInFlight.remove({ route });
      upgradesOpen.remove({ route });
    }
  }

  function addRoute(route: string): RouteSeries {
    const series = {
      byStatusClass: statusClasses.map(() => 0),
      duration: requestDuration.series(route),
      // What matched no route went to no upstream.
      ttfb: route === NONE ? undefined : upstreamTtfb.series(route),
      replays: new Map(
        replayOutcomes.map((outcome) => {
          if (route !== NONE) replays.inc({ route, outcome }, 0);
          return [outcome, replays.labels({ route, outcome })] as const;
        }),
      ),
      inFlight: 0,
      upgrades: 0,
    };
    routes.set(route, series);
    return series;
  }

  function known(credential: string | undefined): string | undefined {
    return credential !== undefined && options.hasCredential(credential) ? credential : undefined;
  }

  function failed(error: SidebearerError, credential?: string): void {
    errors.inc({ layer: error.row.layer, code: error.code });
    const name = known(credential ?? error.details.credential);
    if (name !== undefined) credentialErrors.inc({ credential: name, code: error.code });
  }

  /** What is read from the state rather than counted by the registry: computed at the scrape. */
  function readState(): void {
    forgetRoutes();
    requests.reset();
    for (const [route, series] of routes) {
      for (const [i, status_class] of statusClasses.entries()) {
        requests.inc({ route, status_class }, series.byStatusClass[i] ?? 0);
      }
      if (route === NONE) continue;
      requestsInFlight.set({ route }, series.inFlight);
      upgradesOpen.set({ route }, series.upgrades);
    }
    for (const each of perCredential) each.reset();
    if (!active.perCredential) return;
    for (const status of options.credentials()) {
      const credential = status.name;
      requestsWaiting.set({ credential }, status.waiting);
      storeDirty.set({ credential }, status.isDirty ? 1 : 0);
      for (const state of publishedStates) credentialState.set({ credential, state }, state === status.state ? 1 : 0);
      setTime(tokenExpiry, credential, status.expiresAtMs);
      setTime(grantExpiry, credential, status.grantExpiresAtMs);
      setTime(refreshDue, credential, status.refreshDueAtMs);
      const coolingUntilMs = status.state === 'cooling' ? status.coolingUntilMs : undefined;
      setTime(cooldownEnd, credential, coolingUntilMs ?? status.resting?.untilMs);
      for (const window of quotaWindows) {
        const ratio = status.quota?.[window];
        if (ratio !== undefined) upstreamQuota.set({ credential, window }, ratio);
      }
    }
  }

  return {
    async expose() {
      readState();
      return { contentType: registry.contentType, body: await registry.metrics() };
    },

    async reconfigure(next, goneCredentials) {
      activate(next);
      const gone = new Set(goneCredentials);
      if (gone.size === 0) return;
      for (const metric of [credentialErrors, refreshes, tokenRequests, logins]) {
        for (const { labels } of (await metric.get()).values) {
          if (gone.has(String(labels['credential']))) metric.remove(labels);
        }
      }
      for (const credential of gone) refreshDuration.remove({ credential });
    },

    configReloaded(outcome) {
      configReloads.inc({ outcome });
    },

    requestBegan(route) {
      seriesOf(route).inFlight += 1;
    },

    requestEnded(end) {
      const series = end.route === undefined ? unmatched : seriesOf(end.route);
      if (end.route !== undefined) series.inFlight -= 1;
      const status = statusClassIndex(end);
      series.byStatusClass[status] = (series.byStatusClass[status] ?? 0) + 1;
      // An upgraded connection lives for hours: it would drown the durations of requests.
      if (end.status !== SWITCHING_PROTOCOLS) series.duration.observe(end.durationMs / 1000);
      if (end.upstreamTtfbMs !== undefined) series.ttfb?.observe(end.upstreamTtfbMs / 1000);
      if (end.error !== undefined) failed(end.error);
    },

    replayed(route, outcome) {
      seriesOf(route).replays.get(outcome)?.inc();
    },

    upgradesChanged(route, delta) {
      seriesOf(route).upgrades += delta;
    },

    failed,

    refreshEnded(credential, end) {
      if (end.error !== undefined) failed(end.error, credential);
      // The last one of a credential that was taken out.
      if (known(credential) === undefined) return;
      refreshes.inc({ credential, trigger: end.trigger, outcome: end.outcome });
      refreshDuration.observe({ credential }, end.durationMs / 1000);
    },

    tokenRequested(credential, grant, result) {
      if (known(credential) === undefined) return;
      tokenRequests.inc({ credential, grant, result: tokenResults.has(result) ? result : 'network' });
    },

    storeWritten(outcome) {
      storeWrites.inc({ kind: options.storeKind, outcome });
    },

    breakerChanged(endpoint, egress, current) {
      for (const state of breakerStates) breakerState.set({ endpoint, egress, state }, state === current ? 1 : 0);
    },

    breakerGone(endpoint, egress) {
      for (const state of breakerStates) breakerState.remove({ endpoint, egress, state });
    },

    loginEnded(credential, outcome) {
      logins.inc({ credential: known(credential) ?? NONE, outcome });
    },
  };
}

function setTime(gauge: Gauge, credential: string, wallMs: number | undefined): void {
  if (wallMs !== undefined && Number.isFinite(wallMs)) gauge.set({ credential }, wallMs / 1000);
}

/** Index in `statusClasses`. */
function statusClassIndex({ status, aborted }: RequestEnd): number {
  return aborted || status < 100 || status > 599 ? 0 : Math.floor(status / 100);
}
