// `sidebearer shutdown`: orders the running sidecar to end, as SIGTERM would. Exit 0 once it is ending; with --wait once
// nobody listens there any more.
import { sleep, systemClock } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { refusal } from './order.ts';
import { ask, findListener, readTimeout, type Target } from './running-sidecar.ts';

const INTERVAL_MS = 100;

export async function shutdown(invocation: Invocation): Promise<number> {
  const isWaiting = invocation.flags.has('wait');
  const endMs = systemClock.monotonicMs() + readTimeout(invocation, isWaiting ? 60_000 : 5_000);
  const leftMs = (): number => Math.max(1, Math.ceil(endMs - systemClock.monotonicMs()));
  const target = await findListener(invocation, 'telemetry');
  if (target === undefined) return 1;
  const answer = await ask(target, '/quitquitquit', leftMs(), { body: '', lateReason: 'no answer in time' });
  // One that knows nothing of it says so in plain text.
  if (answer.status === 404) throw new SidebearerError('quit_off', { address: target.name });
  if (answer.status !== 200) throw refusal(target, answer);
  if (!isWaiting) return 0;
  while (await isThere(target, leftMs())) {
    if (systemClock.monotonicMs() + INTERVAL_MS >= endMs) {
      throw new SidebearerError('sidecar_not_ended', { address: target.name });
    }
    await sleep(systemClock, INTERVAL_MS);
  }
  return 0;
}

/** The telemetry listener is the last thing that a sidecar closes. One that does not answer has not ended. */
async function isThere(target: Target, timeoutMs: number): Promise<boolean> {
  try {
    await ask(target, '/livez', timeoutMs);
    return true;
  } catch (thrown) {
    const { systemCode } = toSidebearerError(thrown).details;
    return systemCode === undefined;
  }
}
