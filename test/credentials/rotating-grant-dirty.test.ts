// A redeemed token that cannot be made durable: it serves from memory, and nobody else may touch the spent one.
import t from 'tap';
import { due, hour, leaseMs, loggedIn, type Process, patient, tokenOf, watch } from './_rig.ts';

/** Commits of tokens fail until called; intents go through. */
function breakTokens(p: Process): () => void {
  let isBroken = true;
  p.store.before = (operation, record) => {
    if (isBroken && operation === 'commit' && record?.intent === undefined) p.store.fail('commit', 'before');
  };
  return () => {
    isBroken = false;
  };
}

t.test('it serves from memory, is retried at least each second, then durable; the event tells both', async (t) => {
  const { world, p } = await loggedIn(t);
  const heal = breakTokens(p);
  await world.clock.advance(due);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  t.equal(tokenOf(await p.refresher.wait(patient)), 'access-2');
  t.equal(p.cache.get('codex'), undefined, 'a token that is not durable is never in the cache');
  t.ok(p.refresher.status().isDirty);
  t.strictSame(p.dirty, [true]);
  t.strictSame(p.failures, ['store_write_failed']);
  for (let minute = 0; minute < 3; minute += 1) {
    const before = p.store.commits.length;
    await world.clock.advance(60_000);
    t.ok(p.store.commits.length - before >= 60, 'at least each second');
  }
  t.strictSame(p.failures, ['store_write_failed'], 'told once');
  t.match((await world.record()).tokens, { refreshToken: 'login-1/1' });
  heal();
  await world.clock.advance(1_000);
  t.strictSame(p.dirty, [true, false]);
  t.notOk(p.refresher.status().isDirty);
  t.match(await world.record(), { tokens: { refreshToken: 'login-1/2', accessToken: 'access-2' } });
  t.equal((await world.record()).stored?.intent, undefined);
  t.equal(tokenOf(p.cache.get('codex')?.authorization), 'access-2');
  t.strictSame(p.ends, ['refreshed']);
  t.strictSame(world.provider.redeems, ['login-1/1']);
});

t.test('a commit that hangs: after a second it serves from memory, and no failure is told', async (t) => {
  const { world, p } = await loggedIn(t);
  let go = (): void => undefined;
  p.store.before = (operation, record) =>
    operation === 'commit' && record?.intent === undefined ? new Promise((resolve) => (go = resolve)) : undefined;
  await world.clock.advance(due + 900);
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  await world.clock.advance(200);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  t.ok(p.refresher.status().isDirty);
  t.equal(p.cache.get('codex'), undefined, 'a token that is not durable is never in the cache');
  p.store.before = undefined;
  go();
  await world.clock.advance(0);
  t.match(await world.record(), { tokens: { refreshToken: 'login-1/2', accessToken: 'access-2' } });
  t.notOk(p.refresher.status().isDirty);
  t.equal(tokenOf(p.cache.get('codex')?.authorization), 'access-2');
  t.strictSame([p.ends, p.failures, p.dirty], [['refreshed'], [], [true, false]]);
});

t.test('a process that has waited long enough for it can end: neither the retry nor the lease keeps it', async (t) => {
  const { world, p } = await loggedIn(t);
  breakTokens(p);
  await world.clock.advance(due + 5_000);
  void p.stop();
  await world.clock.advance(5_000);
  t.ok(p.refresher.status().isDirty);
  t.ok(world.clock.armed > 0);
  t.equal(world.clock.keepingAlive, 0);
});

t.test('meanwhile the intent stays and the lease is renewed: nobody redeems the spent token', async (t) => {
  const { world, p } = await loggedIn(t);
  const heal = breakTokens(p);
  await world.clock.advance(due);
  const other = await world.started();
  await world.clock.advance(10 * leaseMs);
  t.ok((await world.record()).stored?.intent);
  t.strictSame(world.provider.redeems, ['login-1/1']);
  t.equal(other.refresher.status().state, 'refreshing');
  heal();
  await world.clock.advance(10_000);
  t.strictSame([p.ends, other.ends], [['refreshed'], ['adopted']]);
  t.equal(world.provider.reuses, 0);
});

t.test('a store that is gone altogether, and back only after leases, loses nothing', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 1_000;
  await world.clock.advance(due + 500);
  p.store.isDown = true;
  await world.clock.advance(10 * leaseMs);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  p.store.isDown = false;
  await world.clock.advance(2_000);
  t.match(await world.record(), { tokens: { refreshToken: 'login-1/2' } });
  t.strictSame(p.ends, ['refreshed']);
});

t.test("an operator's edit while it is dirty stays", async (t) => {
  const { world, p } = await loggedIn(t);
  const heal = breakTokens(p);
  await world.clock.advance(due + 5_000);
  await world.edit('ask Bob');
  heal();
  await world.clock.advance(5_000);
  t.match(await world.record(), {
    tokens: { refreshToken: 'login-1/2' },
    stored: { operator: { note: 'ask Bob' }, generation: 2 },
  });
});

t.test('a commit that was written though it failed is found by its writeId: one generation', async (t) => {
  const { world, p } = await loggedIn(t);
  let isFirst = true;
  p.store.before = (operation, record) => {
    if (operation !== 'commit' || record?.intent !== undefined || !isFirst) return;
    isFirst = false;
    p.store.fail('commit', 'after');
  };
  await world.clock.advance(due + 5_000);
  t.match(await world.record(), { stored: { generation: 2 }, tokens: { refreshToken: 'login-1/2' } });
  t.strictSame(p.dirty, [true, false]);
  t.strictSame(p.ends, ['refreshed']);
});

t.test('a logout while it is dirty wins: the token is dropped and ours is revoked', async (t) => {
  const { world, p } = await loggedIn(t);
  const heal = breakTokens(p);
  await world.clock.advance(due + 5_000);
  await world.logoutElsewhere();
  heal();
  await world.clock.advance(5_000);
  t.equal(p.refresher.authorization(), undefined);
  t.strictSame(world.provider.revoked, ['login-1/2']);
  t.strictSame(p.dirty, [true, false]);
  t.notOk(p.refresher.status().isDirty);
  t.equal(p.refresher.status().state, 'absent');
});

t.test('a login during a redeem is not pushed aside by the old grant’s token, durable or not', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  const login = tokenOf(p.refresher.authorization());
  const heal = breakTokens(p);
  await world.clock.advance(10_000);
  t.equal(tokenOf(p.refresher.authorization()), login);
  heal();
  await world.clock.advance(10_000);
  t.equal(tokenOf(p.refresher.authorization()), login);
  t.match((await world.record()).tokens, { refreshToken: 'login-2/1' });
  t.equal(p.refresher.status().state, 'fresh');
  await world.clock.advance(hour);
  t.equal(world.provider.redeems.at(-1), 'login-2/1', 'and its refresh comes when it is due');
});

t.test('a stop while it is dirty waits for the commit', async (t) => {
  const { world, p } = await loggedIn(t);
  const heal = breakTokens(p);
  await world.clock.advance(due + 5_000);
  const stopped = watch(p.stop());
  await world.clock.advance(4_000);
  t.equal(stopped.code, 'pending');
  heal();
  await world.clock.advance(1_000);
  t.equal(stopped.code, 'resolved');
  t.match((await world.record()).tokens, { refreshToken: 'login-1/2' });
});
