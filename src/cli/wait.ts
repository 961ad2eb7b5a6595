// `sidebearer wait`: blocks until /readyz answers 200. Exit 0, or 1 when the time is over.
import { sleep, systemClock } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import { ask, findListener, readTimeout } from './running-sidecar.ts';

const INTERVAL_MS = 200;
const ATTEMPT_TIMEOUT_MS = 2_000;

export async function wait(invocation: Invocation): Promise<number> {
  const timeoutMs = readTimeout(invocation, 60_000);
  const target = await findListener(invocation, 'telemetry');
  if (target === undefined) return 1;
  const endMs = systemClock.monotonicMs() + timeoutMs;
  for (;;) {
    const remainingMs = Math.max(1, Math.ceil(endMs - systemClock.monotonicMs()));
    const seen = await look(() => ask(target, '/readyz', Math.min(ATTEMPT_TIMEOUT_MS, remainingMs)));
    if (seen === undefined) return 0;
    if (systemClock.monotonicMs() + INTERVAL_MS >= endMs) {
      throw new SidebearerError('sidecar_not_ready', { address: target.name, reason: seen });
    }
    await sleep(systemClock, INTERVAL_MS);
  }
}

/** Undefined once ready, else what was seen instead. */
async function look(question: () => Promise<{ status: number }>): Promise<string | undefined> {
  try {
    const { status } = await question();
    return status === 200 ? undefined : `/readyz answers ${status}`;
  } catch (thrown) {
    const { details } = toSidebearerError(thrown);
    return `no connection (${details.systemCode ?? details.reason ?? 'unknown cause'})`;
  }
}
