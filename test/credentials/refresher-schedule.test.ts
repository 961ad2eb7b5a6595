// Refreshes by the schedule: before the expiry, never after it, and no more often than needed.
import t from 'tap';
import { createWorld, due, hour, loggedIn, refuse, tokenOf, withExpired } from './_rig.ts';

const minute = 60_000;

t.test('over 100 lives of a minute no request ever waits or meets an expired token', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.lifeMs = minute;
  world.provider.answerMs = 300;
  await world.loginElsewhere();
  let seed = 5;
  const p = await world.started({
    random: () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    },
  });
  let missing = 0;
  for (let second = 0; second < 100 * 60; second += 1) {
    const { expiresAtMs = 0 } = p.refresher.status();
    if (p.refresher.authorization() === undefined || expiresAtMs <= world.clock.wallMs()) missing += 1;
    await world.clock.advance(1_000);
  }
  t.equal(missing, 0);
  t.ok(p.ends.every((end) => end === 'refreshed'));
  t.ok(p.ends.length >= 100 && p.ends.length < 240, `${p.ends.length} refreshes`);
});

t.test('it comes before the expiry by the lead and a jitter that is only ever earlier', async (t) => {
  for (const random of [0, 0.5, 0.99]) {
    const { world, p } = await loggedIn(t, { random: () => random });
    const { refreshDueAtMs = 0, expiresAtMs = 0 } = p.refresher.status();
    t.equal(expiresAtMs - refreshDueAtMs, 600_000 * (1 + 0.1 * random));
    await world.clock.advance(refreshDueAtMs - world.clock.wallMs());
    t.strictSame(p.ends, ['refreshed']);
  }
});

t.test('tokens that live a second do not hammer the provider', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.lifeMs = 1_000;
  await world.loginElsewhere();
  await world.started();
  await world.clock.advance(60_000);
  t.ok(world.provider.calls <= 61, String(world.provider.calls));
});

t.test('a token of unknown expiry has no schedule, and a 401 renews it', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.lifeMs = undefined;
  await world.loginElsewhere();
  const p = await world.started();
  await world.clock.advance(1_000 * hour);
  t.equal(world.provider.calls, 0);
  t.equal(p.refresher.status().state, 'fresh');
  t.equal(tokenOf((await refuse(world, p)).value), 'access-2');
});

t.test('`load` reads and sends nothing, though the token is due; `start` begins', async (t) => {
  const { world, p } = await withExpired(t);
  await world.clock.advance(hour);
  t.equal(world.provider.calls, 0);
  t.equal(p.refresher.status().state, 'due');
  await p.refresher.start();
  await world.clock.advance(0);
  t.equal(world.provider.calls, 1);
  const [first] = p.observed.filter((event) => event.type === 'ended');
  t.match(first, { end: { trigger: 'startup', outcome: 'refreshed' } });
});

t.test('the end of a refresh is told: trigger, outcome, new expiry, next attempt', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 250;
  await world.clock.advance(due + 250);
  const sentAtMs = world.clock.wallMs() - 250;
  t.match(
    p.observed.find(({ type }) => type === 'ended'),
    {
      end: {
        trigger: 'schedule',
        outcome: 'refreshed',
        durationMs: 250,
        expiresAtMs: sentAtMs + hour,
        nextAttemptAtMs: sentAtMs + due,
      },
    },
  );
});
