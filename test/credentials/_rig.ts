// Processes that share one store, one clock and one provider: each a whole Refresher on its real parts, with faults
// on every side. A process can be frozen and killed.
import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../../src/clock.ts';
import type { AttemptPolicy } from '../../src/credentials/attempts.ts';
import type { Authorization } from '../../src/credentials/bearer.ts';
import { type Breaker, type BreakerPolicy, createBreaker } from '../../src/credentials/breaker.ts';
import type { PausePolicy } from '../../src/credentials/credential.ts';
import { createInjection } from '../../src/credentials/injection.ts';
import type { LeadPolicy } from '../../src/credentials/lead.ts';
import { createMemory } from '../../src/credentials/memory.ts';
import type { CredentialObserver, RefreshEnd } from '../../src/credentials/observer.ts';
import { createRecords, type OpenRecord, type Records } from '../../src/credentials/records.ts';
import { type CredentialSlice, Refresher } from '../../src/credentials/refresher.ts';
import type { RenewalHost, TokenSource } from '../../src/credentials/renewal.ts';
import { createRotatingGrant } from '../../src/credentials/rotating-grant.ts';
import { createSchedule, type Schedule } from '../../src/credentials/schedule.ts';
import { createTokenCache, type TokenCache } from '../../src/credentials/token-cache.ts';
import { SidebearerError, toSidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { Account, Bound, LimitReader, Provider } from '../../src/providers/provider.ts';
import { createMemoryStore } from '../../src/stores/memory.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import type { Sealing, Store } from '../../src/stores/store.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';
import { bound, createTestProvider, type TestProvider } from './_provider.ts';
import { createFaultyStore, type FaultyStore } from './_store.ts';

export const credential = 'codex';
export const leaseMs = 9_000;
export const timeoutMs = 10_000;

/** The product's default: how long a request waits for a token, and a renewal for a store that is out of reach, ms. */
export const waitMs = 10_000;
export const hour = 3_600_000;
/** From a token of an hour to its renewal: the lead is a fifth, at most 10 min. */
export const due = hour - 600_000;

export interface ProcessOptions {
  readonly seed?: string;
  readonly unclear?: 'retry' | 'hold';
  readonly attempts?: AttemptPolicy;
  readonly breaker?: BreakerPolicy;
  readonly sharedBreaker?: Breaker;
  readonly pauses?: Partial<PausePolicy>;
  readonly lead?: LeadPolicy;
  readonly wait?: { readonly timeoutMs: number; readonly places: number };
  readonly bound?: Bound;
  readonly random?: () => number;
  readonly canWatch?: boolean;
  readonly revokeSuperseded?: boolean;
  readonly name?: string;
  readonly insteadOfLogin?: string;
  readonly limits?: LimitReader;
  readonly headers?: Readonly<Record<string, string>>;
  /** Another way to come by a token than the rotating grant. */
  readonly source?: (parts: SourceParts) => TokenSource;
}

export interface SourceParts {
  readonly clock: Clock;
  readonly breaker: Breaker;
  readonly observer: CredentialObserver;
  readonly resumed: () => Promise<void>;
}

export type Observed =
  | { readonly type: 'ended'; readonly end: RefreshEnd }
  | { readonly type: 'failed'; readonly error: SidebearerError }
  | { readonly type: 'written'; readonly outcome: string }
  | { readonly type: 'dirty'; readonly isDirty: boolean }
  | { readonly type: 'refused' }
  | { readonly type: 'requested'; readonly grant: string; readonly result: string };

export interface Process {
  readonly clock: Clock;
  readonly refresher: Refresher;
  readonly source: TokenSource;
  readonly store: FaultyStore;
  readonly schedule: Schedule;
  readonly cache: TokenCache;
  readonly breaker: Breaker;
  readonly observed: Observed[];
  /** Codes of refreshes that ended, or their outcome where they ended well. */
  readonly ends: string[];
  readonly failures: string[];
  /** Calls to the token endpoint, as they are counted. */
  readonly requests: string[];
  readonly dirty: boolean[];
  /** Goes on under other options. */
  reconfigure(changed: ProcessOptions, keepsToken?: boolean): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** As by SIGKILL: nothing of it runs any more. */
  kill(): void;
  stop(): Promise<void>;
}

export interface WorldOptions {
  /**
   * The shared store as one process sees it, `resumed` resolving while that process runs; without it, as the test
   * itself sees it. Default: one in memory.
   */
  readonly openStore?: (clock: Clock, resumed?: () => Promise<void>) => Store;
}

export interface World {
  readonly clock: FakeClock;
  readonly provider: TestProvider;
  /** The shared store itself. */
  readonly store: Store;
  readonly sealing: Sealing;
  /** Records as somebody else would use them: an operator, another replica. */
  readonly records: Records;
  process(options?: ProcessOptions): Process;
  /** A process that has loaded, started and settled. */
  started(options?: ProcessOptions): Promise<Process>;
  record(): Promise<OpenRecord>;
  /** An operator writes a note into the record, whatever else is there. */
  edit(note: string): Promise<void>;
  /** Stores the tokens of a login, as another process would. */
  loginElsewhere(account?: Account): Promise<void>;
  /** Commits a tombstone, as a logout elsewhere would. */
  logoutElsewhere(): Promise<void>;
  end(): Promise<void>;
}

const waitOf = ({ wait }: ProcessOptions) => wait ?? { timeoutMs: waitMs, places: 1_000 };

export const silent: CredentialObserver = {
  refreshEnded: () => undefined,
  tokenRequested: () => undefined,
  failed: () => undefined,
  storeWritten: () => undefined,
  dirtyChanged: () => undefined,
  breakerChanged: () => undefined,
  breakerGone: () => undefined,
  tokenRefused: () => undefined,
};

/** A client that stays. */
export const patient: AbortSignal = new AbortController().signal;

/** Of a credential that takes whatever comes. */
export const indifferent: RenewalHost = {
  publish: () => undefined,
  drop: () => undefined,
  isEnough: () => true,
  isValidFor: () => true,
  isUrgent: () => false,
  isEarly: () => false,
  stopping: patient,
};

export function createWorld(worldOptions: WorldOptions = {}): World {
  const clock = createFakeClock();
  const provider = createTestProvider(clock);
  const store = worldOptions.openStore?.(clock) ?? createMemoryStore({ clock });
  const sealing = createSealing([randomBytes(32)]);
  const records = createRecords({ credential, bound, store, sealing, observer: silent });
  const processes: Process[] = [];

  function process(options: ProcessOptions = {}): Process {
    const made = createProcess({ clock, provider, store, sealing, ...worldOptions }, options);
    processes.push(made);
    return made;
  }

  async function change(make: (record: OpenRecord) => ReturnType<Records['prepare']>): Promise<void> {
    for (;;) if ((await records.commit(make(await records.read()))) !== undefined) return;
  }

  return {
    clock,
    provider,
    store,
    sealing,
    records,
    process,
    async started(options) {
      const made = process(options);
      await made.refresher.start();
      await clock.advance(0);
      return made;
    },
    record: () => records.read(),
    edit: (note) =>
      change((record) => {
        const { stored, ...prepared } = records.prepare(record, {});
        return { ...prepared, stored: { ...stored, operator: { disabled: false, note } } };
      }),
    async loginElsewhere(account) {
      const { warnings: _, account: loggedIn, ...tokens } = provider.login(account);
      await change((record) =>
        records.prepare(record, { tokens, account: loggedIn, bound, intent: undefined, dead: undefined }),
      );
    },
    logoutElsewhere: () =>
      change((record) => records.prepare(record, { tokens: undefined, intent: undefined, dead: undefined })),
    async end() {
      for (const each of processes) {
        each.kill();
        each.breaker.stop();
      }
    },
  };
}

/** A world with one process that has a token of an hour, just obtained. */
export async function loggedIn(
  t: { teardown(end: () => Promise<void>): unknown },
  options?: ProcessOptions,
): Promise<{ world: World; p: Process }> {
  const world = createWorld();
  t.teardown(() => world.end());
  await world.loginElsewhere();
  return { world, p: await world.started(options) };
}

/** A process whose stored token of an hour has expired since it loaded it; it has not been started. */
export async function withExpired(
  t: { teardown(end: () => Promise<void>): unknown },
  options?: ProcessOptions,
): Promise<{ world: World; p: Process }> {
  const world = createWorld();
  t.teardown(() => world.end());
  await world.loginElsewhere();
  const p = world.process(options);
  await p.refresher.load();
  world.clock.jumpWall(hour);
  return { world, p };
}

export function current(p: Process): Authorization {
  const authorization = p.refresher.authorization();
  if (authorization === undefined) throw new Error('no token');
  return authorization;
}

/** An upstream's 401 to the current token, and what comes of it at once. */
export async function refuse(world: World, p: Process): Promise<Watched<Authorization | undefined>> {
  const answer = watch(p.refresher.renewed(current(p), patient));
  await world.clock.advance(0);
  return answer;
}

/** Holds the next reading back, with what it read, until it is released. */
export function holdReading(p: Process): () => void {
  const { store } = p;
  const read = store.read.bind(store);
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let isFirst = true;
  store.read = async (name) => {
    const isHeld = isFirst;
    isFirst = false;
    const result = await read(name);
    if (isHeld) await held;
    return result;
  };
  return () => release();
}

interface Shared extends WorldOptions {
  readonly clock: FakeClock;
  readonly provider: TestProvider;
  readonly store: Store;
  readonly sealing: Sealing;
}

function createProcess(
  { clock: worldClock, provider, store: shared, sealing, openStore }: Shared,
  options: ProcessOptions,
): Process {
  let running: Promise<void> = Promise.resolve();
  let isRunning = true;
  let resume: () => void = () => undefined;
  const pending: (() => void)[] = [];
  const resumed = (): Promise<void> => running;

  /** Timers that fall due while it is frozen fire when it goes on, as they would after SIGCONT. */
  const clock: Clock = {
    wallMs: () => worldClock.wallMs(),
    monotonicMs: () => worldClock.monotonicMs(),
    after(delayMs, fire, options): Timer {
      let isCancelled = false;
      const guarded = (): void => {
        if (!isCancelled) fire();
      };
      const timer = worldClock.after(delayMs, () => (isRunning ? guarded() : pending.push(guarded)), options);
      return {
        cancel() {
          isCancelled = true;
          timer.cancel();
        },
      };
    },
  };

  const observed: Observed[] = [];
  const observer: CredentialObserver = {
    refreshEnded: (_, end) => void observed.push({ type: 'ended', end }),
    tokenRequested: (_, grant, result) => void observed.push({ type: 'requested', grant, result }),
    failed: (error) => void observed.push({ type: 'failed', error }),
    storeWritten: (_, outcome) => void observed.push({ type: 'written', outcome }),
    dirtyChanged: (_, isDirty) => void observed.push({ type: 'dirty', isDirty }),
    breakerChanged: () => undefined,
    breakerGone: () => undefined,
    tokenRefused: () => void observed.push({ type: 'refused' }),
  };

  const name = options.name ?? credential;
  const inner = openStore?.(clock, resumed) ?? shared;
  const store = createFaultyStore(inner, clock, { resumed, canWatch: options.canWatch ?? true });
  // Wide open unless a test is about it: its own clock is the machine's.
  const policy = options.breaker ?? { failures: 1_000_000, windowMs: 600_000, resetAfterMs: 30_000 };
  const breaker = options.sharedBreaker ?? createBreaker(policy, clock, () => undefined);
  const random = options.random ?? (() => 0);
  const owner = randomBytes(16).toString('base64url');
  const memory = createMemory();
  const sliceOf = (options: ProcessOptions): CredentialSlice => ({
    source: options.source?.({ clock, breaker, observer, resumed }) ?? rotatingGrant(options),
    injection: createInjection({ headers: options.headers ?? { Authorization: 'Bearer {token}' } }),
    pauses: { cooldownMs: 300_000, resetAfterMs: 30_000, maxRetryAfterMs: 3_600_000, ...options.pauses },
    lead: options.lead ?? { leadMs: undefined, jitter: 0.1 },
    wait: waitOf(options),
    insteadOfLogin: options.insteadOfLogin,
    limits: options.limits,
  });
  const rotatingGrant = (options: ProcessOptions): TokenSource => {
    const client: Provider = { ...provider.client(clock, resumed), bound: options.bound ?? bound };
    return createRotatingGrant({
      credential: name,
      provider: client,
      store,
      records: createRecords({ credential: name, bound: client.bound, store, sealing, observer }),
      breaker,
      clock,
      random,
      observer,
      owner,
      leaseMs,
      timeoutMs,
      waitMs: waitOf(options).timeoutMs,
      attempts: options.attempts ?? { attempts: 3, initialBackoffMs: 1_000, maxBackoffMs: 30_000 },
      unclear: options.unclear ?? 'retry',
      seed: options.seed,
      revokeSuperseded: options.revokeSuperseded ?? false,
      memory,
    });
  };
  const slice = sliceOf(options);
  const cache = createTokenCache(1);
  const schedule = createSchedule(clock, () => refresher.due());
  const refresher = new Refresher({
    ...slice,
    name,
    cache,
    schedule,
    clock,
    random,
    observer,
  });

  return {
    clock,
    refresher,
    source: slice.source,
    store,
    schedule,
    cache,
    breaker,
    observed,
    get ends() {
      return observed.flatMap((event) =>
        event.type === 'ended' ? [event.end.error === undefined ? event.end.outcome : event.end.error.code] : [],
      );
    },
    get failures() {
      return observed.flatMap((event) => (event.type === 'failed' ? [event.error.code] : []));
    },
    get requests() {
      return observed.flatMap((event) => (event.type === 'requested' ? [`${event.grant} ${event.result}`] : []));
    },
    get dirty() {
      return observed.flatMap((event) => (event.type === 'dirty' ? [event.isDirty] : []));
    },
    async reconfigure(changed, keepsToken = true) {
      const next = sliceOf({ ...options, ...changed });
      refresher.reconfigure(next, await next.source.read().catch(toSidebearerError), keepsToken);
    },
    freeze() {
      isRunning = false;
      running = new Promise((resolve) => {
        resume = resolve;
      });
    },
    thaw() {
      isRunning = true;
      running = Promise.resolve();
      resume();
      for (const fire of pending.splice(0)) fire();
    },
    kill() {
      isRunning = false;
      running = new Promise(() => undefined);
      schedule.stop();
    },
    async stop() {
      schedule.stop();
      await refresher.stop();
    },
  };
}

/** What became of a promise; its rejection is never left unhandled. */
export type Outcome<T> =
  | { readonly state: 'pending' }
  | { readonly state: 'resolved'; readonly value: T }
  | { readonly state: 'rejected'; readonly thrown: unknown };

export interface Watched<T> {
  readonly now: Outcome<T>;
  /** The code of the SidebearerError it was rejected with, `pending`, or `resolved`. */
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  readonly value: T | undefined;
}

export function watch<T>(promise: Promise<T>): Watched<T> {
  let now: Outcome<T> = { state: 'pending' };
  promise.then(
    (value) => {
      now = { state: 'resolved', value };
    },
    (thrown: unknown) => {
      now = { state: 'rejected', thrown };
    },
  );
  return {
    get now() {
      return now;
    },
    get code() {
      if (now.state !== 'rejected') return now.state;
      return now.thrown instanceof SidebearerError ? now.thrown.code : String(now.thrown);
    },
    get retryAfterMs() {
      return now.state === 'rejected' && now.thrown instanceof SidebearerError
        ? now.thrown.details.retryAfterMs
        : undefined;
    },
    get value() {
      return now.state === 'resolved' ? now.value : undefined;
    },
  };
}

/** The token inside ready-made headers. */
export function tokenOf(authorization: { readonly rawHeaders: readonly string[] } | undefined): string | undefined {
  return authorization?.rawHeaders[1]?.replace('Bearer ', '');
}
