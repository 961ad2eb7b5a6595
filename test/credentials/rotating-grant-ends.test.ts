// How refreshes end: attempts and backoff, a dead grant that is remembered, no intent and no lease left behind, and a
// stop that finishes what was sent and begins nothing.
import t from 'tap';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { createWorld, due, hour, leaseMs, loggedIn, patient, tokenOf, type World, watch, withExpired } from './_rig.ts';

const day = 24 * hour;

async function isLeaseFree(world: World): Promise<boolean> {
  const taken = await world.store.lease('codex', 'somebody', leaseMs);
  if (!taken.held) await taken.lease.release();
  return !taken.held;
}

// --- attempts -----------------------------------------------------------------------------------------------------

t.test('failures that spent nothing are repeated after 1 s and 2 s, and no more than refresh.attempts', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_failing' };
  await world.clock.advance(due);
  const counts: number[] = [];
  for (const ms of [0, 999, 1, 1_999, 1, 60_000]) {
    await world.clock.advance(ms);
    counts.push(world.provider.calls);
  }
  t.strictSame(counts, [1, 1, 2, 2, 3, 3]);
  t.strictSame(p.ends, ['token_endpoint_failing']);
  t.equal(p.refresher.status().state, 'cooling');
});

t.test(
  'each call to the token endpoint is counted by its status, one that sent nothing for want of a lease is not',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push(
      { fails: 'lease_lost' },
      { fails: 'token_endpoint_unreachable' },
      { fails: 'token_endpoint_failing', details: { status: 502 } },
    );
    await world.clock.advance(due + 10_000);
    t.strictSame(p.requests, ['refresh_token network', 'refresh_token 5xx', 'refresh_token 2xx']);
  },
);

t.test('a provider that asks for a pause gets it: Retry-After between attempts', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'token_endpoint_limited', details: { retryAfterMs: 20_000 } });
  await world.clock.advance(due + 19_999);
  t.equal(world.provider.calls, 1);
  await world.clock.advance(1);
  t.equal(world.provider.calls, 2);
  t.strictSame(p.ends, ['refreshed']);
});

t.test('a Retry-After above backoff.max is a cooldown, capped by refresh.maxRetryAfter', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.lifeMs = day;
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  world.provider.steps.push({ fails: 'token_endpoint_limited', details: { retryAfterMs: 18 * day } });
  await world.clock.advance(day - 600_000);
  t.strictSame(p.ends, ['token_endpoint_limited']);
  t.equal(world.provider.calls, 1);
  const { coolingUntilMs = 0 } = p.refresher.status();
  t.equal(coolingUntilMs - world.clock.wallMs(), hour);
});

t.test(
  'before every further attempt the record is read: what another rotated during the backoff is adopted',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.always = { fails: 'token_endpoint_failing' };
    await world.clock.advance(due + 500);
    await world.loginElsewhere();
    await world.clock.advance(10_000);
    t.equal(world.provider.calls, 1);
    t.strictSame(p.ends, ['adopted']);
    t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  },
);

t.test('nothing was ever sent: reuse cannot come from it, and the refresh goes on later', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  await world.clock.advance(due + 400_000);
  t.strictSame(world.provider.redeems, []);
  world.provider.always = {};
  await world.clock.advance(300_000);
  t.equal(p.ends.at(-1), 'refreshed');
});

const ends: readonly ErrorCode[] = [
  'token_endpoint_unreachable',
  'token_endpoint_failing',
  'token_endpoint_limited',
  'token_endpoint_no_answer',
  'token_endpoint_malformed',
  'token_endpoint_refused',
  'client_rejected',
  'region_unsupported',
  'grant_rejected',
  'internal_error',
];
for (const code of ends) {
  t.test(`a refresh that ends with ${code} leaves no intent and no lease behind`, async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.always = { fails: code };
    await world.clock.advance(due + 10_000);
    t.strictSame(p.ends, [code === 'grant_rejected' ? 'grant_rejected' : code]);
    t.equal((await world.record()).stored?.intent, undefined);
    t.ok(await isLeaseFree(world));
    t.equal(p.refresher.status().state, code.startsWith('grant_') ? 'dead' : 'cooling');
    t.equal(tokenOf(p.refresher.authorization()), 'access-1', 'the valid token goes on');
  });
}

t.test('neither does one that ends because the store failed in the middle', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'token_endpoint_failing' });
  await world.clock.advance(due + 500);
  p.store.fail('read', 'before');
  await world.clock.advance(1_000);
  t.strictSame(p.ends, ['store_unavailable']);
  t.equal((await world.record()).stored?.intent, undefined);
  t.ok(await isLeaseFree(world));
});

t.test('nor one whose intent was written though the store said that it failed', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.fail('commit', 'after');
  await world.clock.advance(due);
  t.strictSame(p.ends, ['store_write_failed']);
  t.equal(world.provider.calls, 0);
  t.equal((await world.record()).stored?.intent, undefined);
});

// --- dead ---------------------------------------------------------------------------------------------------------

t.test('dead is remembered by fingerprint: no call again, not after days, not after a restart', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'grant_reused' });
  await world.clock.advance(due);
  t.strictSame(p.ends, ['grant_reused']);
  const record = await world.record();
  t.match(record.stored, {
    dead: { code: 'grant_reused', fingerprint: world.records.fingerprintOf(record, 'login-1/1') },
    generation: 1,
  });
  await world.clock.advance(3 * day);
  const asked = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(asked.code, 'grant_reused');
  t.equal(asked.retryAfterMs, undefined);
  await p.stop();
  const next = await world.started();
  t.equal(next.refresher.status().state, 'dead');
  t.equal(next.refresher.status().lastError?.code, 'grant_reused');
  t.strictSame(next.failures, ['grant_reused'], 'a log that begins with this process tells it, too');
  const again = watch(next.refresher.wait(patient));
  await world.clock.advance(3 * day);
  t.equal(again.code, 'grant_reused');
  t.equal(world.provider.calls, 1);
});

t.test('where no login can be had, status, answers and events all name what helps instead', async (t) => {
  const insteadOfLogin = 'Set listen.oauth.';
  const { world, p } = await loggedIn(t, { insteadOfLogin });
  world.provider.steps.push({ fails: 'grant_revoked' });
  await world.clock.advance(due + hour);
  t.equal(p.refresher.status().lastError?.next, insteadOfLogin);
  await t.rejects(p.refresher.wait(patient), { code: 'grant_revoked', next: insteadOfLogin });
  const [end] = p.observed.flatMap((event) => (event.type === 'ended' ? [event.end] : []));
  t.match(end?.error, { code: 'grant_revoked', next: insteadOfLogin });
});

t.test('after a restart a dead grant’s valid token serves on', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'grant_revoked' });
  await world.clock.advance(due);
  await p.stop();
  const next = await world.started();
  t.equal(tokenOf(next.refresher.authorization()), 'access-1');
  t.equal(next.refresher.status().state, 'dead');
});

t.test('a login ends it, here and in the other replicas', async (t) => {
  const { world, p } = await loggedIn(t);
  const other = await world.started();
  world.provider.always = { fails: 'grant_revoked' };
  await world.clock.advance(due + 10_000);
  t.strictSame(
    [p, other].map(({ refresher }) => refresher.status().state),
    ['dead', 'dead'],
  );
  t.equal(world.provider.calls, 1, 'the other replica learnt it from the record');
  world.provider.always = {};
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  await world.clock.advance(0);
  t.strictSame(
    [p, other].map(({ refresher }) => refresher.status().state),
    ['fresh', 'fresh'],
  );
  t.equal((await world.record()).stored?.dead, undefined);
  await world.clock.advance(due + 10_000);
  t.ok(p.refresher.status().usable && other.refresher.status().usable);
});

t.test('a death whose fingerprint is not the stored token’s is ignored', async (t) => {
  const { world, p } = await loggedIn(t);
  await p.stop();
  const base = await world.record();
  await world.records.commit(
    world.records.prepare(base, { dead: { fingerprint: 'of another', code: 'grant_reused', at: 0 } }),
  );
  const next = await world.started();
  t.equal(next.refresher.status().state, 'fresh');
  await world.clock.advance(due);
  t.strictSame(next.ends, ['refreshed']);
});

t.test("an operator's edit between the provider's no and its record stays", async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'grant_reused' });
  p.store.before = async (operation, record) => {
    if (operation === 'commit' && record?.dead !== undefined && p.store.commits.length === 2)
      await world.edit('ask Bob');
  };
  await world.clock.advance(due);
  t.match((await world.record()).stored, { dead: { code: 'grant_reused' }, operator: { note: 'ask Bob' } });
});

t.test('a login between the provider’s no and its record: the login is current, nothing is dead', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'grant_reused' });
  p.store.before = async (operation, record) => {
    if (operation === 'commit' && record?.dead !== undefined && p.store.commits.length === 2)
      await world.loginElsewhere();
  };
  await world.clock.advance(due);
  t.equal((await world.record()).stored?.dead, undefined);
  t.equal(p.refresher.status().state, 'fresh');
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
});

t.test(
  'who waits when the grant turns out dead is served by a newer token that stands in the same record',
  async (t) => {
    const { world, p } = await withExpired(t, { canWatch: false });
    await world.loginElsewhere();
    const base = await world.record();
    const fingerprint = world.records.fingerprintOf(base, base.tokens?.refreshToken) ?? '';
    await world.records.commit(world.records.prepare(base, { dead: { fingerprint, code: 'grant_revoked', at: 0 } }));
    const waiting = watch(p.refresher.wait(patient));
    await world.clock.advance(0);
    t.equal(tokenOf(waiting.value), 'access-2');
    t.strictSame(p.ends, ['grant_revoked']);
    t.equal(world.provider.calls, 0);
  },
);

t.test('who waits when a login replaces the grant that is dying is served by the login', async (t) => {
  const { world, p } = await withExpired(t, { canWatch: false });
  world.provider.steps.push({ fails: 'grant_reused' });
  p.store.before = async (operation, record) => {
    if (operation === 'commit' && record?.dead !== undefined && p.store.commits.length === 2)
      await world.loginElsewhere();
  };
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(tokenOf(waiting.value), 'access-2');
  t.equal(p.refresher.status().state, 'fresh');
});

t.test('a death that cannot be written is a death all the same: this process does not ask again', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'grant_reused' };
  p.store.before = (operation, record) => {
    if (operation === 'commit' && record?.dead !== undefined) p.store.fail('commit', 'before');
  };
  await world.clock.advance(due);
  t.equal(p.refresher.status().state, 'dead');
  t.ok(p.failures.includes('store_write_failed'));
  await world.edit('anything');
  await world.clock.advance(day);
  t.equal(world.provider.calls, 1);
});

// --- stop ---------------------------------------------------------------------------------------------------------

t.test('stop: a redeem that was sent is finished and committed; nothing is left behind', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  const stopped = watch(p.stop());
  await world.clock.advance(3_999);
  t.equal(stopped.code, 'pending');
  await world.clock.advance(1);
  t.equal(stopped.code, 'resolved');
  t.match((await world.record()).tokens, { refreshToken: 'login-1/2' });
  t.equal((await world.record()).stored?.intent, undefined);
  t.ok(await isLeaseFree(world));
});

t.test(
  'stop: nothing is sent after it, not even on a connection that stands; no intent and no lease stay',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.connectMs = 2_000;
    await world.clock.advance(due + 1_000);
    const stopped = watch(p.stop());
    await world.clock.advance(2_000);
    t.equal(stopped.code, 'resolved');
    t.strictSame(world.provider.redeems, []);
    t.equal((await world.record()).stored?.intent, undefined);
    t.ok(await isLeaseFree(world));
  },
);

t.test('stop: in the backoff no further attempt begins', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_failing' };
  await world.clock.advance(due + 500);
  const stopped = watch(p.stop());
  await world.clock.advance(day);
  t.equal(stopped.code, 'resolved');
  t.equal(world.provider.calls, 1);
  t.equal((await world.record()).stored?.intent, undefined);
});

t.test('stop: who waits for another’s lease or intent waits no longer', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 8_000;
  await world.clock.advance(due + 1_000);
  const other = await world.started();
  await world.clock.advance(1_000);
  const stopped = watch(other.stop());
  await world.clock.advance(0);
  t.equal(stopped.code, 'resolved');
  p.kill();
  const third = await world.started();
  await world.clock.advance(leaseMs + 5_000);
  const stoppedToo = watch(third.stop());
  await world.clock.advance(0);
  t.equal(stoppedToo.code, 'resolved');
  t.equal(world.provider.calls, 1);
});

t.test('stop: no refresh begins afterwards, and whoever still asks is told', async (t) => {
  const { world, p } = await loggedIn(t);
  await p.stop();
  await world.clock.advance(2 * hour);
  const asked = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(asked.code, 'access_token_expired');
  t.ok((asked.retryAfterMs ?? 0) >= 1_000);
  t.equal(world.provider.calls, 0);
});

// --- logins -------------------------------------------------------------------------------------------------------

t.test(
  'a login of the same account updates in place: seed and operator’s fields stay, death and intent go',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    await world.loginElsewhere();
    await world.edit('ask Bob');
    const base = await world.record();
    await world.records.commit(
      world.records.prepare(base, {
        seed: { fingerprint: 's' },
        intent: { fingerprint: 'f', owner: 'o', since: 0 },
        dead: { fingerprint: 'f', code: 'grant_reused', at: 0 },
      }),
    );
    const p = await world.started();
    await p.refresher.accept(world.provider.login(), { replaceAccount: false });
    const { stored, tokens } = await world.record();
    t.match(stored, { generation: 2, seed: { fingerprint: 's' }, operator: { note: 'ask Bob' } });
    t.notOk(stored?.intent ?? stored?.dead);
    t.match(tokens, { refreshToken: 'login-2/1' });
    t.strictSame(world.provider.revoked, [], 'the superseded one is forgotten, not revoked');
  },
);

t.test('a login of another account, or of an unknown one, asks first: account_differs', async (t) => {
  const { world, p } = await loggedIn(t);
  const bob = { issuer: 'https://idp.example', id: 'bob', userId: 'bob' };
  await t.rejects(p.refresher.accept(world.provider.login(bob), { replaceAccount: false }), {
    code: 'account_differs',
  });
  const { account: _, ...unknown } = world.provider.login();
  await t.rejects(p.refresher.accept(unknown, { replaceAccount: false }), { code: 'account_differs' });
  t.match((await world.record()).tokens, { refreshToken: 'login-1/1' });
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  await p.refresher.accept(world.provider.login(bob), { replaceAccount: true });
  t.match((await world.record()).stored, { account: { id: 'bob' } });
});

t.test('a login that cannot be stored is not used', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.isDown = true;
  await t.rejects(p.refresher.accept(world.provider.login(), { replaceAccount: false }), { code: 'store_unavailable' });
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
});

t.test('revokeSuperseded: the replaced refresh token is revoked after the new one is durable', async (t) => {
  const { world, p } = await loggedIn(t, { revokeSuperseded: true });
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  t.strictSame(world.provider.revoked, ['login-1/1']);
});
