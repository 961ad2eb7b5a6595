// One schedule of faults, played on the product's own code: several processes, each a whole Refresher, on one rotating
// refresh token, and a provider that kills the family at the first reuse. It tells every promise that was broken.
import { type Clock, sleep } from '../../src/clock.ts';
import type { Authorization } from '../../src/credentials/bearer.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { Store } from '../../src/stores/store.ts';
import { seeded } from '../_seeded.ts';
import { createMemoryDisk, createStoreOnMemoryDisk } from './_memory-disk.ts';
import type { ProviderEvent } from './_provider.ts';
import { createWorld, leaseMs, type Process, tokenOf } from './_rig.ts';
import type { FaultSchedule, Happening } from './_schedule.ts';

const lifeMs = 60_000;
const attempts = { attempts: 3, initialBackoffMs: 1_000, maxBackoffMs: 30_000 };
const pauses = { cooldownMs: 10_000, resetAfterMs: 5_000 };
/** How long one store operation and the connection to the provider may take together: a reading is as old as that. */
const readingAgeMs = 500;

export interface Played {
  /** Promises that were broken; empty: none. */
  readonly wrong: readonly string[];
  readonly redeems: number;
  /** Requests that got a token. */
  readonly served: number;
  /** Families that the provider killed; each after a redeem that was disturbed. */
  readonly familiesLost: number;
}

/** A redeem that rotated: whose, what disturbed it before it was durable, and when it was. */
interface Rotation {
  readonly to: string;
  readonly by: Clock;
  durableAtMs: number | undefined;
  disturbance: string | undefined;
}

/** While nobody can have a token from the provider: the attempts of each life. */
interface Outage {
  readonly sinceMs: number;
  readonly attempts: Map<Clock, number>;
}

export async function play(schedule: FaultSchedule): Promise<Played> {
  const random = seeded(schedule.seed);
  const between = (least: number, most: number): number => least + random() * (most - least);
  const wrong: string[] = [];
  const rotations = new Map<string, Rotation>();
  const living = new Map<number, Process>();
  const frozen = new Set<Process>();
  const stopping = new Set<Process>();
  const all: Process[] = [];
  let familiesLost = 0;
  let served = 0;
  let note = '';
  let outage: Outage | undefined;
  let isQuiet = false;

  const world = createWorld({ ...(schedule.store === 'file' && { openStore: openFileStore() }) });
  const { clock, provider } = world;

  function openFileStore(): (clock: Clock, resumed?: () => Promise<void>) => Store {
    const disk = createMemoryDisk();
    return (clock, resumed) =>
      createStoreOnMemoryDisk(disk, clock, async (alters) => {
        if (resumed === undefined) return;
        // Time passes between the steps of one commit: a kill, a freeze or an error may come between any two.
        if (alters) await sleep(clock, between(0, 8));
        await resumed();
        if (alters && !isQuiet && random() < 0.002) throw new SidebearerError('store_write_failed');
      });
  }

  // --- what is watched ------------------------------------------------------------------------------------------

  provider.lifeMs = lifeMs;
  provider.watcher = (event: ProviderEvent) => {
    if (event.kind === 'called') {
      outage?.attempts.set(event.by, (outage.attempts.get(event.by) ?? 0) + 1);
      return;
    }
    if (event.kind === 'rotated') {
      const isFrozen = [...frozen].some((p) => p.clock === event.by);
      const sender = [...living.values(), ...stopping].find((p) => p.clock === event.by);
      const isCutOff = sender?.store.isDown === true || sender?.store.isReadOnly === true;
      const disturbance = event.isLost
        ? 'lost answer'
        : isFrozen
          ? 'freeze'
          : sender === undefined
            ? 'kill'
            : isCutOff
              ? 'store'
              : undefined;
      rotations.set(event.from, { to: event.to, by: event.by, durableAtMs: undefined, disturbance });
      return;
    }
    familiesLost += 1;
    const rotation = rotations.get(event.token);
    const durableAtMs = rotation?.durableAtMs ?? Number.POSITIVE_INFINITY;
    if (rotation?.disturbance === undefined || clock.monotonicMs() - durableAtMs > readingAgeMs) {
      wrong.push(`${event.token} was redeemed twice, without any reason`);
    }
  };

  /** Durable is what anyone can read. */
  async function noteDurable(): Promise<void> {
    const { tokens } = await world.record();
    for (const rotation of rotations.values()) {
      if (rotation.to === tokens?.refreshToken) rotation.durableAtMs ??= clock.monotonicMs();
    }
  }

  function disturb(p: Process | undefined, disturbance: string): void {
    for (const rotation of rotations.values()) {
      if (rotation.durableAtMs === undefined && (p === undefined || rotation.by === p.clock))
        rotation.disturbance ??= disturbance;
    }
  }

  // --- processes and their clients ------------------------------------------------------------------------------

  function start(index: number): void {
    const p = world.process({
      random,
      attempts,
      pauses,
      lead: { leadMs: 20_000, jitter: 0.15 },
      unclear: schedule.unclear,
      canWatch: index % 2 === 0,
    });
    p.store.before = (operation) => {
      p.store.delayMs = between(1, 50);
      if (isQuiet) return;
      if (random() < 0.01) p.store.fail(operation, 'before');
      if (random() < 0.02) p.store.fail(operation, 'after');
      if (random() < 0.01) provider.steps[0] ??= { fails: 'token_endpoint_unreachable' };
      provider.connectMs = between(5, 200);
      provider.answerMs = between(10, 3_000);
    };
    const { commit } = p.store;
    p.store.commit = async (...given) => {
      const result = await commit(...given);
      await noteDurable();
      return result;
    };
    living.set(index, p);
    all.push(p);
    void p.refresher.start();
    demand(index, p);
  }

  function demand(index: number, p: Process): void {
    p.clock.after(between(500, 4_000), () => {
      if (living.get(index) !== p) return;
      void request(p);
      demand(index, p);
    });
  }

  async function request(p: Process): Promise<void> {
    const { signal } = new AbortController();
    try {
      const sent = p.refresher.authorization() ?? (await p.refresher.wait(signal));
      if (upstreamTakes(sent)) return;
      const renewed = await p.refresher.renewed(sent, signal);
      if (renewed !== undefined) p.refresher.replayed(renewed, upstreamTakes(renewed));
    } catch {
      // 503: nobody is to be sent on without a token.
    }
  }

  const refused = new Set<string>();

  function upstreamTakes(sent: Authorization): boolean {
    const token = tokenOf(sent) ?? '';
    served += 1;
    const expiresAtMs = provider.expiryOf(token) ?? 0;
    if (clock.wallMs() >= expiresAtMs) wrong.push(`${token} was sent ${clock.wallMs() - expiresAtMs} ms too late`);
    return !refused.has(token);
  }

  // --- faults ---------------------------------------------------------------------------------------------------

  function endOutage(): void {
    if (outage === undefined) return;
    const lastedMs = clock.monotonicMs() - outage.sinceMs;
    // Each pause after the attempts of one renewal is at least the shorter one; a login begins anew.
    const most = attempts.attempts * (2 + Math.ceil(lastedMs / pauses.resetAfterMs));
    for (const made of outage.attempts.values()) {
      if (made > most) wrong.push(`${made} attempts of one process in an outage of ${lastedMs} ms`);
    }
    provider.always = {};
    outage = undefined;
  }

  /** Changed settings are tried at once, whatever pauses the former had earned. */
  function reload(p: Process, span: number): void {
    outage?.attempts.clear();
    void p.reconfigure({ lead: { leadMs: 15_000 + span * 10_000, jitter: 0.15 } });
  }

  async function happen({ fault, who, span }: Happening): Promise<void> {
    const index = who % schedule.processes;
    const p = living.get(index);
    // One that is about to end can be met as well.
    const victim = p ?? [...stopping][0];
    const after = (least: number, most: number, then: () => void): void =>
      void clock.after(least + span * (most - least), then);
    switch (fault) {
      case 'kill':
        if (victim === undefined) return;
        disturb(victim, fault);
        victim.kill();
        frozen.delete(victim);
        if (stopping.delete(victim)) return;
        living.delete(index);
        after(200, 5_000, () => start(index));
        return;
      case 'freeze':
        if (victim === undefined || frozen.has(victim)) return;
        disturb(victim, fault);
        victim.freeze();
        frozen.add(victim);
        after(100, 4 * leaseMs, () => frozen.delete(victim) && victim.thaw());
        return;
      case 'stop':
        if (p === undefined || frozen.has(p)) return;
        living.delete(index);
        stopping.add(p);
        void p.stop().then(() => stopping.delete(p));
        after(100, 5_000, () => start(index));
        return;
      case 'store outage':
      case 'store read-only': {
        const cutOff = fault === 'store outage' ? [...living.values(), ...stopping] : p === undefined ? [] : [p];
        for (const each of cutOff) {
          disturb(each, fault);
          if (fault === 'store outage') each.store.isDown = true;
          else each.store.isReadOnly = true;
        }
        after(500, 25_000, () => {
          for (const { store } of cutOff) {
            store.isDown = false;
            store.isReadOnly = false;
          }
        });
        return;
      }
      case 'provider unreachable':
      case 'provider failing': {
        if (outage !== undefined) return;
        provider.always = {
          fails: fault === 'provider failing' ? 'token_endpoint_failing' : 'token_endpoint_unreachable',
        };
        const begun: Outage = { sinceMs: clock.monotonicMs(), attempts: new Map() };
        outage = begun;
        after(1_000, 90_000, () => outage === begun && endOutage());
        return;
      }
      case 'answer lost':
        provider.steps[0] ??= { losesAnswer: true };
        return;
      case 'edit':
        note = `edit at ${clock.monotonicMs()}`;
        await world.edit(note);
        return;
      case 'login elsewhere':
        await world.loginElsewhere();
        outage?.attempts.clear();
        return;
      case 'login here':
        if (p === undefined || frozen.has(p)) return;
        outage?.attempts.clear();
        // A person whose login cannot be stored is told; here it is a login that did not happen.
        void p.refresher.accept(provider.login(), { replaceAccount: true }).catch(() => undefined);
        return;
      case 'logout':
        await world.logoutElsewhere();
        return;
      case 'reload':
        if (p === undefined || frozen.has(p)) return;
        reload(p, span);
        return;
      case 'taken out':
        if (p === undefined || frozen.has(p)) return;
        void p.refresher.stop();
        after(0, 10_000, () => living.get(index) === p && reload(p, span));
        return;
      case 'access token revoked': {
        const { tokens } = await world.record();
        if (tokens?.accessToken !== undefined) refused.add(tokens.accessToken);
        return;
      }
    }
  }

  // --- the end --------------------------------------------------------------------------------------------------

  /** Everyone agrees, and nobody is in the middle of something. */
  async function isSettled(): Promise<boolean> {
    const { tokens } = await world.record();
    const states = [...living.values()].map(({ refresher }) => refresher.status());
    if (states.some(({ state }) => state !== states[0]?.state)) return false;
    if (states[0]?.state !== 'fresh') return states[0]?.state === 'dead' || states[0]?.state === 'absent';
    return provider.isCurrent(tokens?.refreshToken ?? '');
  }

  /** Every state is left when its cause is gone: everyone runs, everything is up, and nothing happens any more. */
  async function judge(): Promise<void> {
    const { stored, tokens } = await world.record();
    const refreshToken = tokens?.refreshToken ?? '';
    const states = [...living.values()].map(({ refresher }) => refresher.status());
    const say = (text: string): void =>
      void wrong.push(`${text}: ${states.map(({ state, lastError }) => `${state} ${lastError?.code ?? ''}`).join()}`);
    const isIn = (...expected: string[]): boolean => states.every(({ state }) => expected.includes(state));
    if (tokens === undefined) {
      if (!isIn('absent')) say('not absent after a logout');
    } else if (provider.isAlive(refreshToken)) {
      if (stored?.dead !== undefined) say('dead, and the family lives');
      if (!provider.isCurrent(refreshToken)) say('the newest refresh token was dropped');
      if (!isIn('fresh') || !states.every(({ usable }) => usable)) say('stuck');
    } else {
      if (stored?.dead?.code !== 'refresh_outcome_unknown') say(`a loss was told as ${stored?.dead?.code}`);
      if (!isIn('dead')) say('not dead after a loss');
    }
    if (states.some(({ isDirty }) => isDirty)) say('still not durable');
    if (states.some(({ waiting }) => waiting > 0)) say('still waiting');
    if ((stored?.operator.note ?? '') !== note) say(`an edit was lost: ${stored?.operator.note}`);
    const codes = new Set(all.flatMap(({ ends }) => ends));
    for (const code of ['grant_reused', 'grant_revoked']) if (codes.has(code)) say(`our own reuse was told as ${code}`);
    if (familiesLost === 0 && codes.has('refresh_outcome_unknown')) say('told as lost, and no family is');
    if (provider.mostInFlight > 1) say(`${provider.mostInFlight} redeems at once`);
    if (stopping.size > 0) say('a stop did not end');
  }

  async function judgeCure(): Promise<void> {
    await world.loginElsewhere();
    const { tokens } = await world.record();
    await clock.advance(leaseMs + 5_000);
    for (const { refresher } of living.values()) {
      const { state } = refresher.status();
      if (state !== 'fresh') wrong.push(`${state} after a login`);
      if (tokenOf(refresher.authorization()) !== tokens?.accessToken) wrong.push('the login is not used');
    }
  }

  await world.loginElsewhere();
  for (let index = 0; index < schedule.processes; index += 1) start(index);
  for (const happening of schedule.happenings) {
    await clock.advance(happening.pauseMs);
    await happen(happening);
    await noteDurable();
  }
  isQuiet = true;
  endOutage();
  for (const p of frozen) p.thaw();
  frozen.clear();
  provider.steps.length = 0;
  // A store may be down for 25 s more; then each token is renewed once at least, which shows what it is worth.
  await clock.advance(30_000 + lifeMs);
  for (let waits = 0; waits < 60 && !(await isSettled()); waits += 1) await clock.advance(1_000);
  await judge();
  await judgeCure();
  await world.end();
  return { wrong, redeems: provider.redeems.length, served, familiesLost };
}
