// The breaker on a token endpoint, and the gate before it. opossum reads the machine's timers: they are mocked, and
// moved together with the clock that is passed in.
import { mock } from 'node:test';
import t from 'tap';
import { createBreaker } from '../../src/credentials/breaker.ts';
import type { BreakerState } from '../../src/credentials/observer.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { patient, watch } from './_rig.ts';

mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
t.teardown(() => mock.timers.reset());

const policy = { failures: 5, windowMs: 600_000, resetAfterMs: 30_000 };

function createTested() {
  const clock = createFakeClock();
  const states: BreakerState[] = [];
  const breaker = createBreaker(policy, clock, (state) => states.push(state));
  let calls = 0;
  const attempt = (code?: ErrorCode, status?: number) =>
    breaker.fire(async () => {
      calls += 1;
      if (code !== undefined) throw new SidebearerError(code, status === undefined ? {} : { status });
      return 'token';
    });
  return {
    breaker,
    states,
    get calls() {
      return calls;
    },
    attempt,
    async attempts(times: number, code?: ErrorCode, status?: number): Promise<string[]> {
      const codes: string[] = [];
      for (let made = 0; made < times; made += 1) {
        const tried = watch(attempt(code, status));
        await clock.advance(0);
        codes.push(tried.code);
      }
      return codes;
    },
    async pass(ms: number): Promise<void> {
      mock.timers.tick(ms);
      await clock.advance(ms);
    },
  };
}

for (const code of [
  'token_endpoint_unreachable',
  'token_endpoint_no_answer',
  'token_endpoint_failing',
  'token_endpoint_malformed',
] as const) {
  t.test(`${policy.failures} attempts that end in ${code} open it, not one less`, async (t) => {
    const tested = createTested();
    await tested.attempts(policy.failures - 1, code);
    t.equal(tested.breaker.state, 'closed');
    await tested.attempts(1, code);
    t.equal(tested.breaker.state, 'open');
    t.strictSame(tested.states, ['open']);
    tested.breaker.stop();
  });
}

for (const code of [
  'grant_rejected',
  'grant_reused',
  'grant_revoked',
  'client_rejected',
  'token_endpoint_limited',
  'token_endpoint_refused',
  'token_endpoint_redirected',
  'region_unsupported',
  'lease_lost',
] as const) {
  t.test(`a provider that answers ${code} is alive: it never opens`, async (t) => {
    const tested = createTested();
    t.strictSame(await tested.attempts(30, code), Array(30).fill(code), 'and the error is passed on as it is');
    t.equal(tested.breaker.state, 'closed');
    tested.breaker.stop();
  });
}

for (const [status, state] of [
  [408, 'closed'],
  [499, 'closed'],
  [500, 'open'],
  [503, 'open'],
] as const) {
  t.test(`30 times ${status} leave it ${state}: who answers 4xx is up`, async (t) => {
    const tested = createTested();
    await tested.attempts(30, 'token_endpoint_failing', status);
    t.equal(tested.breaker.state, state);
    tested.breaker.stop();
  });
}

t.test('`breaker_open` calls nobody and says how long to wait', async (t) => {
  const tested = createTested();
  await tested.attempts(5, 'token_endpoint_unreachable');
  const calls = tested.calls;
  await tested.pass(10_000);
  const refused = watch(tested.attempt());
  await tested.pass(0);
  t.equal(refused.code, 'breaker_open');
  t.equal(refused.retryAfterMs, 20_000);
  t.equal(tested.breaker.remainingMs, 20_000);
  t.equal(tested.calls, calls);
  tested.breaker.stop();
});

t.test('half open it lets one attempt through: a success closes it', async (t) => {
  const tested = createTested();
  await tested.attempts(5, 'token_endpoint_unreachable');
  await tested.pass(30_000);
  t.equal(tested.breaker.state, 'half_open');
  t.equal(tested.breaker.remainingMs, 0);
  let answer: (token: string) => void = () => undefined;
  const trial = watch(
    tested.breaker.fire(
      () =>
        new Promise<string>((resolve) => {
          answer = resolve;
        }),
    ),
  );
  const second = watch(tested.attempt());
  await tested.pass(0);
  t.equal(second.code, 'breaker_open', 'a second one is not let through meanwhile');
  t.ok((second.retryAfterMs ?? 0) > 0, 'and is told to wait');
  answer('token');
  await tested.pass(0);
  t.equal(trial.value, 'token');
  t.equal(tested.breaker.state, 'closed');
  t.strictSame(tested.states, ['open', 'half_open', 'closed']);
  tested.breaker.stop();
});

t.test('half open, a failure opens it again for a whole resetAfter', async (t) => {
  const tested = createTested();
  await tested.attempts(5, 'token_endpoint_unreachable');
  await tested.pass(30_000);
  t.strictSame(await tested.attempts(2, 'token_endpoint_failing'), ['token_endpoint_failing', 'breaker_open']);
  t.equal(tested.breaker.state, 'open');
  t.equal(tested.breaker.remainingMs, 30_000);
  tested.breaker.stop();
});

t.test('half open, a judgement closes it: the provider is back', async (t) => {
  const tested = createTested();
  await tested.attempts(5, 'token_endpoint_unreachable');
  await tested.pass(30_000);
  await tested.attempts(1, 'grant_rejected');
  t.equal(tested.breaker.state, 'closed');
  tested.breaker.stop();
});

t.test('attempts that were refused while it was open do not count as good ones afterwards', async (t) => {
  const tested = createTested();
  await tested.attempts(5, 'token_endpoint_unreachable');
  await tested.attempts(200);
  await tested.pass(30_000);
  await tested.attempts(1);
  t.equal(tested.breaker.state, 'closed');
  await tested.attempts(5, 'token_endpoint_unreachable');
  t.equal(tested.breaker.state, 'open');
  tested.breaker.stop();
});

t.test('failures older than breaker.window are forgotten', async (t) => {
  const tested = createTested();
  await tested.attempts(4, 'token_endpoint_unreachable');
  for (let minutes = 0; minutes < 11; minutes += 1) await tested.pass(60_000);
  await tested.attempts(4, 'token_endpoint_unreachable');
  t.equal(tested.breaker.state, 'closed');
  tested.breaker.stop();
});

t.test('a redeem that takes longer than ten seconds is not abandoned', async (t) => {
  const tested = createTested();
  let answer: (token: string) => void = () => undefined;
  const slow = watch(
    tested.breaker.fire(
      () =>
        new Promise<string>((resolve) => {
          answer = resolve;
        }),
    ),
  );
  await tested.pass(60_000);
  t.equal(slow.code, 'pending');
  answer('late');
  await tested.pass(0);
  t.equal(slow.value, 'late');
  tested.breaker.stop();
});

t.test('at most 4 are inside the gate, those with waiting requests go first, the rest in order', async (t) => {
  const { breaker } = createTested();
  const inside = await Promise.all([1, 2, 3, 4].map(() => breaker.enter(() => false, patient)));
  const order: string[] = [];
  const enter = (name: string, isUrgent: () => boolean) =>
    breaker.enter(isUrgent, patient).then((place) => {
      order.push(name);
      return place;
    });
  let isNowUrgent = false;
  const waiting = [
    enter('first', () => false),
    enter('second', () => false),
    enter('urgent later', () => isNowUrgent),
    enter('urgent', () => true),
  ];
  await new Promise<void>((resolve) => setImmediate(resolve));
  t.strictSame(order, [], 'the fifth waits');
  isNowUrgent = true;
  for (const place of inside) {
    place.leave();
    place.leave();
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  t.strictSame(order, ['urgent later', 'urgent', 'first', 'second']);
  const places = await Promise.all(waiting);
  const fifth = enter('fifth', () => true);
  await new Promise<void>((resolve) => setImmediate(resolve));
  t.equal(order.length, 4, 'leaving twice gave no place twice');
  places[0]?.leave();
  await fifth;
  breaker.stop();
});

t.test('who stops does not go on waiting at the gate', async (t) => {
  const { breaker } = createTested();
  await Promise.all([1, 2, 3, 4].map(() => breaker.enter(() => false, patient)));
  const stopping = new AbortController();
  const waiting = watch(breaker.enter(() => true, stopping.signal));
  await new Promise<void>((resolve) => setImmediate(resolve));
  t.equal(waiting.code, 'pending');
  const late = watch(breaker.enter(() => true, AbortSignal.abort()));
  stopping.abort();
  await new Promise<void>((resolve) => setImmediate(resolve));
  t.equal(waiting.code, 'resolved');
  t.equal(late.code, 'resolved');
  breaker.stop();
});
