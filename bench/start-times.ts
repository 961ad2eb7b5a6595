// From the start of the process to /readyz with a stored token: without a compile cache, and with one that an earlier
// start has written, as in the image.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Course } from './rounds.ts';
import { startProcess } from './running-process.ts';
import { launchSidebearer, type SidebearerOptions } from './sidebearer.ts';
import { median } from './statistics.ts';

const STARTS = 15;

export interface StartTimes {
  readonly withoutCacheMs: number;
  readonly withCacheMs: number;
}

export async function measureStarts({ folder, proxyCore }: Course, options: SidebearerOptions): Promise<StartTimes> {
  const cache = join(folder, 'compile-cache');
  mkdirSync(cache);
  // Nobody asks the upstream anything.
  const upstream = { kind: 'plain', origin: 'http://127.0.0.1:9' } as const;
  const start = async (env: Record<string, string>): Promise<number> => {
    const launch = await launchSidebearer(folder, upstream, options);
    const started = await startProcess('sidebearer', proxyCore, { ...launch, env });
    await started.stop();
    return started.startMs;
  };
  const warm = { NODE_COMPILE_CACHE: cache };
  // It is written at the end of the process.
  await start(warm);
  const [without, with_]: [number[], number[]] = [[], []];
  for (let i = 0; i < STARTS; i += 1) {
    without.push(await start({}));
    with_.push(await start(warm));
  }
  return { withoutCacheMs: median(without), withCacheMs: median(with_) };
}
