// The upstream's 401s: one refresh for all, one replay, and no storm where a fresh token is refused, too.
import t from 'tap';
import { sleep } from '../../src/clock.ts';
import { current, due, hour, loggedIn, patient, refuse, tokenOf, watch } from './_rig.ts';

const minute = 60_000;

t.test('a 401 to a token that is no longer current: the newer one is used, without any refresh', async (t) => {
  const { world, p } = await loggedIn(t);
  const old = current(p);
  await world.clock.advance(due);
  const { calls } = world.provider;
  const replay = await p.refresher.renewed(old, patient);
  t.equal(tokenOf(replay), 'access-2');
  t.equal(world.provider.calls, calls);
  t.notOk(p.observed.some(({ type }) => type === 'refused'));
});

t.test('a 401 that many requests see: one refresh, each gets the same new token', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 500;
  const sent = current(p);
  const early = Array.from({ length: 200 }, () => watch(p.refresher.renewed(sent, patient)));
  await world.clock.advance(250);
  const late = Array.from({ length: 200 }, () => watch(p.refresher.renewed(sent, patient)));
  await world.clock.advance(250);
  const after = await p.refresher.renewed(sent, patient);
  t.equal(world.provider.calls, 1);
  t.ok([...early, ...late].every(({ value }) => tokenOf(value) === 'access-2'));
  t.equal(tokenOf(after), 'access-2');
});

t.test('a 401 while the schedule refreshes joins that refresh', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 2_000;
  await world.clock.advance(due + 1_000);
  const answer = await refuse(world, p);
  t.equal(answer.code, 'pending');
  await world.clock.advance(1_000);
  t.equal(tokenOf(answer.value), 'access-2');
  t.equal(world.provider.calls, 1);
});

t.test('a refused token is redeemed though the record still holds it and it is not due', async (t) => {
  const { world, p } = await loggedIn(t);
  t.equal(tokenOf((await refuse(world, p)).value), 'access-2');
  t.strictSame(p.ends, ['refreshed']);
  t.equal(p.observed.filter(({ type }) => type === 'refused').length, 1);
});

t.test('at a 401 the store is read first: what another process rotated is used, nobody is called', async (t) => {
  const { world, p } = await loggedIn(t, { canWatch: false });
  await world.loginElsewhere();
  t.equal(tokenOf((await refuse(world, p)).value), 'access-2');
  t.equal(world.provider.calls, 0);
  t.strictSame(p.ends, ['adopted']);
});

t.test('the refresh of a 401 fails: the 401 passes, for all who waited', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_failing' };
  const sent = current(p);
  const answers = [1, 2, 3].map(() => watch(p.refresher.renewed(sent, patient)));
  await world.clock.advance(4_000);
  t.strictSame(
    answers.map(({ now }) => now),
    Array(3).fill({ state: 'resolved', value: undefined }),
  );
  t.equal(tokenOf(p.refresher.authorization()), 'access-1', 'other paths may still take it');
});

t.test('a 401 while cooling, dead or absent calls nobody and passes at once', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_failing' };
  await world.clock.advance(due + 4_000);
  t.equal(p.refresher.status().state, 'cooling');
  const { calls } = world.provider;
  t.strictSame((await refuse(world, p)).now, { state: 'resolved', value: undefined });
  world.provider.always = { fails: 'grant_revoked' };
  await world.clock.advance(5 * minute);
  t.equal(p.refresher.status().state, 'dead');
  t.strictSame((await refuse(world, p)).now, { state: 'resolved', value: undefined });
  t.equal(world.provider.calls, calls + 1);
});

t.test('a client that leaves while its 401 is cured does not stop the cure', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 1_000;
  const client = new AbortController();
  const left = watch(p.refresher.renewed(current(p), client.signal));
  await world.clock.advance(500);
  client.abort(new Error('gone'));
  await world.clock.advance(500);
  t.match(left.now, { state: 'rejected', thrown: { message: 'gone' } });
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
});

t.test(
  'an upstream that always answers 401 does not rotate at each request: 1, 2, 4 … 60 min between refreshes',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.lifeMs = 1_000 * hour;
    await p.refresher.accept(world.provider.login(), { replaceAccount: false });
    const start = world.clock.monotonicMs();
    const refreshesAtMinute: number[] = [];
    for (let second = 0; second < 4 * 3_600; second += 10) {
      const before = world.provider.calls;
      const replay = (await refuse(world, p)).value;
      if (replay !== undefined) p.refresher.replayed(replay, false);
      if (world.provider.calls > before)
        refreshesAtMinute.push(Math.round((world.clock.monotonicMs() - start) / minute));
      await world.clock.advance(10_000);
    }
    t.strictSame(refreshesAtMinute.slice(0, 7), [0, 1, 3, 7, 15, 31, 63]);
    t.equal(refreshesAtMinute.length, 9, 'two more hours: two more');
    t.equal(p.refresher.status().state, 'refused');
    t.equal(
      p.failures.filter((code) => code === 'access_token_refused').length,
      9,
      'told once for each, not for each request',
    );
    t.equal(p.refresher.status().lastError?.code, 'access_token_refused');
  },
);

t.test(
  'a 401 to the token that a refresh has just brought, in the last steps of that refresh, starts another',
  async (t) => {
    const { world, p } = await loggedIn(t);
    p.store.before = (operation) => (operation === 'release' ? sleep(world.clock, 1_000) : undefined);
    await world.clock.advance(due);
    t.equal(p.refresher.status().state, 'refreshing');
    const answer = await refuse(world, p);
    t.equal(answer.code, 'pending');
    await world.clock.advance(3_000);
    t.equal(tokenOf(answer.value), 'access-3');
    t.equal(world.provider.calls, 2);
  },
);

t.test('a path that always answers 401 does so for a crowd with hardly more refreshes', async (t) => {
  const { world, p } = await loggedIn(t);
  for (let round = 0; round < 20; round += 1) {
    const sent = current(p);
    const answers = Array.from({ length: 50 }, () => watch(p.refresher.renewed(sent, patient)));
    await world.clock.advance(0);
    for (const { value } of answers) if (value !== undefined) p.refresher.replayed(value, false);
    await world.clock.advance(1_000);
  }
  t.equal(p.failures.filter((code) => code === 'access_token_refused').length, 1, 'told once');
  t.equal(world.provider.calls, 1);
});

t.test(
  'even where no replay is reported, the token of a refresh on demand is not refreshed at its first 401',
  async (t) => {
    const { world, p } = await loggedIn(t);
    await refuse(world, p);
    for (let request = 0; request < 10; request += 1) {
      t.strictSame((await refuse(world, p)).now, { state: 'resolved', value: undefined });
    }
    t.equal(world.provider.calls, 1);
    t.equal(p.refresher.status().state, 'refused');
  },
);

t.test('an accepted replay ends the pause; so does a login', async (t) => {
  const { world, p } = await loggedIn(t);
  const replay = (await refuse(world, p)).value ?? current(p);
  p.refresher.replayed(replay, false);
  t.equal((await refuse(world, p)).value, undefined);
  p.refresher.replayed(replay, true);
  t.equal(p.refresher.status().state, 'fresh');
  t.equal(tokenOf((await refuse(world, p)).value), 'access-3');
  p.refresher.replayed(current(p), false);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  t.equal(p.refresher.status().state, 'fresh');
  t.equal(tokenOf((await refuse(world, p)).value), 'access-5');
});

t.test('one 401 does not take the credential off the schedule', async (t) => {
  const { world, p } = await loggedIn(t);
  const replay = (await refuse(world, p)).value ?? current(p);
  p.refresher.replayed(replay, false);
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed', 'refreshed']);
});
