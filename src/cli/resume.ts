// `sidebearer resume CREDENTIAL`: ends its pauses, so that what is due is tried at once.
import { systemClock } from '../clock.ts';
import type { Invocation } from './command.ts';
import { order, readCredential, statusIn } from './order.ts';
import { showTime } from './status.ts';

const pauses: Readonly<Record<string, string>> = {
  cooling: 'the pause after failures',
  refused: 'the pause after refusals of the upstream',
};

export async function resume(invocation: Invocation): Promise<number> {
  const credential = readCredential(invocation);
  const answer = await order(invocation, '/oauth/resume', { credential });
  if (answer === undefined) return 1;
  if (invocation.flags.has('json')) return 0;
  const { ended } = answer;
  const words = Array.isArray(ended) ? ended.map((each) => pauses[String(each)] ?? 'a pause') : [];
  if (words.length === 0) {
    invocation.out(`${credential}: was not paused`);
    return 0;
  }
  const next = showTime(statusIn(answer)['refreshDueAtMs'], systemClock.wallMs());
  const then = next === '-' ? '' : `; the next refresh is due ${next}`;
  invocation.out(`${credential}: ended ${words.join(' and ')}${then}`);
  return 0;
}
