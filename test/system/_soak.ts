// Many programs on one store under load, killed and restarted at random, with tokens that live for seconds. Some kills
// are aimed: at the program whose redeem the provider has just answered. It knows which kill fell between the first
// byte and the durable commit, and takes nothing else as an excuse for a family that died.
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { seeded } from '../_seeded.ts';
import { createFaultWorld, type FaultWorld } from './_fault-world.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import type { Redeem } from './_rotating-endpoint.ts';
import type { Storage } from './_storage.ts';

export interface SoakOptions {
  readonly storage: Storage;
  readonly programs: number;
  readonly seconds: number;
  readonly seed: number;
  readonly lifeMs: number;
  readonly leaseMs: number;
}

export interface SoakFigures {
  /** Redeems that rotated. */
  readonly redeems: number;
  readonly kills: number;
  /** SIGTERM and a new start. */
  readonly restarts: number;
  /** Families that died of a kill between first byte and durable commit. */
  readonly windows: number;
  /** Of these, told as `refresh_outcome_unknown`: in the record and in a log. */
  readonly recognised: number;
  readonly logins: number;
  /** Answers by status, and by code where Sidebearer made them. */
  readonly answers: Readonly<Record<string, number>>;
  /** Requests whose token had ended when it arrived, and by how much at most. */
  readonly late: { readonly count: number; readonly mostMs: number };
  /** What must not be. */
  readonly wrong: readonly string[];
}

/** One place for a program; `life` counts its processes. */
interface Slot {
  readonly index: number;
  life: number;
  program: RunningProgram | undefined;
}

export async function soak(options: SoakOptions): Promise<SoakFigures> {
  const { programs, seconds, lifeMs, leaseMs } = options;
  const random = seeded(options.seed);
  const settings = `    refresh: { timeout: 2s, attempts: 2, cooldown: 500ms, backoff: { initial: 100ms, max: 200ms } }
    breaker: { resetAfter: 500ms }
    wait: { timeout: 5s }`;
  const world = await createFaultWorld({ storage: options.storage, leaseMs, settings, lifeMs });
  // So that a kill can fall between the provider's work and its answer.
  world.wire.always = { kind: 'pass', delayMs: 15 };
  const slots: Slot[] = Array.from({ length: programs }, (_, index) => ({ index, life: 0, program: undefined }));
  const killed = new Set<string>();
  const answers: Record<string, number> = {};
  const wrong: string[] = [];
  const agent = new Agent({ connections: 4 });
  let kills = 0;
  let restarts = 0;
  let windows = 0;
  let recognised = 0;
  let logins = 0;
  let isOver = false;
  let isSettled = false;

  const senderOf = ({ index, life }: Slot): string => `p${index}-${life}`;

  async function start(slot: Slot): Promise<void> {
    slot.life += 1;
    slot.program = await runProgram(world.config(senderOf(slot)));
  }

  async function kill(slot: Slot): Promise<void> {
    const { program } = slot;
    if (program === undefined) return;
    slot.program = undefined;
    killed.add(senderOf(slot));
    kills += 1;
    await program.end('SIGKILL');
    await delay(100 + random() * 1_500);
    await start(slot);
  }

  async function restart(slot: Slot): Promise<void> {
    const { program } = slot;
    if (program === undefined) return;
    slot.program = undefined;
    restarts += 1;
    const exit = await program.end('SIGTERM');
    if (exit !== 0) wrong.push(`SIGTERM ended with ${exit}`);
    await start(slot);
  }

  async function disturb(): Promise<void> {
    const under: Promise<void>[] = [];
    while (!isOver) {
      await delay(200 + random() * 800);
      const slot = slots[Math.floor(random() * slots.length)];
      if (isOver || slot === undefined) break;
      under.push(random() < 0.8 ? kill(slot) : restart(slot));
    }
    await Promise.all(under);
  }

  /** At the program that has just spent a token. */
  async function aim(): Promise<void> {
    const under: Promise<void>[] = [];
    for (let seen = 0; !isOver; ) {
      await Promise.race([world.endpoint.redeemed(seen + 1), delay(200)]);
      const { redeems } = world.endpoint;
      if (redeems.length <= seen) continue;
      seen = redeems.length;
      const by = redeems.at(-1)?.by;
      const slot = slots.find((each) => senderOf(each) === by);
      if (slot === undefined || random() > 0.12) continue;
      await delay(random() * 60);
      if (senderOf(slot) === by) under.push(kill(slot));
    }
    await Promise.all(under);
  }

  async function work(slot: Slot): Promise<void> {
    while (!isOver) {
      await delay(60 + random() * 120);
      const { program, life } = slot;
      if (program === undefined) continue;
      try {
        const { statusCode, headers, body } = await request(`${program.proxyUrl}/load`, { dispatcher: agent });
        await body.dump();
        const code = headers['sidebearer-error'];
        const key = code === undefined ? `${statusCode}` : `${statusCode} ${code}`;
        answers[key] = (answers[key] ?? 0) + 1;
      } catch (thrown) {
        if (slot.program === program && slot.life === life) wrong.push(`a living program did not answer: ${thrown}`);
      }
    }
  }

  /** A second redeem has an excuse only where the first one's sender was killed, and nobody could read what it got. */
  async function judge(reuse: Redeem): Promise<void> {
    const { tokens } = await world.record();
    if (tokens?.refreshToken !== reuse.refreshToken) wrong.push(`${reuse.by} redeemed what is no longer stored`);
    const first = world.endpoint.redeems.find(
      ({ outcome, refreshToken }) => outcome === 'rotated' && refreshToken === reuse.refreshToken,
    );
    if (first !== undefined && killed.has(first.by)) windows += 1;
    else
      wrong.push(
        `${reuse.by} redeemed again what ${first?.by} had redeemed ${reuse.atMs - (first?.atMs ?? 0)} ms before`,
      );
  }

  async function mourn(): Promise<void> {
    let judged = 0;
    // What was lost in the last moments is told a moment later.
    let moments = 200;
    while (!isSettled || (recognised < windows && moments > 0)) {
      await delay(50);
      if (isSettled) moments -= 1;
      const { reuses } = world.endpoint;
      for (; judged < reuses.length; judged += 1) await judge(reuses[judged] as Redeem);
      const { stored } = await world.record();
      if (stored?.dead === undefined) continue;
      const { code } = stored.dead;
      if (code !== 'refresh_outcome_unknown') wrong.push(`a loss was told as ${code}`);
      else if (await isLogged(code)) recognised += 1;
      await world.logIn();
      logins += 1;
    }
  }

  /** By any program that lives, or told it before it was killed in its turn. */
  function isLogged(code: string): Promise<boolean> {
    return eventually(
      `${code} in a log`,
      () => slots.some(({ program }) => program?.lines.some((line) => line.code === code)) || undefined,
      5_000,
    ).catch(() => {
      wrong.push('a loss is in no log');
      return false;
    });
  }

  await world.logIn();
  for (let index = 0; index < slots.length; index += 4) await Promise.all(slots.slice(index, index + 4).map(start));
  const working = slots.map(work);
  const running = [disturb(), aim()];
  const mourning = mourn();
  await delay(seconds * 1_000);
  isOver = true;
  await Promise.all([...running, ...working]);
  // The last kill may have been in the window: it is told, and mourned, at the next refresh.
  await settle(world, slots, wrong);
  isSettled = true;
  await mourning;
  await end(world, slots, wrong);
  await agent.close();
  const { redeems } = world.endpoint;
  const { late } = world.upstream;
  await world.close();
  return {
    redeems: redeems.filter(({ outcome }) => outcome === 'rotated').length,
    kills,
    restarts,
    windows,
    recognised,
    logins,
    answers,
    late: { count: late.length, mostMs: Math.max(0, ...late) },
    wrong,
  };
}

/** Nothing is disturbed any more: everyone serves, and the newest token is stored. */
async function settle(world: FaultWorld, slots: readonly Slot[], wrong: string[]): Promise<void> {
  for (const { index, program } of slots) {
    await eventually(`program ${index} serves at the end`, async () => {
      const response = await fetch(`${program?.proxyUrl}/end`).catch(() => undefined);
      return response?.status === 200 || undefined;
    }).catch((thrown: Error) => wrong.push(thrown.message));
  }
  // A rotation may be on its way just now, a loss to be told, an intent of the last who was killed to be replaced.
  await eventually('the newest refresh token in the store, and nothing beside it', async () => {
    const { stored } = await world.record();
    const isQuiet = stored?.dead === undefined && stored?.intent === undefined;
    return (isQuiet && (await world.isStoredCurrent())) || undefined;
  }).catch((thrown: Error) => wrong.push(thrown.message));
}

/** Everyone ends well, and leaves nothing behind. */
async function end(world: FaultWorld, slots: readonly Slot[], wrong: string[]): Promise<void> {
  const exits = await Promise.all(slots.map(({ program }) => program?.end('SIGTERM')));
  for (const exit of exits) if (exit !== 0) wrong.push(`SIGTERM ended with ${exit}`);
  const { stored } = await world.record();
  if (stored?.intent !== undefined) wrong.push('an intent was left behind');
  if (!(await world.isStoredCurrent())) wrong.push('the newest refresh token is not in the store');
}
