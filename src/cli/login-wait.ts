// Waiting for a login's end and telling it. A sidecar that does not answer for a while (a port-forward that drops, a
// restart) is asked again; what it refuses ends the wait.
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { LoginRun } from './login-run.ts';
import { asFields, type Fields, plainText, showTime } from './status.ts';

const INTERVAL_MS = 500;
/** How long a sidecar may be out of reach, ms. */
const MOST_SILENCE_MS = 30_000;
/** Exit code of a command that was ended by SIGINT. */
export const INTERRUPTED = 130;

/**
 * Asks until `look` gives something.
 * @returns undefined once `signal` aborts
 * @throws login_not_finished, sidecar_unreachable, and whatever else `look` throws
 */
export async function waitFor<T>(
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const endMs = clock.monotonicMs() + timeoutMs;
  let heardAtMs = clock.monotonicMs();
  while (!signal.aborted) {
    try {
      const found = await look();
      if (found !== undefined) return found;
      heardAtMs = clock.monotonicMs();
    } catch (thrown) {
      const isSilent = toSidebearerError(thrown).code === 'sidecar_unreachable';
      if (!isSilent || clock.monotonicMs() - heardAtMs > MOST_SILENCE_MS) throw thrown;
    }
    if (clock.monotonicMs() >= endMs) throw new SidebearerError('login_not_finished');
    await sleep(clock, INTERVAL_MS, signal);
  }
  return undefined;
}

/** Whose it is now, until when, and where it was stored. */
export async function tellSuccess({ invocation, desk, credential, parts }: LoginRun): Promise<number> {
  const answer = await desk.send('/status.json');
  const { credentials, storedIn } = answer;
  const status = Array.isArray(credentials)
    ? credentials.map(asFields).find(({ name }) => name === credential)
    : undefined;
  if (invocation.flags.has('json')) {
    invocation.out(
      JSON.stringify({ result: 'logged_in', storedIn, credential: status ?? { name: credential } }, null, 2),
    );
    return 0;
  }
  invocation.out(describeSuccess(credential, status ?? {}, storedIn, parts.clock.wallMs()).join('\n'));
  return 0;
}

export function describeSuccess(
  credential: string,
  status: Fields,
  storedIn: unknown,
  nowMs: number,
  what = 'logged in',
): string[] {
  const account = asFields(status['account']);
  const who = [account['email'], account['userId'], account['id']].find((each) => typeof each === 'string');
  const plan = account['plan'];
  const expiry = showTime(status['expiresAtMs'], nowMs);
  const due = showTime(status['refreshDueAtMs'], nowMs);
  return [
    `${credential}: ${what}${typeof who === 'string' ? ` as ${plainText(who, 80)}` : ''}${
      typeof plan === 'string' ? ` (${plainText(plan, 40)})` : ''
    }`,
    ...(expiry === '-' ? [] : [`  the token expires ${expiry}${due === '-' ? '' : `; it is refreshed ${due}`}`]),
    ...(typeof storedIn === 'string' ? [`  stored in ${plainText(storedIn, 200)}`] : []),
  ];
}
