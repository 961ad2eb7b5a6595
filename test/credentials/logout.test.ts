// Logging out: whatever else is at work, no token is left behind, here, in the store, in another replica or at the
// provider, and what could not be revoked is told.
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  createWorld,
  due,
  hour,
  leaseMs,
  loggedIn,
  type Process,
  type ProcessOptions,
  patient,
  timeoutMs,
  tokenOf,
  type World,
  watch,
  withExpired,
} from './_rig.ts';

async function two(t: Test, options: ProcessOptions = {}): Promise<{ world: World; a: Process; b: Process }> {
  const { world, p } = await loggedIn(t, options);
  return { world, a: p, b: await world.started(options) };
}

async function assertTombstone(t: Test, world: World, generation: number): Promise<void> {
  const { stored, tokens } = await world.record();
  t.match(stored, { generation, sealed: undefined, account: undefined, intent: undefined, dead: undefined });
  t.equal(tokens, undefined);
}

t.test('a logout revokes, leaves a tombstone, drops the token and lets the lease go', async (t) => {
  const { world, p } = await loggedIn(t);
  t.strictSame(await p.refresher.logout(), { outcome: 'revoked' });
  t.strictSame(world.provider.revoked, ['login-1/1']);
  await assertTombstone(t, world, 2);
  t.equal(p.refresher.authorization(), undefined);
  t.equal(p.cache.get('codex'), undefined);
  t.match(p.refresher.status(), { state: 'absent', usable: false, account: undefined });
  await t.rejects(p.refresher.wait(patient), { code: 'grant_absent' });
  t.match(await world.store.lease('codex', 'somebody else', leaseMs), { held: false });
  await world.clock.advance(2 * hour);
  t.equal(world.provider.calls, 0);
});

t.test('the tokens are deleted after they were revoked, and not while they were being', async (t) => {
  const { world, p } = await loggedIn(t);
  const seen: string[][] = [];
  p.store.before = (operation) => {
    if (operation === 'commit') seen.push([...world.provider.revoked]);
  };
  await p.refresher.logout();
  t.strictSame(seen, [['login-1/1']]);
});

t.test('another process drops its token as soon as it sees the tombstone, and never asks the provider', async (t) => {
  const { world, a, b } = await two(t);
  await a.refresher.logout();
  await world.clock.advance(0);
  t.equal(b.refresher.authorization(), undefined);
  t.equal(b.cache.get('codex'), undefined);
  t.equal(b.refresher.status().state, 'absent');
  await world.clock.advance(2 * hour);
  t.equal(world.provider.calls, 0);
});

t.test('what could not be revoked is `revocation_failed` with its cause, and is deleted all the same', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.failsRevocation = 'token_endpoint_unreachable';
  const revocation = await p.refresher.logout();
  t.match(revocation, {
    outcome: 'failed',
    error: { code: 'revocation_failed', details: { reason: /cannot be reached/ } },
  });
  t.strictSame(p.failures, ['revocation_failed']);
  await assertTombstone(t, world, 2);
  t.equal(p.refresher.authorization(), undefined);
});

t.test('a second logout finds nothing: nothing is written, nothing is sent', async (t) => {
  const { world, p } = await loggedIn(t);
  await p.refresher.logout();
  const { version } = await world.record();
  t.strictSame(await p.refresher.logout(), { outcome: 'unneeded' });
  t.equal((await world.record()).version, version);
  t.equal(world.provider.revoked.length, 1);
});

t.test('two who log out at once share one logout', async (t) => {
  const { world, p } = await loggedIn(t);
  const [first, second] = await Promise.all([p.refresher.logout(), p.refresher.logout()]);
  t.strictSame([first, second], [{ outcome: 'revoked' }, { outcome: 'revoked' }]);
  t.strictSame(world.provider.revoked, ['login-1/1']);
});

t.test('a redeem in flight here ends first, and it is its tokens that are revoked', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  t.equal(world.provider.inFlight, 1);
  const logout = watch(p.refresher.logout());
  await world.clock.advance(1_000);
  t.equal(logout.code, 'pending');
  t.strictSame(world.provider.revoked, []);
  await world.clock.advance(3_000);
  t.equal(logout.code, 'resolved');
  t.strictSame(world.provider.revoked, ['login-1/2']);
  await assertTombstone(t, world, 3);
  t.equal(p.refresher.authorization(), undefined);
});

t.test('a refresh that is backing off here begins no further attempt once a logout wants to begin', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_failing' };
  await world.clock.advance(due + 500);
  t.equal(world.provider.calls, 1);
  const asked = watch(p.refresher.refresh());
  t.match(await p.refresher.logout(), { outcome: 'revoked' });
  await world.clock.advance(0);
  t.equal(asked.code, 'refresh_superseded', 'whoever waits for that refresh is told');
  t.equal(world.provider.calls, 1);
  await assertTombstone(t, world, 2);
});

t.test('requests that come or wait during a logout get 503 `grant_absent` when it ends', async (t) => {
  const { world, p } = await loggedIn(t);
  await world.clock.advance(due);
  world.provider.answerMs = 5_000;
  world.clock.jumpWall(hour);
  const before = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  const logout = watch(p.refresher.logout());
  const meanwhile = watch(p.refresher.wait(patient));
  await world.clock.advance(5_000);
  t.equal(logout.code, 'resolved');
  t.equal(meanwhile.code, before.code);
  t.equal(p.refresher.status().waiting, 0);
  await t.rejects(p.refresher.wait(patient), { code: 'grant_absent' });
});

t.test('a redeem in flight in another process is waited for under its lease', async (t) => {
  const { world, a, b } = await two(t, { random: () => 0.5 });
  world.provider.answerMs = 4_000;
  const asked = watch(b.refresher.refresh());
  await world.clock.advance(1_000);
  t.equal(world.provider.inFlight, 1);
  const logout = watch(a.refresher.logout());
  await world.clock.advance(2_000);
  t.equal(logout.code, 'pending');
  await world.clock.advance(2_000);
  t.strictSame([logout.code, asked.value], ['resolved', 'refreshed']);
  t.strictSame(world.provider.revoked, ['login-1/2']);
  await assertTombstone(t, world, 3);
  await world.clock.advance(0);
  t.equal(b.refresher.authorization(), undefined);
  t.equal(b.refresher.status().state, 'absent');
});

t.test('a holder that was frozen after its redeem comes back: `refresh_superseded`, it revokes its own', async (t) => {
  const { world, a, b } = await two(t);
  world.provider.answerMs = 1_000;
  const asked = watch(b.refresher.refresh());
  await world.clock.advance(500);
  b.freeze();
  await world.clock.advance(1_000);
  const logout = watch(a.refresher.logout());
  await world.clock.advance(2 * leaseMs);
  t.equal(logout.code, 'resolved', 'its lease went stale');
  await assertTombstone(t, world, 2);
  b.thaw();
  await world.clock.advance(1_000);
  t.ok(b.failures.includes('refresh_superseded'));
  t.equal(asked.code, 'grant_absent');
  t.strictSame(world.provider.revoked, ['login-1/1', 'login-1/2']);
  await assertTombstone(t, world, 2);
  t.equal(b.refresher.authorization(), undefined);
});

t.test('a holder that never lets the lease go is not waited for longer than a redeem can take', async (t) => {
  const { world, a, b } = await two(t);
  const asked = watch(b.refresher.refresh());
  b.store.before = (operation, record) => {
    const isAnswer = operation === 'commit' && record?.intent === undefined;
    b.store.isDown = isAnswer;
  };
  await world.clock.advance(1_000);
  t.ok(b.refresher.status().isDirty);
  const logout = watch(a.refresher.logout());
  await world.clock.advance(timeoutMs + leaseMs - 1_000);
  t.equal(logout.code, 'pending');
  t.equal(tokenOf(b.refresher.authorization()), 'access-2');
  await world.clock.advance(2_000);
  t.equal(logout.code, 'resolved');
  await assertTombstone(t, world, 2);
  await world.clock.advance(0);
  t.equal(b.refresher.authorization(), undefined, 'the tombstone counts at once, though the token is not durable yet');
  t.equal(asked.code, 'pending');
  b.store.before = undefined;
  b.store.isDown = false;
  await world.clock.advance(1_000);
  t.equal(asked.code, 'grant_absent');
  t.strictSame(world.provider.revoked, ['login-1/1', 'login-1/2']);
  t.equal(b.refresher.authorization(), undefined);
});

t.test('a token here that cannot be written yet: 500 `store_write_failed`, and nothing was revoked', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.before = (operation, record) => {
    p.store.isDown = operation === 'commit' && record?.intent === undefined;
  };
  await world.clock.advance(due + 1_000);
  t.ok(p.refresher.status().isDirty);
  const logout = watch(p.refresher.logout());
  await world.clock.advance(timeoutMs + leaseMs);
  t.equal(logout.code, 'store_write_failed');
  t.strictSame(world.provider.revoked, []);
  t.ok(p.refresher.status().usable, 'it serves on');
  p.store.before = undefined;
  await world.clock.advance(2_000);
  t.strictSame(p.ends, ['refreshed']);
  t.match(await p.refresher.logout(), { outcome: 'revoked' });
});

t.test('a store that is down: 503 `store_unavailable`, the token serves on and the schedule goes on', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.isDown = true;
  await t.rejects(p.refresher.logout(), { code: 'store_unavailable' });
  t.ok(p.refresher.status().usable);
  p.store.isDown = false;
  await world.clock.advance(due + 1_000);
  t.strictSame(p.ends, ['refreshed']);
});

t.test('a write between the reading and the tombstone: what was written is revoked and deleted, too', async (t) => {
  const { world, p } = await loggedIn(t);
  let isFirst = true;
  p.store.before = async (operation) => {
    if (operation !== 'commit' || !isFirst) return;
    isFirst = false;
    await world.loginElsewhere();
  };
  t.match(await p.refresher.logout(), { outcome: 'revoked' });
  t.strictSame(world.provider.revoked, ['login-1/1', 'login-2/1']);
  await assertTombstone(t, world, 3);
});

t.test("an operator's note stays in the tombstone", async (t) => {
  const { world, p } = await loggedIn(t);
  await world.edit('mine');
  await p.refresher.logout();
  t.equal((await world.record()).stored?.operator.note, 'mine');
});

t.test('a login here after the logout is kept, one that comes during it is logged out with the rest', async (t) => {
  const { world, p } = await loggedIn(t);
  let during: Promise<void> | undefined;
  p.store.before = async (operation) => {
    if (operation !== 'commit' || during !== undefined) return;
    during = p.refresher.accept(world.provider.login(), { replaceAccount: false });
    await nextTurn();
  };
  await p.refresher.logout();
  await during;
  await world.clock.advance(0);
  t.equal((await world.record()).tokens, undefined);
  t.equal(p.refresher.authorization(), undefined);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'access-3');
});

t.test('a login here between the tombstone and the end of the logout is kept', async (t) => {
  const { world, p } = await loggedIn(t, { canWatch: false });
  p.store.before = async (operation) => {
    if (operation === 'release') await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  };
  await p.refresher.logout();
  await world.clock.advance(0);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
});

t.test('no refresh begins during a logout, by whatever it is asked for', async (t) => {
  const { world, p } = await withExpired(t);
  let request = watch(Promise.resolve(undefined as unknown));
  p.store.before = async (operation) => {
    if (operation !== 'commit') return;
    p.store.before = undefined;
    p.refresher.due();
    request = watch(p.refresher.wait(patient));
    for (let turn = 0; turn < 50; turn += 1) await nextTurn();
  };
  await p.refresher.logout();
  await world.clock.advance(0);
  t.equal(world.provider.calls, 0);
  t.equal(request.code, 'grant_absent');
});

t.test('another account may log in after a logout, without a question', async (t) => {
  const { world, p } = await loggedIn(t);
  await p.refresher.logout();
  await p.refresher.accept(world.provider.login({ issuer: 'https://idp.example', id: 'bob' }), {
    replaceAccount: false,
  });
  t.equal(p.refresher.status().account?.id, 'bob');
});

t.test('a seed that was used does not begin anew after a logout; a changed one does', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed-1');
  world.provider.plant('seed-2');
  const p = await world.started({ seed: 'seed-1' });
  t.ok(p.refresher.status().usable);
  await p.refresher.logout();
  t.strictSame(world.provider.revoked, ['seed-1/1']);
  p.kill();
  const again = await world.started({ seed: 'seed-1' });
  t.equal(again.refresher.status().state, 'absent');
  again.kill();
  const changed = await world.started({ seed: 'seed-2' });
  t.ok(changed.refresher.status().usable);
});

t.test('a seed that was never redeemed is revoked, and does not begin after the logout', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed-1');
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  const p = world.process({ seed: 'seed-1' });
  await p.refresher.load();
  t.match(await p.refresher.logout(), { outcome: 'revoked' });
  t.strictSame(world.provider.revoked, ['seed-1']);
  world.provider.always = {};
  await p.refresher.start();
  await world.clock.advance(hour);
  t.equal(p.refresher.status().state, 'absent');
  t.strictSame(world.provider.redeems, []);
});

t.test('a dead grant and a held one can be logged out', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push({ losesAnswer: true });
  await world.clock.advance(due + timeoutMs + 1_000);
  t.equal(p.refresher.status().lastError?.code, 'refresh_held');
  t.match(await p.refresher.logout(), { outcome: 'revoked' });
  await assertTombstone(t, world, 2);

  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  world.provider.steps.push({ fails: 'grant_revoked' });
  await t.rejects(p.refresher.refresh(), { code: 'grant_revoked' });
  t.match(await p.refresher.logout(), { outcome: 'revoked' });
  t.equal(p.refresher.status().state, 'absent');
});

t.test('a record that is bound elsewhere is deleted, and its token is not sent anywhere', async (t) => {
  const { world, p } = await loggedIn(t, { bound: { issuer: 'https://other.example', clientId: 'client' } });
  t.equal(p.refresher.status().state, 'dead');
  t.strictSame(await p.refresher.logout(), { outcome: 'unneeded' });
  t.strictSame(world.provider.revoked, []);
  await assertTombstone(t, world, 2);
});

t.test('a stop waits for a logout that is at work, and begins none', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.delayMs = 100;
  const logout = watch(p.refresher.logout());
  const stopped = watch(p.stop());
  await world.clock.advance(1_000);
  t.strictSame([logout.code, stopped.code], ['resolved', 'resolved']);
  await t.rejects(p.refresher.logout(), { code: 'sidecar_stopping' });
});

t.test('whenever a logout comes among redeems, freezes and outages, no token is left anywhere', async () => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 15_000 }),
    what: fc.constantFrom('refresh', 'freeze', 'thaw', 'cut', 'mend', 'lose'),
    who: fc.integer({ min: 0, max: 2 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), fc.nat(7), fc.nat(4_000), async (steps, logoutAt, answerMs) => {
      const world = createWorld();
      try {
        world.provider.answerMs = answerMs;
        await world.loginElsewhere();
        const processes = [await world.started(), await world.started({ canWatch: false }), await world.started()];
        // The one that logs out is never disturbed: what it is told must be true.
        const own = await world.started();
        const frozen = new Set<Process>();
        let logout: ReturnType<typeof watch<unknown>> | undefined;
        for (const [index, { waitMs, what, who }] of [...steps, { waitMs: 0, what: 'mend', who: 0 }].entries()) {
          if (index === Math.min(logoutAt, steps.length)) logout = watch(own.refresher.logout());
          const p = processes[who];
          if (p === undefined) continue;
          if (what === 'refresh') void p.refresher.refresh().catch(() => undefined);
          if (what === 'freeze' && !frozen.has(p)) p.freeze();
          if (what === 'thaw') p.thaw();
          if (what === 'freeze') frozen.add(p);
          if (what === 'thaw') frozen.delete(p);
          if (what === 'cut' || what === 'mend') p.store.isDown = what === 'cut';
          if (what === 'lose') world.provider.steps.push({ losesAnswer: true });
          await world.clock.advance(waitMs);
        }
        for (const p of processes) {
          p.thaw();
          p.store.isDown = false;
        }
        // Beyond every pause that a store which was down may have begun.
        await world.clock.advance(10 * 60_000);
        if (logout?.code !== 'resolved') throw new Error(`the logout is ${logout?.code}`);
        if ((await world.record()).tokens !== undefined) throw new Error('tokens are stored');
        for (const p of [...processes, own]) {
          if (p.refresher.authorization() !== undefined) throw new Error('a process has a token');
          if (p.refresher.status().state !== 'absent') throw new Error(p.refresher.status().state);
        }
        const living = world.provider.issued.filter((token) => world.provider.isAlive(token));
        if (living.length > 0) throw new Error(`alive at the provider: ${living.join(' ')}`);
      } finally {
        await world.end();
      }
    }),
    { numRuns: 150 },
  );
});
