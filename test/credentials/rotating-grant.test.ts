// One refresh of a rotating grant, step by step, with faults between the steps.
import t from 'tap';
import type { StoredRecord } from '../../src/stores/store.ts';
import { createWorld, due, hour, leaseMs, loggedIn, type Process, patient, tokenOf, waitMs, watch } from './_rig.ts';

const isIntent = (record: StoredRecord | undefined): boolean => record?.intent !== undefined;

/** Runs `act` once, just before the commit of the new tokens reaches the store. */
function beforeTokens(p: Process, act: () => Promise<void>, times = 1): void {
  let left = times;
  p.store.before = async (operation, record) => {
    if (operation !== 'commit' || isIntent(record) || left === 0) return;
    left -= 1;
    await act();
  };
}

t.test('lease, read, intent, redeem, commit, release: in this order, and published last', async (t) => {
  const { world, p } = await loggedIn(t);
  const old = tokenOf(p.refresher.authorization());
  p.store.log.length = 0;
  const steps: string[] = [];
  p.store.before = (operation, record) => {
    steps.push(operation === 'commit' ? (isIntent(record) ? 'intent' : 'tokens') : operation);
    if (operation === 'commit' && isIntent(record)) t.equal(world.provider.redeems.length, 0, 'nothing is spent yet');
    if (operation === 'commit' && !isIntent(record)) t.equal(world.provider.redeems.length, 1);
    if (steps.length <= 5) t.equal(tokenOf(p.refresher.authorization()), operation === 'release' ? 'access-2' : old);
  };
  await world.clock.advance(due);
  t.strictSame(steps.slice(0, 5), ['lease', 'read', 'intent', 'tokens', 'release']);
  t.strictSame(p.ends, ['refreshed']);
  const record = await world.record();
  t.match(record, { tokens: { refreshToken: 'login-1/2', accessToken: 'access-2' }, stored: { generation: 2 } });
  t.notOk(isIntent(record.stored));
  t.strictSame(p.store.commits[0]?.intent?.fingerprint, world.records.fingerprintOf(record, 'login-1/1'));
});

t.test('the lease is renewed while it is needed, and never after it was given up', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 10_000;
  await world.clock.advance(due + 9_999);
  t.equal(p.store.log.filter((operation) => operation === 'renew').length, 3, 'every third of its life');
  await world.clock.advance(60_000);
  t.equal(p.store.log.filter((operation) => operation === 'renew').length, 3);
  t.equal(p.store.log.filter((operation) => operation === 'release').length, 1);
});

t.test('a store that cannot be written is found out before anything is spent', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.fail('commit', 'before', 1_000);
  await world.clock.advance(due);
  t.strictSame(p.ends, ['store_write_failed']);
  t.equal(world.provider.calls, 0);
  t.equal(p.refresher.status().state, 'cooling');
  t.equal(tokenOf(p.refresher.authorization()), 'access-1', 'the token in hand goes on');
  t.equal((await world.store.lease('codex', 'another', 9_000)).held, false, 'the lease was given up');
});

t.test('a store that cannot be reached costs no redeem, and the refresh comes once it is back', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.isDown = true;
  await world.clock.advance(due + waitMs);
  t.strictSame(p.ends, ['store_unavailable']);
  t.equal(world.provider.calls, 0);
  p.store.isDown = false;
  await world.clock.advance(300_000);
  t.strictSame(p.ends, ['store_unavailable', 'refreshed']);
  t.equal(world.provider.redeems.length, 1);
});

t.test('a store that is back before a request stops waiting for a token costs no refresh', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.isDown = true;
  await world.clock.advance(due + waitMs - 1_000);
  t.strictSame(p.ends, []);
  p.store.isDown = false;
  await world.clock.advance(1_000);
  t.strictSame(p.ends, ['refreshed']);
  t.equal(world.provider.redeems.length, 1);

  p.store.isDown = true;
  await world.clock.advance(due + waitMs + 1_000);
  t.strictSame(p.ends, ['refreshed', 'store_unavailable'], 'no longer than that');
});

t.test(
  "a conflict after the redeem puts the tokens on the record as it stands: the operator's edits stay",
  async (t) => {
    const { world, p } = await loggedIn(t);
    beforeTokens(p, () => world.edit('ask Bob'), 3);
    await world.clock.advance(due);
    const record = await world.record();
    t.match(record, {
      tokens: { refreshToken: 'login-1/2', accessToken: 'access-2' },
      stored: { operator: { note: 'ask Bob' }, generation: 2 },
    });
    t.notOk(isIntent(record.stored));
    t.strictSame(p.ends, ['refreshed']);
    t.equal(world.provider.redeems.length, 1, 'nothing was redeemed twice');
    t.strictSame(world.provider.revoked, []);
  },
);

t.test('a conflict before the redeem reads again and announces again', async (t) => {
  const { world, p } = await loggedIn(t);
  let isFirst = true;
  p.store.before = async (operation) => {
    if (operation !== 'commit' || !isFirst) return;
    isFirst = false;
    await world.edit('ask Bob');
  };
  await world.clock.advance(due);
  t.match(await world.record(), { tokens: { refreshToken: 'login-1/2' }, stored: { operator: { note: 'ask Bob' } } });
  t.equal(world.provider.redeems.length, 1);
});

t.test('a login that came during the redeem is kept, ours is forgotten: refresh_superseded', async (t) => {
  const { world, p } = await loggedIn(t);
  beforeTokens(p, () => world.loginElsewhere());
  await world.clock.advance(due);
  t.match(await world.record(), { tokens: { refreshToken: 'login-2/1' } });
  t.strictSame(world.provider.revoked, [], 'revoking ours could take the newer grant with it');
  t.ok(p.failures.includes('refresh_superseded'));
  t.strictSame(p.ends, ['superseded']);
  t.equal(
    tokenOf(p.refresher.authorization()),
    tokenOf({ rawHeaders: ['', `Bearer ${(await world.record()).tokens?.accessToken}`] }),
  );
  t.equal(p.refresher.status().state, 'fresh');
});

t.test('a logout that came during the redeem is kept: ours is revoked, the tombstone has no tokens', async (t) => {
  const { world, p } = await loggedIn(t);
  beforeTokens(p, () => world.logoutElsewhere());
  await world.clock.advance(due);
  const record = await world.record();
  t.match(record.stored, { generation: 2 });
  t.notOk('sealed' in (record.stored ?? {}));
  t.strictSame(world.provider.revoked, ['login-1/2']);
  t.ok(p.failures.includes('refresh_superseded'));
  t.equal(p.refresher.status().state, 'absent');
  t.equal(p.refresher.authorization(), undefined);
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(hour);
  t.equal(waiting.code, 'grant_absent');
  t.equal(world.provider.calls, 1);
});

t.test('a commit whose reply was lost has won, an edit on top of it included', async (t) => {
  const { world, p } = await loggedIn(t);
  let isFirst = true;
  p.store.before = (operation, record) => {
    if (operation !== 'commit' || isIntent(record) || !isFirst) return;
    isFirst = false;
    p.store.fail('commit', 'after');
    world.clock.after(10, () => void world.edit('ask Bob'));
  };
  await world.clock.advance(due + 10_000);
  t.match(await world.record(), {
    tokens: { refreshToken: 'login-1/2' },
    stored: { generation: 2, operator: { note: 'ask Bob' } },
  });
  t.strictSame(p.ends, ['refreshed']);
  t.strictSame(p.dirty, [true, false]);
  t.equal(world.provider.redeems.length, 1);
});

t.test(
  'a provider that does not rotate: its refresh token stays, and conflicts are settled all the same',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.rotates = false;
    beforeTokens(p, () => world.edit('ask Bob'));
    await world.clock.advance(due);
    t.match(await world.record(), {
      tokens: { refreshToken: 'login-1/1', accessToken: 'access-2' },
      stored: { operator: { note: 'ask Bob' }, generation: 2 },
    });
    p.store.before = undefined;
    await world.clock.advance(due);
    t.match(await world.record(), { tokens: { refreshToken: 'login-1/1', accessToken: 'access-3' } });
    t.strictSame(world.provider.redeems, ['login-1/1', 'login-1/1']);
    t.strictSame(p.ends, ['refreshed', 'refreshed']);
  },
);

t.test(
  'where the stored refresh token is ours already, the commit has won, whatever else stands beside it',
  async (t) => {
    const { world, p } = await loggedIn(t);
    let isFirst = true;
    p.store.before = (operation, record) => {
      if (operation !== 'commit' || isIntent(record) || !isFirst) return;
      isFirst = false;
      p.store.fail('commit', 'after');
      world.clock.after(10, async () => {
        const base = await world.record();
        if (base.tokens === undefined) return;
        await world.records.commit(world.records.prepare(base, { tokens: { ...base.tokens, accessToken: 'newer' } }));
      });
    };
    await world.clock.advance(due + 10_000);
    t.strictSame(p.ends, ['refreshed']);
    t.notOk(p.failures.includes('refresh_superseded'));
    t.equal(tokenOf(p.refresher.authorization()), 'newer');
  },
);

t.test('a lost reply at a provider that does not rotate is one new generation, not two', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.rotates = false;
  let isFirst = true;
  p.store.before = (operation, record) => {
    if (operation !== 'commit' || isIntent(record) || !isFirst) return;
    isFirst = false;
    p.store.fail('commit', 'after');
    world.clock.after(10, () => void world.edit('ask Bob'));
  };
  await world.clock.advance(due + 10_000);
  t.match((await world.record()).stored, { generation: 2 });
});

t.test('a refresh token without a usable access token is committed all the same', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ withoutAccessToken: true });
  await world.clock.advance(due);
  t.match(await world.record(), { tokens: { refreshToken: 'login-1/2', accessToken: 'access-1' } });
  t.strictSame(p.ends, ['access_token_malformed']);
  t.ok(p.failures.includes('access_token_malformed'), 'the oddity is a warning with its code');
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  await world.clock.advance(300_000);
  t.strictSame(world.provider.redeems, ['login-1/1', 'login-1/2']);
  t.strictSame(p.ends, ['access_token_malformed', 'refreshed']);
});

t.test(
  'a login without a refresh token serves its access token to the end, then is dead: no_refresh_token',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    const p = await world.started();
    const { refreshToken: _, ...answer } = world.provider.login();
    await p.refresher.accept(answer, { replaceAccount: false });
    await world.clock.advance(hour - 10_000);
    t.equal(tokenOf(p.refresher.authorization()), 'access-1');
    await world.clock.advance(10_000);
    const waiting = watch(p.refresher.wait(patient));
    await world.clock.advance(0);
    t.equal(waiting.code, 'no_refresh_token');
    t.equal(waiting.retryAfterMs, undefined);
    t.equal(world.provider.calls, 0);
  },
);

t.test('a record that is bound elsewhere sends nothing to anybody: record_bound_elsewhere', async (t) => {
  const { world, p: before } = await loggedIn(t);
  await before.stop();
  const p = await world.started({ bound: { issuer: 'https://evil.example', clientId: 'client' } });
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(2 * hour);
  t.equal(waiting.code, 'record_bound_elsewhere');
  t.equal(p.refresher.authorization(), undefined, 'the stored token does not go to the upstream either');
  t.equal(world.provider.calls, 0);
  await p.refresher.accept(world.provider.login(), { replaceAccount: true });
  t.equal(p.refresher.status().state, 'fresh', 'a login ends it');
});

t.test(
  'a stored access token that cannot stand in a header is never injected; the refresh token beside it serves',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    const { warnings: _, account, ...tokens } = world.provider.login();
    const base = await world.record();
    await world.records.commit(
      world.records.prepare(base, { tokens: { ...tokens, accessToken: 'not\nascii' }, account }),
    );
    const p = await world.started();
    t.ok(p.failures.includes('access_token_malformed'));
    t.equal(tokenOf(p.refresher.authorization()), 'access-2');
    t.strictSame(p.ends, ['refreshed']);
  },
);

for (const canWatch of [true, false]) {
  t.test(
    `an announced redeem whose holder comes back and writes is waited for no longer, ${canWatch ? 'by' : 'without'} a watch`,
    async (t) => {
      const { world, p } = await loggedIn(t);
      const other = await world.started({ canWatch });
      world.provider.answerMs = 1_000;
      await world.clock.advance(due + 500);
      p.freeze();
      await world.clock.advance(leaseMs * 1.5 + 1_000);
      t.equal((await world.store.lease('codex', 'somebody', leaseMs)).held, true, 'the other has the lease, and waits');
      p.thaw();
      await world.clock.advance(canWatch ? 0 : 2_000);
      t.strictSame(other.ends, ['adopted']);
      t.equal(tokenOf(other.refresher.authorization()), 'access-2');
      t.strictSame(world.provider.redeems, ['login-1/1']);
    },
  );
}
