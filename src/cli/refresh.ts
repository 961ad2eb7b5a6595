// `sidebearer refresh CREDENTIAL`: has the running sidecar refresh it now, and waits for the outcome.
import { systemClock } from '../clock.ts';
import type { Invocation } from './command.ts';
import { order, readCredential, statusIn } from './order.ts';
import { showTime } from './status.ts';

const outcomes: Readonly<Record<string, string>> = {
  refreshed: 'refreshed',
  adopted: 'another replica had just refreshed it',
  superseded: 'a login or an import replaced it meanwhile',
};

export async function refresh(invocation: Invocation): Promise<number> {
  const credential = readCredential(invocation);
  const answer = await order(invocation, '/oauth/refresh', { credential });
  if (answer === undefined) return 1;
  if (invocation.flags.has('json')) return 0;
  const expiry = showTime(statusIn(answer)['expiresAtMs'], systemClock.wallMs());
  const end = expiry === '-' ? '' : `; the token expires ${expiry}`;
  invocation.out(`${credential}: ${outcomes[String(answer['result'])] ?? 'done'}${end}`);
  return 0;
}
