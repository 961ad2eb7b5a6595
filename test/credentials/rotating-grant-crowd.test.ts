// Several processes on one rotating refresh token: one redeems, the others adopt, whoever is frozen, killed or blind.
import t from 'tap';
import { createWorld, due, hour, leaseMs, loggedIn, patient, timeoutMs, tokenOf, watch } from './_rig.ts';

for (const canWatch of [true, false]) {
  t.test(`of ten processes one redeems and nine adopt, ${canWatch ? 'with' : 'without'} a watch`, async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    await world.loginElsewhere();
    world.provider.answerMs = 3_000;
    const crowd = await Promise.all(Array.from({ length: 10 }, () => world.started({ canWatch })));
    await world.clock.advance(due + 60_000);
    t.strictSame(world.provider.redeems, ['login-1/1']);
    t.equal(world.provider.reuses, 0);
    t.strictSame(crowd.map(({ ends }) => ends).sort(), [...Array(9).fill(['adopted']), ['refreshed']]);
    t.ok(crowd.every(({ refresher }) => tokenOf(refresher.authorization()) === 'access-2'));
  });
}

t.test('ten processes over ten lives: ten redeems, no reuse', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.lifeMs = 120_000;
  world.provider.answerMs = 500;
  await world.loginElsewhere();
  let seed = 1;
  const random = (): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const crowd = await Promise.all(Array.from({ length: 10 }, () => world.started({ random })));
  await world.clock.advance(10 * 91_000);
  t.equal(world.provider.reuses, 0);
  t.ok(
    world.provider.redeems.length >= 9 && world.provider.redeems.length <= 11,
    String(world.provider.redeems.length),
  );
  t.equal(new Set(world.provider.redeems).size, world.provider.redeems.length);
  t.ok(crowd.every(({ refresher }) => refresher.authorization() !== undefined));
});

t.test('while another holds the lease, a request waits for its result and uses it', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.answerMs = 4_000;
  await world.loginElsewhere();
  const [a, b] = [await world.started(), await world.started()];
  await world.clock.advance(0);
  a.kill();
  b.kill();
  world.clock.jumpWall(hour);
  const [c, d] = [await world.started(), await world.started()];
  const waiting = [watch(c.refresher.wait(patient)), watch(d.refresher.wait(patient))];
  await world.clock.advance(4_000);
  t.strictSame(
    waiting.map(({ value }) => tokenOf(value)),
    ['access-2', 'access-2'],
  );
  t.equal(world.provider.redeems.length, 1);
});

t.test('a lease whose holder died goes stale and is taken; its intent is waited for once, then replaced', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.connectMs = 2_000;
  await world.clock.advance(due + 1_000);
  t.equal(world.provider.calls, 1);
  p.kill();
  const diedAtMs = world.clock.monotonicMs();
  const owner = (await world.record()).stored?.intent?.owner;
  const next = await world.started();
  let announcedAtMs: number | undefined;
  next.store.before = (operation, record) => {
    if (operation !== 'commit' || record?.intent === undefined) return;
    announcedAtMs ??= world.clock.monotonicMs();
    t.not(record.intent.owner, owner);
  };
  await world.clock.advance(60_000);
  t.strictSame(world.provider.redeems, ['login-1/1']);
  t.strictSame(next.ends, ['refreshed']);
  // The token in hand is valid for 10 min: there is time to wait for the holder's whole redeem.
  t.ok((announcedAtMs ?? 0) - diedAtMs >= leaseMs + timeoutMs + leaseMs, 'stale first, then the wait on its intent');
});

t.test('where the token in hand ends sooner, the wait on an intent is one lease', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.connectMs = 2_000;
  await world.clock.advance(due + 1_000);
  p.kill();
  world.clock.jumpWall(hour);
  const startedAtMs = world.clock.monotonicMs();
  const next = await world.started();
  let announcedAtMs = 0;
  next.store.before = (operation, record) => {
    if (operation === 'commit' && record?.intent !== undefined) announcedAtMs = world.clock.monotonicMs();
  };
  await world.clock.advance(2 * leaseMs + 5_000);
  t.ok(announcedAtMs - startedAtMs >= 2 * leaseMs && announcedAtMs - startedAtMs <= 2 * leaseMs + 4_000);
  t.strictSame(next.ends, ['refreshed']);
});

t.test(
  'killed between first byte and commit: reported as refresh_outcome_unknown, and the token in hand serves',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.answerMs = 5_000;
    await world.clock.advance(due + 1_000);
    t.strictSame(world.provider.redeems, ['login-1/1']);
    p.kill();
    const next = await world.started();
    await world.clock.advance(60_000);
    t.strictSame(next.ends, ['refresh_outcome_unknown']);
    t.match((await world.record()).stored, { dead: { code: 'refresh_outcome_unknown' } });
    t.equal(next.refresher.status().state, 'dead');
    t.equal(tokenOf(next.refresher.authorization()), 'access-1');
  },
);

t.test('the same, where the provider is down when the next process comes: it is told so all the same', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  p.kill();
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  const next = await world.started();
  await world.clock.advance(120_000);
  t.strictSame(next.ends, ['token_endpoint_unreachable']);
  world.provider.always = {};
  await world.clock.advance(300_000);
  t.strictSame(next.ends, ['token_endpoint_unreachable', 'refresh_outcome_unknown']);
});

t.test('a holder that was frozen with the same answer in hand gives the death no other name', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  p.kill();
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  const first = await world.started();
  await world.clock.advance(120_000);
  await first.stop();
  world.provider.always = {};
  const slow = world.process();
  world.provider.watcher = (event) => {
    if (event.kind === 'reused') slow.freeze();
  };
  await slow.refresher.start();
  await world.clock.advance(1_000);
  t.equal(world.provider.reuses, 1);
  const other = await world.started();
  await world.clock.advance(60_000);
  t.strictSame(other.ends, ['refresh_outcome_unknown']);
  slow.thaw();
  await world.clock.advance(60_000);
  t.strictSame(slow.ends, ['refresh_outcome_unknown']);
  t.match((await world.record()).stored, { dead: { code: 'refresh_outcome_unknown' } });
});

t.test('and told so by a third process, where the second gave up meanwhile', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  p.kill();
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  const second = await world.started();
  await world.clock.advance(120_000);
  await second.stop();
  world.provider.always = {};
  const third = await world.started();
  await world.clock.advance(60_000);
  t.strictSame(third.ends, ['refresh_outcome_unknown']);
});

t.test('a holder that was frozen and comes back with its answer is heard before its intent is replaced', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 1_000;
  await world.clock.advance(due + 500);
  p.freeze();
  const next = await world.started();
  await world.clock.advance(leaseMs + 6_000);
  t.equal(next.refresher.status().state, 'refreshing');
  p.thaw();
  await world.clock.advance(60_000);
  t.strictSame(world.provider.redeems, ['login-1/1']);
  t.equal(world.provider.reuses, 0);
  t.strictSame(p.ends, ['refreshed']);
  t.strictSame(next.ends, ['adopted']);
});

t.test('a process that was frozen before the first byte does not redeem what another redeemed meanwhile', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.connectMs = 2_000;
  await world.clock.advance(due + 1_000);
  p.freeze();
  const next = await world.started();
  await world.clock.advance(60_000);
  t.strictSame(next.ends, ['refreshed']);
  p.thaw();
  await world.clock.advance(60_000);
  t.strictSame(world.provider.redeems, ['login-1/1'], 'one redeem, by the other');
  t.equal(world.provider.reuses, 0);
  t.strictSame(p.ends, ['adopted']);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
});

t.test(
  'where the lease cannot be renewed nothing is sent once its deadline is near: back to the first step',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.connectMs = (leaseMs * 2) / 3;
    p.store.isRenewalDown = true;
    await world.clock.advance(due + 30_000);
    t.ok(world.provider.calls >= 2, 'it was tried');
    t.strictSame(world.provider.redeems, [], 'and never sent');
    p.store.isRenewalDown = false;
    await world.clock.advance(30_000);
    t.strictSame(world.provider.redeems, ['login-1/1']);
    t.strictSame(p.ends, ['refreshed']);
  },
);

t.test('a redeem longer than the lease keeps it: nobody else comes in', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5 * leaseMs;
  await world.clock.advance(due + 1_000);
  const next = await world.started();
  await world.clock.advance(6 * leaseMs);
  t.strictSame(world.provider.redeems, ['login-1/1']);
  t.strictSame([p.ends, next.ends], [['refreshed'], ['adopted']]);
});

t.test('an intent that is not about the stored refresh token is ignored', async (t) => {
  const { world, p: first } = await loggedIn(t);
  await first.stop();
  const { records } = world;
  const base = await records.read();
  await records.commit(
    records.prepare(base, { intent: { fingerprint: 'old', owner: 'gone', since: 0, holdUntil: 9e15 } }),
  );
  await world.started();
  await world.clock.advance(due + 100);
  t.strictSame(world.provider.redeems, ['login-1/1'], 'without any wait');
});

t.test("another's newer token is adopted while waiting for its lease, though that is held for ever", async (t) => {
  const { world, p } = await loggedIn(t);
  await world.clock.advance(due - 1_000);
  const taken = await world.store.lease('codex', 'another', 1e9);
  t.equal(taken.held, false);
  let isHeld = true;
  const renew = (): void => {
    if (!isHeld || taken.held) return;
    void taken.lease.renew();
    world.clock.after(1_000, renew);
  };
  renew();
  await world.clock.advance(2_000);
  t.equal(p.refresher.status().state, 'refreshing');
  await world.loginElsewhere();
  await world.clock.advance(5_000);
  isHeld = false;
  t.strictSame(p.ends, ['adopted']);
  t.equal(world.provider.calls, 0);
});

t.test(
  'a dead grant with a newer access token: the token is adopted, the death too, and nobody is called',
  async (t) => {
    const { world, p: blind } = await loggedIn(t, { canWatch: false });
    const other = await world.started({ lead: { leadMs: 1_200_000, jitter: 0 } });
    await world.clock.advance(1_000);
    blind.freeze();
    await world.clock.advance(hour - 1_200_000);
    t.strictSame(other.ends, ['refreshed']);
    world.provider.steps.push({ fails: 'grant_revoked' });
    await world.clock.advance(hour - 1_200_000);
    t.strictSame(other.ends, ['refreshed', 'grant_revoked']);
    const { calls } = world.provider;
    blind.thaw();
    await world.clock.advance(1_000);
    t.equal(blind.refresher.status().state, 'dead');
    t.equal(tokenOf(blind.refresher.authorization()), 'access-2');
    t.equal(world.provider.calls, calls);
  },
);
