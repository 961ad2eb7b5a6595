// One case: all contestants run side by side, are loaded in turn, and are ended. Whatever drifts in the machine meets
// each of them.
import { setTimeout as delay } from 'node:timers/promises';
import type { Case } from './cases.ts';
import type { Contestant, Setting } from './contestants.ts';
import type { LoadRequest } from './load.ts';
import { readUsage } from './process-stats.ts';
import { type RunningProcess, startProcess } from './running-process.ts';
import { median } from './statistics.ts';
import { startUpstream, TOKEN } from './upstreams.ts';

export interface Course {
  readonly rounds: number;
  readonly seconds: number;
  readonly proxyCore: number;
  readonly loadCore: number;
  readonly folder: string;
  /** On `performance.now()`: after it nothing begins but the first round of a case that has begun. */
  readonly deadlineMs: number;
}

/** A contestant that can run here, with what it needs. */
export interface Entrant extends Contestant {
  readonly setting: Omit<Setting, 'upstream' | 'folder'>;
}

/** Medians of the rounds. */
export interface Score {
  readonly name: string;
  readonly cpuUs: number;
  /** Median of each round's own ratio to nginx; NaN without nginx. */
  readonly ratio: number;
  readonly perSecond: number;
  readonly idleBytes: number;
  /** The largest at the end of a round. */
  readonly loadedBytes: number;
  readonly startMs: number;
  readonly failures: number;
  readonly latencies: Readonly<Record<string, number>>;
}

interface Runner extends RunningProcess {
  readonly name: string;
  readonly url: string;
}

interface Round {
  readonly cpuUs: number;
  readonly perSecond: number;
  readonly loadedBytes: number;
  readonly failures: number;
  readonly latencies: Readonly<Record<string, number>>;
}

/** Memory settles after the start, before it is called idle. */
const IDLE_MS = 1_000;
/** Just-in-time compilers have done most of their work by then. */
const WARM_UP_S = 1;

export async function runCase(each: Case, entrants: readonly Entrant[], course: Course): Promise<Score[]> {
  const { folder, proxyCore, loadCore, seconds } = course;
  const running: RunningProcess[] = [];
  try {
    const upstream = await startUpstream(each.upstream, folder, loadCore);
    running.push(upstream);
    const runners: Runner[] = [];
    for (const entrant of entrants) {
      if (each.needsWebSocket === true && !entrant.hasWebSocket) continue;
      const launch = await entrant.launch({ ...entrant.setting, folder, upstream });
      const started = await startProcess(entrant.name, proxyCore, launch);
      running.push(started);
      runners.push({ ...started, name: entrant.name, url: launch.url + each.path });
    }
    await delay(IDLE_MS);
    const idle = runners.map(({ pid }) => readUsage(pid).anonymousBytes);
    const load = (runner: Runner, forSeconds: number) =>
      measure(runner, each, { ...course, core: loadCore, seconds: forSeconds, connections: each.connections });
    for (const runner of runners) await load(runner, WARM_UP_S);
    const rounds = runners.map((): Round[] => []);
    for (let round = 1; round <= course.rounds; round += 1) {
      if (round > 1 && performance.now() > course.deadlineMs) break;
      for (const [index, runner] of runners.entries()) {
        const result = await load(runner, seconds);
        rounds[index]?.push(result);
        tell(each, round, runner, result);
      }
    }
    return runners.map((runner, index) =>
      score(runner, idle[index] ?? 0, rounds[index] ?? [], rounds[runners.findIndex(({ name }) => name === 'nginx')]),
    );
  } finally {
    for (const each of running.toReversed()) await each.stop();
  }
}

async function measure(
  { pid, url }: Runner,
  { load }: Case,
  request: Omit<LoadRequest, 'url' | 'authorization'>,
): Promise<Round> {
  const before = readUsage(pid);
  const { answers, perSecond, failures, latencies } = await load({ ...request, url, authorization: undefined });
  const after = readUsage(pid);
  return {
    cpuUs: (after.cpuUs - before.cpuUs) / Math.max(answers, 1),
    perSecond,
    loadedBytes: after.anonymousBytes,
    failures,
    latencies,
  };
}

function score(runner: Runner, idleBytes: number, rounds: readonly Round[], nginx: readonly Round[] = []): Score {
  const middle = (pick: (round: Round) => number): number => median(rounds.map(pick));
  const names = Object.keys(rounds[0]?.latencies ?? {});
  return {
    name: runner.name,
    cpuUs: middle(({ cpuUs }) => cpuUs),
    ratio: median(rounds.map(({ cpuUs }, round) => cpuUs / (nginx[round]?.cpuUs ?? Number.NaN))),
    perSecond: middle(({ perSecond }) => perSecond),
    idleBytes,
    loadedBytes: Math.max(...rounds.map(({ loadedBytes }) => loadedBytes)),
    startMs: runner.startMs,
    failures: rounds.reduce((sum, { failures }) => sum + failures, 0),
    latencies: Object.fromEntries(
      names.map((name) => [name, middle(({ latencies }) => latencies[name] ?? Number.NaN)]),
    ),
  };
}

function tell({ name, unit: [one] }: Case, round: number, runner: Runner, { cpuUs, perSecond, failures }: Round): void {
  const rate = `${cpuUs.toFixed(1)} µs/${one}, ${perSecond.toFixed(0)}/s`;
  console.error(`${name} ${round}  ${runner.name}: ${rate}${failures === 0 ? '' : `, ${failures} failures`}`);
}

/** What the load sends where no proxy adds it. */
export const directAuthorization = `Bearer ${TOKEN}`;
