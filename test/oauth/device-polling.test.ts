// The pace of polling a login on another device, and what ends it.
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { pollDevice } from '../../src/oauth/device-polling.ts';
import type { DeviceAuthorization, DevicePoll } from '../../src/providers/provider.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { watch } from '../credentials/_rig.ts';
import { tokenAnswer } from './_fakes.ts';

const authorization: DeviceAuthorization = {
  userCode: 'WDJB-MJHT',
  verificationUri: 'https://idp.example/device',
  intervalMs: 5_000,
  lifeMs: 600_000,
  deviceCode: 'SECRET-device',
};
const unanswered = (retryAfterMs?: number): DevicePoll => ({
  kind: 'unanswered',
  error: new SidebearerError('exchange_busy', retryAfterMs === undefined ? {} : { retryAfterMs }),
});
const tokens: DevicePoll = { kind: 'tokens', tokens: tokenAnswer() };

/** Polls by a script, whose last word is repeated; tells at which second each came. */
function polling(script: readonly (DevicePoll | SidebearerError)[], change: Partial<DeviceAuthorization> = {}) {
  const clock = createFakeClock();
  const stop = new AbortController();
  const seconds: number[] = [];
  const device = {
    isOffered: async () => true,
    start: async () => authorization,
    async poll(): Promise<DevicePoll> {
      seconds.push(clock.monotonicMs() / 1_000);
      const step = script[Math.min(seconds.length, script.length) - 1];
      if (step === undefined || step instanceof SidebearerError) throw step;
      return step;
    },
  };
  const end = watch(pollDevice(device, { ...authorization, ...change }, clock, stop.signal));
  return { clock, stop, seconds, end };
}

const pending: DevicePoll = { kind: 'pending' };
const slowDown: DevicePoll = { kind: 'slow_down' };

const paces: readonly (readonly [string, readonly DevicePoll[], readonly number[]])[] = [
  ['pending: the interval', [pending, pending, tokens], [5, 10, 15]],
  ['slow_down: 5 s more, for good', [pending, slowDown, pending, slowDown, tokens], [5, 10, 20, 30, 45]],
  [
    'no answer: twice as long each time, up to a minute',
    [...Array(6).fill(unanswered()), tokens],
    [5, 15, 35, 75, 135, 195, 255],
  ],
  ['an answer again: the interval again', [unanswered(), unanswered(), pending, tokens], [5, 15, 35, 40]],
  ['Retry-After: as long as it says', [unanswered(90_000), pending, tokens], [5, 95, 100]],
  ['a Retry-After below the pause: the pause', [unanswered(1_000), tokens], [5, 15]],
];

for (const [title, script, expected] of paces) {
  t.test(`after ${title}`, async (t) => {
    const { clock, seconds, end } = polling(script);
    await clock.advance(590_000);
    t.equal(end.code, 'resolved');
    t.match(end.value, { accessToken: 'SECRET-access' });
    t.strictSame(seconds, expected);
    t.equal(clock.armed, 0);
  });
}

t.test('nobody confirms: device_expired at the end of the code’s life, not before, and no poll after it', async (t) => {
  const { clock, seconds, end } = polling([pending], { lifeMs: 12_000 });
  await clock.advance(11_999);
  t.equal(end.code, 'pending');
  await clock.advance(60_000);
  t.equal(end.code, 'device_expired');
  t.strictSame(seconds, [5, 10]);
});

t.test('a provider that is still down at the end is told as what it is: exchange_busy', async (t) => {
  const { clock, end } = polling([pending, unanswered()]);
  await clock.advance(600_000);
  t.equal(end.code, 'exchange_busy');
});

for (const code of [
  'device_denied',
  'device_expired',
  'exchange_failed',
  'exchange_no_answer',
  'account_missing',
] as const) {
  t.test(`${code} ends it at once`, async (t) => {
    const { clock, seconds, end } = polling([pending, new SidebearerError(code)]);
    await clock.advance(600_000);
    t.equal(end.code, code);
    t.equal(seconds.length, 2);
  });
}

t.test('stopped while it waits it is device_cancelled at once, and asks no more', async (t) => {
  const { clock, stop, seconds, end } = polling([pending]);
  await clock.advance(6_000);
  stop.abort();
  await clock.advance(0);
  t.equal(end.code, 'device_cancelled');
  await clock.advance(600_000);
  t.equal(seconds.length, 1);
  t.equal(clock.armed, 0);
});
