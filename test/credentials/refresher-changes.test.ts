// What others change: rotations, logouts and edits in the store, logins here, and answers that come too late.
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import {
  createWorld,
  current,
  due,
  holdReading,
  hour,
  loggedIn,
  patient,
  refuse,
  tokenOf,
  waitMs,
  watch,
  withExpired,
} from './_rig.ts';

const minute = 60_000;

t.test("another process's rotation is adopted through the store's watch, without a refresh", async (t) => {
  const { world, p } = await loggedIn(t);
  await world.loginElsewhere();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  t.strictSame(p.ends, []);
  t.equal(world.provider.calls, 0);
});

t.test('a change between the first reading and the start is not missed', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const p = world.process();
  await p.refresher.load();
  t.equal(p.refresher.status().state, 'absent');
  await world.loginElsewhere();
  await p.refresher.start();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
});

t.test('a change during a reading is read after it', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const p = world.process();
  const release = holdReading(p);
  const started = watch(p.refresher.start());
  await world.clock.advance(0);
  await world.loginElsewhere();
  await world.clock.advance(0);
  t.equal(started.code, 'pending');
  release();
  await world.clock.advance(0);
  t.equal(started.code, 'resolved');
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
});

t.test('a reading that ends during a refresh is made good after it, though that refresh read nothing', async (t) => {
  const { world, p } = await loggedIn(t);
  await world.clock.advance(due - 1_000);
  const release = holdReading(p);
  await world.logoutElsewhere();
  await world.clock.advance(0);
  p.store.before = async (operation) => {
    if (operation !== 'lease') return;
    release();
    for (let turn = 0; turn < 3; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
    throw new SidebearerError('store_unavailable');
  };
  await world.clock.advance(1_000 + waitMs);
  t.strictSame(p.ends, ['store_unavailable']);
  t.equal(p.refresher.status().state, 'absent');
  t.equal(p.refresher.authorization(), undefined);
});

t.test('a pause that began because the store could not be reached ends when it can be read', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.isDown = true;
  await world.clock.advance(due + waitMs);
  t.equal(p.refresher.status().state, 'cooling');
  p.store.isDown = false;
  await world.edit('anything');
  await world.clock.advance(2_000);
  t.strictSame(p.ends, ['store_unavailable', 'refreshed']);
});

t.test('a tombstone seen: the tokens are dropped, the cache emptied, no refresh comes', async (t) => {
  const { world, p } = await loggedIn(t);
  await world.logoutElsewhere();
  await world.clock.advance(0);
  t.equal(p.refresher.authorization(), undefined);
  t.equal(p.cache.get('codex'), undefined);
  t.equal(p.refresher.status().state, 'absent');
  await world.clock.advance(2 * hour);
  t.equal(world.provider.calls, 0);
});

t.test('a tombstone that was not seen is found at the refresh', async (t) => {
  const { world, p } = await loggedIn(t, { canWatch: false });
  p.store.before = (operation) => {
    return operation === 'lease' ? world.logoutElsewhere() : undefined;
  };
  await world.clock.advance(due);
  t.equal(p.refresher.status().state, 'absent');
  t.equal(p.refresher.authorization(), undefined);
  t.equal(world.provider.calls, 0);
});

t.test("an operator's edit seen changes nothing: no pause ends, no refresh comes", async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_failing' };
  await world.clock.advance(due + 4_000);
  const { calls } = world.provider;
  for (let edit = 0; edit < 5; edit += 1) {
    await world.edit(String(edit));
    await world.clock.advance(1_000);
  }
  t.equal(world.provider.calls, calls);
  t.equal(p.refresher.status().state, 'cooling');
});

t.test('a store that fails after each write is not asked each second', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.fail('commit', 'after', 1_000);
  await world.clock.advance(due + minute);
  t.ok(p.ends.length <= 1, `${p.ends.length} refreshes`);
});

t.test(
  'a store that cannot be read at start: 503 with its code and Retry-After, then served when it is back',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    await world.loginElsewhere();
    const p = world.process();
    p.store.isDown = true;
    await p.refresher.start();
    t.equal(p.refresher.status().state, 'cooling');
    const asked = watch(p.refresher.wait(patient));
    await world.clock.advance(0);
    t.equal(asked.code, 'store_unavailable');
    t.ok((asked.retryAfterMs ?? 0) > 0);
    p.store.isDown = false;
    await world.clock.advance(30_000);
    t.equal(tokenOf(p.refresher.authorization()), 'access-1');
    t.equal(world.provider.calls, 0, 'it is stored: nothing is to be redeemed');
  },
);

// --- logins ---------------------------------------------------------------------------------------------------------

t.test('before any login: 503 grant_absent without Retry-After; a login serves those who come then', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const p = await world.started();
  const asked = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(asked.code, 'grant_absent');
  t.equal(asked.retryAfterMs, undefined);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  t.equal(tokenOf(await p.refresher.wait(patient)), 'access-1');
  t.match((await world.record()).tokens, { refreshToken: 'login-1/1' });
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed']);
});

t.test('a login ends cooling and dead', async (t) => {
  for (const code of ['token_endpoint_failing', 'grant_reused'] as const) {
    const { world, p } = await loggedIn(t);
    world.provider.always = { fails: code };
    await world.clock.advance(due + 4_000);
    t.match(p.refresher.status().state, /cooling|dead/);
    world.provider.always = {};
    await p.refresher.accept(world.provider.login(), { replaceAccount: false });
    t.equal(p.refresher.status().state, 'fresh', code);
    t.equal(p.refresher.status().lastError, undefined);
    await world.clock.advance(due);
    t.equal(p.ends.at(-1), 'refreshed');
  }
});

t.test('requests that wait are served by a login', async (t) => {
  const { world, p } = await withExpired(t);
  world.provider.answerMs = 8_000;
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(1_000);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  await world.clock.advance(0);
  t.equal(waiting.code, 'resolved');
});

for (const code of ['grant_reused', 'token_endpoint_failing', 'client_rejected'] as const) {
  t.test(`a refresh that ends with ${code} after a login does not spoil the new state`, async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push({ fails: code, answerMs: 3_000 });
    await world.clock.advance(due + 1_000);
    await p.refresher.accept(world.provider.login(), { replaceAccount: false });
    const login = tokenOf(p.refresher.authorization());
    await world.clock.advance(10_000);
    t.equal(p.refresher.status().state, 'fresh');
    t.equal(tokenOf(p.refresher.authorization()), login);
    t.equal((await world.record()).stored?.dead, undefined);
    await world.clock.advance(due);
    t.equal(world.provider.redeems.at(-1), 'login-2/1', 'and its own refresh comes');
  });
}

t.test('a reading that began before a login and comes after it is not taken', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'grant_reused' });
  await world.clock.advance(due);
  t.equal(p.refresher.status().state, 'dead');
  const { store } = p;
  const inner = store.read.bind(store);
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let isFirst = true;
  store.read = async (name) => {
    const wasFirst = isFirst;
    isFirst = false;
    const result = await inner(name);
    if (wasFirst) await held;
    return result;
  };
  await world.edit('the reading of this change is slow');
  await world.clock.advance(0);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  t.equal(p.refresher.status().state, 'fresh');
  release();
  await world.clock.advance(0);
  t.equal(p.refresher.status().state, 'fresh');
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
});

for (const what of ['a tombstone', 'a dead grant'] as const) {
  t.test(`${what} that a refresh read before a login does not spoil the login`, async (t) => {
    const { world, p } = await loggedIn(t, { canWatch: false });
    await world.clock.advance(1_000);
    if (what === 'a tombstone') await world.logoutElsewhere();
    else {
      const base = await world.record();
      const fingerprint = world.records.fingerprintOf(base, 'login-1/1') ?? '';
      await world.records.commit(world.records.prepare(base, { dead: { fingerprint, code: 'grant_reused', at: 0 } }));
    }
    const release = holdReading(p);
    const answer = watch(p.refresher.renewed(current(p), patient));
    await world.clock.advance(0);
    await p.refresher.accept(world.provider.login(), { replaceAccount: false });
    release();
    await world.clock.advance(0);
    t.equal(tokenOf(answer.value), 'access-2');
    t.equal(tokenOf(p.refresher.authorization()), 'access-2');
    t.equal(p.refresher.status().state, 'fresh');
  });
}

t.test('a reading that began before a refresh and comes after it does not bring the older token back', async (t) => {
  const { world, p } = await loggedIn(t);
  await world.clock.advance(due - 1_000);
  const release = holdReading(p);
  await world.edit('the reading of this change is slow');
  await world.clock.advance(1_000);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  release();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  t.strictSame(p.ends, ['refreshed']);
});

t.test('a change that comes while a refresh ends is read after it', async (t) => {
  const { world, p } = await loggedIn(t);
  let isFirst = true;
  p.store.before = async (operation) => {
    if (operation !== 'release' || !isFirst) return;
    isFirst = false;
    await world.loginElsewhere();
    // The event of that change comes before the refresh is over.
    for (let turn = 0; turn < 3; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
  };
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed']);
  t.equal(tokenOf(p.refresher.authorization()), 'access-3');
});

t.test('a login during a refresh begins no second one beside it', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  await refuse(world, p);
  await world.clock.advance(10_000);
  t.equal(world.provider.mostInFlight, 1);
});

t.test('a login whose token falls due while the old refresh is still under way is refreshed after it', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ answerMs: 60_000 });
  await world.clock.advance(due + 1_000);
  world.provider.lifeMs = 80_000;
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  await world.clock.advance(62_000);
  t.equal(world.provider.redeems.at(-1), 'login-2/1');
  t.ok(p.refresher.status().usable);
});

for (const change of ['login', 'logout'] as const) {
  t.test(`a ${change} that could not be read when its notice came is read once the store answers again`, async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push({ fails: 'grant_revoked' });
    await world.clock.advance(due);
    t.equal(p.refresher.status().state, 'dead', 'nothing else would ever make it read');
    p.store.isDown = true;
    if (change === 'login') await world.loginElsewhere();
    else await world.logoutElsewhere();
    await world.clock.advance(120_000);
    t.equal(p.refresher.status().state, 'dead');
    const reads = p.store.log.filter((operation) => operation === 'read').length;
    await world.clock.advance(60_000);
    const inAMinute = p.store.log.filter((operation) => operation === 'read').length - reads;
    t.ok(inAMinute >= 2 && inAMinute <= 4, `${inAMinute} tries in a minute`);
    p.store.isDown = false;
    await world.clock.advance(30_000);
    t.equal(p.refresher.status().state, change === 'login' ? 'fresh' : 'absent');
    const after = p.store.log.length;
    await world.clock.advance(120_000);
    t.equal(p.store.log.length, after, 'and then no more');
  });
}

t.test('a process that stops asks no further', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.isDown = true;
  await world.edit('anything');
  await world.clock.advance(3_000);
  await p.stop();
  t.equal(world.clock.armed, 0);
});
