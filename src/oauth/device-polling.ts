// Asks the provider, at the pace that it sets, whether a person has confirmed a login on another device: until there is
// an outcome, or the code has run out. A poll without an answer ends nothing (RFC 8628, section 3.5); it slows down.
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { DeviceAuthorization, DeviceLogin, TokenAnswer } from '../providers/provider.ts';

/** What each `slow_down` adds, ms. */
const SLOWER_MS = 5_000;
/** Between polls of a provider that does not answer, at most, ms. */
const LONGEST_BACKOFF_MS = 60_000;

/**
 * @param stop no poll begins any more: one that was sent is waited for, as the tokens may be in its answer
 * @throws device_cancelled after `stop`; device_expired, or what kept the last poll from an answer; what `poll` throws
 */
export async function pollDevice(
  device: DeviceLogin,
  authorization: DeviceAuthorization,
  clock: Clock,
  stop: AbortSignal,
): Promise<TokenAnswer> {
  const endsAtMs = clock.monotonicMs() + authorization.lifeMs;
  let { intervalMs } = authorization;
  let pauseMs = intervalMs;
  let unanswered: SidebearerError | undefined;
  for (;;) {
    await sleep(clock, Math.min(pauseMs, endsAtMs - clock.monotonicMs()), stop);
    if (stop.aborted) throw new SidebearerError('device_cancelled');
    if (clock.monotonicMs() >= endsAtMs) throw unanswered ?? new SidebearerError('device_expired');
    const poll = await device.poll(authorization);
    switch (poll.kind) {
      case 'tokens':
        return poll.tokens;
      case 'pending':
      case 'slow_down':
        if (poll.kind === 'slow_down') intervalMs += SLOWER_MS;
        unanswered = undefined;
        pauseMs = intervalMs;
        break;
      case 'unanswered':
        unanswered = poll.error;
        pauseMs = Math.max(Math.min(pauseMs * 2, LONGEST_BACKOFF_MS), intervalMs, poll.error.details.retryAfterMs ?? 0);
        break;
    }
  }
}
