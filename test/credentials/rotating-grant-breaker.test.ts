// Refreshes behind the breaker and its gate: an open breaker calls nobody and uses up nothing, and a place at the
// endpoint is held by redeems alone. opossum's timers are mocked and moved with the test's clock.
import { mock } from 'node:test';
import t from 'tap';
import { createBreaker } from '../../src/credentials/breaker.ts';
import { createRecords } from '../../src/credentials/records.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { bound } from './_provider.ts';
import { createWorld, due, hour, leaseMs, loggedIn, type Process, patient, silent, type World, watch } from './_rig.ts';

mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
t.teardown(() => mock.timers.reset());

const breaker = { failures: 3, windowMs: 600_000, resetAfterMs: 30_000 };

async function pass(world: World, ms: number, stepMs = 1_000): Promise<void> {
  for (let left = ms; left > 0; left -= stepMs) {
    mock.timers.tick(Math.min(left, stepMs));
    await world.clock.advance(Math.min(left, stepMs));
  }
}

/** Stores tokens of a login under another name. */
async function store(world: World, name: string, intentOwner?: string): Promise<void> {
  const records = createRecords({
    credential: name,
    bound,
    store: world.store,
    sealing: world.sealing,
    observer: silent,
  });
  const { warnings: _, account, ...tokens } = world.provider.login();
  const base = await records.commit(records.prepare(await records.read(), { tokens, account }));
  if (base === undefined || intentOwner === undefined) return;
  const fingerprint = records.fingerprintOf(base, tokens.refreshToken) ?? '';
  await records.commit(records.prepare(base, { intent: { fingerprint, owner: intentOwner, since: 0 } }));
}

t.test(
  'an open breaker: nobody is called, no intent is written, and it goes on by itself after resetAfter',
  async (t) => {
    const { world, p } = await loggedIn(t, { breaker });
    world.provider.always = { fails: 'token_endpoint_unreachable' };
    await pass(world, due + 3_000, 10_000);
    t.equal(p.breaker.state, 'open');
    t.equal(world.provider.calls, 3);
    await world.clock.advance(0);
    const { coolingUntilMs = 0 } = p.refresher.status();
    world.provider.always = {};
    p.store.commits.length = 0;
    await pass(world, 1_000);
    t.strictSame(p.store.commits, []);
    await pass(world, coolingUntilMs - world.clock.wallMs() + 31_000);
    t.equal(p.ends.at(-1), 'refreshed');
    t.equal(p.breaker.state, 'closed');
  },
);

t.test('a credential that falls due while the breaker is open writes nothing and calls nobody', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const sharedBreaker = createBreaker(breaker, world.clock, () => undefined);
  t.teardown(() => sharedBreaker.stop());
  for (let failure = 0; failure < 3; failure += 1) {
    await t.rejects(sharedBreaker.fire(() => Promise.reject(new SidebearerError('token_endpoint_failing'))));
  }
  await world.loginElsewhere();
  world.clock.jumpWall(hour);
  const p = await world.started({ sharedBreaker });
  t.strictSame(p.ends, ['breaker_open']);
  t.strictSame(p.store.commits, []);
  t.equal(world.provider.calls, 0);
  const asked = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(asked.retryAfterMs, 30_000);
});

t.test(
  'an expired token behind an open breaker: 503 with Retry-After to its end, then a token within resetAfter',
  async (t) => {
    const { world, p } = await loggedIn(t, { breaker });
    world.provider.always = { fails: 'token_endpoint_unreachable' };
    await pass(world, hour + 10_000, 10_000);
    t.equal(p.refresher.authorization(), undefined);
    const asked = watch(p.refresher.wait(patient));
    await pass(world, 4_000);
    t.ok(['access_token_expired', 'breaker_open'].includes(asked.code), asked.code);
    t.ok((asked.retryAfterMs ?? 0) >= 1 && (asked.retryAfterMs ?? 0) <= 30_000);
    world.provider.always = {};
    const backMs = world.clock.monotonicMs();
    while (p.refresher.authorization() === undefined && world.clock.monotonicMs() - backMs < 120_000) {
      watch(p.refresher.wait(patient));
      await pass(world, 1_000);
    }
    t.ok(world.clock.monotonicMs() - backMs <= 31_000, `${world.clock.monotonicMs() - backMs} ms`);
  },
);

t.test('`breaker_open` in the middle of the attempts uses none up: all are there once it closes', async (t) => {
  const { world, p } = await loggedIn(t, { breaker: { ...breaker, failures: 2 } });
  world.provider.steps.push(
    { fails: 'token_endpoint_failing' },
    { fails: 'token_endpoint_failing' },
    // The trial that closes it again, then one more failure: the third attempt of this refresh is its second call.
    { fails: 'token_endpoint_limited' },
  );
  await pass(world, due + 2_000, 1_000);
  t.equal(world.provider.calls, 2);
  await pass(world, 5_000);
  t.equal(p.ends[0], 'breaker_open');
  t.equal((await world.record()).stored?.intent, undefined);
  await pass(world, 60_000);
  t.equal(world.provider.calls, 4);
  t.strictSame(p.ends, ['breaker_open', 'refreshed']);
});

t.test('what another replica rotated is adopted though the breaker is open here', async (t) => {
  const { world, p } = await loggedIn(t, { breaker, canWatch: false });
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  await pass(world, due + 3_000, 10_000);
  t.equal(p.breaker.state, 'open');
  await world.loginElsewhere();
  await pass(world, 31_000);
  t.equal(p.refresher.status().state, 'fresh');
});

async function crowdOf(world: World, count: number): Promise<Process[]> {
  const sharedBreaker = createBreaker(
    { failures: 100, windowMs: 600_000, resetAfterMs: 30_000 },
    world.clock,
    () => undefined,
  );
  t.teardown(() => sharedBreaker.stop());
  const crowd: Process[] = [];
  for (let each = 0; each < count; each += 1) {
    const name = `c${each}`;
    await store(world, name);
    crowd.push(await world.started({ name, sharedBreaker }));
  }
  return crowd;
}

t.test('of twenty credentials that are due at once four are redeemed at a time, all in the end', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const crowd = await crowdOf(world, 20);
  world.provider.answerMs = 1_000;
  await world.clock.advance(due + 10_000);
  t.equal(world.provider.mostInFlight, 4);
  t.equal(world.provider.redeems.length, 20);
  t.ok(crowd.every(({ ends }) => ends.join() === 'refreshed'));
});

t.test('a token that cannot be made durable holds its lease, not a place at the endpoint', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const crowd = await crowdOf(world, 5);
  for (const p of crowd.slice(0, 4)) {
    p.store.before = (operation, record) => {
      if (operation === 'commit' && record?.intent === undefined) p.store.fail('commit', 'before');
    };
  }
  await world.clock.advance(due + 10_000);
  t.equal(crowd.filter(({ refresher }) => refresher.status().isDirty).length, 4);
  t.strictSame(crowd[4]?.ends, ['refreshed']);
});

t.test('those with waiting requests go first', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const crowd = await crowdOf(world, 20);
  world.provider.answerMs = 1_000;
  world.clock.jumpWall(hour);
  for (const { refresher } of crowd) refresher.due();
  await world.clock.advance(0);
  const waiting = watch(crowd[19]?.refresher.wait(patient) ?? Promise.reject());
  await world.clock.advance(2_100);
  t.equal(waiting.code, 'resolved', 'though it came last');
  await world.clock.advance(10_000);
});

t.test(
  'waiting on the intent of a process that is gone takes no place from those who have something to redeem',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    const sharedBreaker = createBreaker(
      { failures: 100, windowMs: 600_000, resetAfterMs: 30_000 },
      world.clock,
      () => undefined,
    );
    t.teardown(() => sharedBreaker.stop());
    for (let each = 0; each < 8; each += 1) await store(world, `orphan${each}`, 'a process that is gone');
    await store(world, 'alive');
    world.clock.jumpWall(hour);
    const orphans: Process[] = [];
    for (let each = 0; each < 8; each += 1) orphans.push(await world.started({ name: `orphan${each}`, sharedBreaker }));
    const alive = await world.started({ name: 'alive', sharedBreaker });
    t.strictSame(alive.ends, ['refreshed']);
    t.equal(world.provider.redeems.length, 1);
    world.provider.answerMs = 100;
    await world.clock.advance(leaseMs + 1_000);
    t.equal(world.provider.mostInFlight, 4, 'and afterwards they take turns');
    t.ok(orphans.every(({ ends }) => ends.join() === 'refreshed'));
  },
);
