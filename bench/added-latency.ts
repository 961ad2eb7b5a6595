// What a proxy adds to the time of a request, at a quarter, half and three quarters of its own peak: each run beside
// one that goes straight to the upstream at the same rate.
import { program } from './load.ts';
import type { Course, Entrant, Score } from './rounds.ts';
import { directAuthorization } from './rounds.ts';
import { type RunningProcess, startProcess } from './running-process.ts';
import { median } from './statistics.ts';
import { startUpstream } from './upstreams.ts';

const CONNECTIONS = 64;
/** Each takes four times as long as one of throughput: two loads, each with its own start and warm-up. */
const MOST_ROUNDS = 3;
const shares = [0.25, 0.5, 0.75] as const;
const percentiles = ['p50', 'p99', 'p99.9'] as const;
/** A rate that the generator (which shares its core with the upstream) did not keep says nothing. */
const MIN_KEPT = 0.98;

export interface AddedLatency {
  readonly name: string;
  readonly share: number;
  readonly rate: number;
  /** µs at p50, p99, p99.9; undefined: the rate could not be kept. */
  readonly addedUs: readonly number[] | undefined;
}

/** @param peaks scores of the plain GET */
export async function measureAddedLatency(
  entrants: readonly Entrant[],
  peaks: readonly Score[],
  course: Course,
): Promise<AddedLatency[]> {
  const { folder, proxyCore, loadCore, seconds, deadlineMs } = course;
  const rounds = Math.min(course.rounds, MOST_ROUNDS);
  const load = program('paced.ts');
  const results: AddedLatency[] = [];
  const upstream = await startUpstream('plain', folder, loadCore);
  try {
    // Sidebearer first: where the time is over, it is others that are missing.
    for (const entrant of entrants.toReversed()) {
      const peak = peaks.find(({ name }) => name === entrant.name)?.perSecond;
      if (peak === undefined || performance.now() > deadlineMs) continue;
      const launch = await entrant.launch({ ...entrant.setting, folder, upstream });
      const proxy: RunningProcess = await startProcess(entrant.name, proxyCore, launch);
      try {
        for (const share of shares) {
          const rate = Math.round(peak * share);
          const request = { connections: CONNECTIONS, seconds, core: loadCore, folder, rate };
          const added: number[][] = percentiles.map(() => []);
          let isKept = true;
          for (let round = 0; round < rounds && isKept; round += 1) {
            const direct = await load({ ...request, url: `${upstream.origin}/`, authorization: directAuthorization });
            const proxied = await load({ ...request, url: `${launch.url}/`, authorization: undefined });
            isKept = [direct, proxied].every(
              ({ perSecond, failures }) => perSecond >= rate * MIN_KEPT && failures === 0,
            );
            for (const [index, name] of percentiles.entries()) {
              added[index]?.push((proxied.latencies[name] ?? Number.NaN) - (direct.latencies[name] ?? Number.NaN));
            }
          }
          results.push({ name: entrant.name, share, rate, addedUs: isKept ? added.map(median) : undefined });
          console.error(
            `latency ${share}  ${entrant.name}: ${isKept ? added.map(median).map(Math.round) : 'not kept'}`,
          );
        }
      } finally {
        await proxy.stop();
      }
    }
  } finally {
    await upstream.stop();
  }
  return results;
}
