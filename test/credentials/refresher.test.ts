// A credential at work: crowds of requests that share one refresh, and what they get while none can be had.
import t from 'tap';
import { due, hour, loggedIn, patient, tokenOf, watch, withExpired } from './_rig.ts';

const minute = 60_000;

t.test('1,000 concurrent requests on an expired token: exactly one redeem, served first come first', async (t) => {
  const { world, p } = await withExpired(t);
  world.provider.answerMs = 2_000;
  const order: number[] = [];
  const waiting = Array.from({ length: 1_000 }, (_, each) =>
    watch(
      p.refresher.wait(patient).then((authorization) => {
        order.push(each);
        return authorization;
      }),
    ),
  );
  await world.clock.advance(1_000);
  t.equal(p.refresher.status().waiting, 1_000);
  t.equal(p.refresher.status().state, 'refreshing');
  await world.clock.advance(1_000);
  t.equal(world.provider.calls, 1);
  t.ok(waiting.every(({ value }) => tokenOf(value) === 'access-2'));
  t.strictSame(
    order,
    Array.from({ length: 1_000 }, (_, each) => each),
  );
  t.equal(p.refresher.status().waiting, 0);
});

t.test('request 1,001 finds the queue full: refresh_queue_full, and the refresh goes on', async (t) => {
  const { world, p } = await withExpired(t);
  world.provider.answerMs = 2_000;
  const inside = Array.from({ length: 1_000 }, () => watch(p.refresher.wait(patient)));
  const outside = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(outside.code, 'refresh_queue_full');
  t.equal(outside.retryAfterMs, 1_000);
  await world.clock.advance(2_000);
  t.ok(inside.every(({ code }) => code === 'resolved'));
});

t.test(
  'a wait longer than wait.timeout: refresh_wait_timeout; the redeem is not cancelled and is stored',
  async (t) => {
    const { world, p } = await withExpired(t);
    world.provider.answerMs = 15_000;
    const waiting = watch(p.refresher.wait(patient));
    await world.clock.advance(10_000);
    t.equal(waiting.code, 'refresh_wait_timeout');
    t.equal(waiting.retryAfterMs, 1_000);
    await world.clock.advance(5_000);
    t.match((await world.record()).tokens, { refreshToken: 'login-1/2' });
    t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  },
);

t.test('the client that caused a redeem leaves at once: the redeem ends well and is stored', async (t) => {
  const { world, p } = await withExpired(t);
  world.provider.connectMs = 1_000;
  world.provider.answerMs = 1_000;
  const client = new AbortController();
  const left = watch(p.refresher.wait(client.signal));
  client.abort(new Error('gone'));
  const other = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.match(left.now, { state: 'rejected', thrown: { message: 'gone' } });
  await world.clock.advance(2_000);
  t.match((await world.record()).tokens, { refreshToken: 'login-1/2' });
  t.equal(tokenOf(other.value), 'access-2');
  t.equal(world.provider.calls, 1);
});

t.test('a request whose backoff is under way waits for it', async (t) => {
  const { world, p } = await withExpired(t);
  world.provider.steps.push({ fails: 'token_endpoint_failing' });
  const first = watch(p.refresher.wait(patient));
  await world.clock.advance(500);
  const second = watch(p.refresher.wait(patient));
  await world.clock.advance(600);
  t.strictSame([tokenOf(first.value), tokenOf(second.value)], ['access-2', 'access-2']);
});

// --- expired and cooling --------------------------------------------------------------------------------------------

t.test(
  'a stale token is never served while the provider is down: 503 with Retry-After, then recovery by itself',
  async (t) => {
    const { world, p } = await withExpired(t);
    await p.refresher.start();
    world.provider.always = { fails: 'token_endpoint_unreachable' };
    const waiting = watch(p.refresher.wait(patient));
    await world.clock.advance(3_000);
    t.equal(waiting.code, 'access_token_expired', 'who waited for it is told at its end');
    t.equal(waiting.retryAfterMs, 30_000);
    const asked = watch(p.refresher.wait(patient));
    await world.clock.advance(10_000);
    t.equal(asked.code, 'access_token_expired');
    const { calls } = world.provider;
    for (let second = 0; second < 15; second += 1) {
      watch(p.refresher.wait(patient));
      await world.clock.advance(1_000);
    }
    t.equal(world.provider.calls, calls, 'requests during the pause call nobody');
    world.provider.always = {};
    await world.clock.advance(30_000);
    t.equal(tokenOf(p.refresher.authorization()), 'access-2', 'without any request');
  },
);

t.test('without requests the pause doubles to cooldown; the first request ends a longer one', async (t) => {
  const { world, p } = await withExpired(t, {
    attempts: { attempts: 1, initialBackoffMs: 1_000, maxBackoffMs: 30_000 },
  });
  await p.refresher.start();
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  await world.clock.advance(0);
  t.equal(world.provider.calls, 1);
  const attemptsAtS = [0];
  for (let second = 1; second < 1_100; second += 1) {
    const before = world.provider.calls;
    await world.clock.advance(1_000);
    if (world.provider.calls > before) attemptsAtS.push(second);
  }
  const pauses = attemptsAtS.slice(1).map((atS, index) => atS - (attemptsAtS[index] ?? 0));
  t.strictSame(pauses, [30, 60, 120, 240, 300, 300].slice(0, pauses.length));
  t.ok(pauses.length >= 5);
  await world.clock.advance(31_000);
  world.provider.always = {};
  t.equal(p.refresher.status().state, 'cooling');
  const first = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(tokenOf(first.value), 'access-2');
});

t.test('a valid token is used while the provider is down, and refreshed soon after its return', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  await world.clock.advance(due + minute);
  t.equal(p.refresher.status().state, 'cooling');
  t.ok(p.refresher.status().usable);
  const { coolingUntilMs = 0, lastError } = p.refresher.status();
  t.ok(coolingUntilMs > world.clock.wallMs(), 'the end of the pause is visible');
  t.equal(lastError?.code, 'token_endpoint_unreachable');
  world.provider.always = {};
  await world.clock.advance(5 * minute);
  t.equal(p.refresher.status().state, 'fresh');
  t.equal(p.refresher.status().lastError, undefined);
});

t.test('a jump of the wall clock ends no pause', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.lifeMs = 100 * hour;
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  await world.clock.advance(100 * hour - 10 * minute + 4_000);
  t.equal(p.refresher.status().state, 'cooling');
  const { calls } = world.provider;
  world.clock.jumpWall(5 * minute);
  await world.clock.advance(2 * minute);
  t.equal(world.provider.calls, calls);
  await world.clock.advance(3 * minute);
  t.ok(world.provider.calls > calls);
});

t.test('a wall clock that was set back does not put the next attempt off for as long', async (t) => {
  const { world, p } = await loggedIn(t);
  world.clock.jumpWall(-24 * hour);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed']);
});
