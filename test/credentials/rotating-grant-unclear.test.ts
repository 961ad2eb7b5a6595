// A redeem that was sent and not answered: read again, one more try at once or held back, and never a silent loss.
import t from 'tap';
import { due, hour, indifferent, leaseMs, loggedIn, patient, timeoutMs, tokenOf, waitMs, watch } from './_rig.ts';

const lost = { losesAnswer: true };
const unanswered = { fails: 'token_endpoint_no_answer' } as const;

t.test('retry: one more try, at once; a provider that forgives it answers', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push(unanswered);
  await world.clock.advance(due);
  t.strictSame(world.provider.redeems, ['login-1/1', 'login-1/1'], 'without any pause');
  t.strictSame(p.ends, ['refreshed']);
});

for (const code of ['token_endpoint_no_answer', 'token_endpoint_malformed'] as const) {
  t.test(`${code} twice: no third try now; it cools, leaves no intent, and is tried again later`, async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push({ fails: code }, { fails: code });
    await world.clock.advance(due + 200_000);
    t.equal(world.provider.calls, 2);
    t.strictSame(p.ends, [code]);
    t.equal(p.refresher.status().state, 'cooling');
    t.equal((await world.record()).stored?.intent, undefined);
    await world.clock.advance(100_000);
    t.strictSame(p.ends, [code, 'refreshed']);
  });
}

t.test(
  'retry: a store that is away after an unclear try gives nobody one more at once, nor when it is back',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push(unanswered, unanswered, unanswered);
    // Reachable for each try, and away whenever its outcome is to be looked up.
    let calls = 0;
    p.store.before = (operation) => {
      if (operation !== 'read' || world.provider.calls === calls) return;
      calls = world.provider.calls;
      p.store.fail('read', 'before');
    };
    await world.clock.advance(due + waitMs);
    t.equal(world.provider.calls, 1);
    t.strictSame(p.ends, ['token_endpoint_no_answer']);
    t.equal(p.refresher.status().state, 'cooling');
    await world.clock.advance(300_000);
    t.equal(world.provider.calls, 2, 'after the pause');
  },
);

t.test('where nothing was sent, a store that is away for a moment ends no refresh', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'token_endpoint_unreachable' });
  await world.clock.advance(due + 500);
  p.store.isDown = true;
  await world.clock.advance(3_000);
  p.store.isDown = false;
  await world.clock.advance(1_000);
  t.strictSame(p.ends, ['refreshed']);
  t.equal(world.provider.calls, 2);
});

t.test(
  'retry: the provider had rotated: refresh_outcome_unknown, dead, and the access token goes on to its end',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push(lost);
    await world.clock.advance(due + timeoutMs);
    t.strictSame(p.ends, ['refresh_outcome_unknown']);
    t.match((await world.record()).stored, { dead: { code: 'refresh_outcome_unknown' } });
    t.equal(p.refresher.status().state, 'dead');
    t.equal(tokenOf(p.refresher.authorization()), 'access-1');
    t.equal(world.provider.calls, 2);
    await world.clock.advance(hour);
    const waiting = watch(p.refresher.wait(patient));
    await world.clock.advance(0);
    t.equal(waiting.code, 'refresh_outcome_unknown');
    t.equal(waiting.retryAfterMs, undefined);
    t.equal(world.provider.calls, 2);
  },
);

t.test('an unclear try remembered: an invalid_grant that comes an hour later is told as its consequence', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push(lost, unanswered, { fails: 'token_endpoint_failing' });
  await world.clock.advance(due + timeoutMs + 400_000);
  t.equal(p.ends.at(-1), 'refresh_outcome_unknown');
});

t.test(
  'it is remembered with the record: a restarted process tells it as well, and a success forgets it',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push(unanswered, unanswered);
    await world.clock.advance(due + 1_000);
    t.ok((await world.record()).stored?.unclear);
    await p.stop();
    world.provider.steps.push({ fails: 'grant_reused' });
    const next = await world.started();
    await world.clock.advance(1_000);
    t.strictSame(next.ends, ['refresh_outcome_unknown']);
    await next.refresher.accept(world.provider.login(), { replaceAccount: false });
    t.equal((await world.record()).stored?.unclear, undefined);
  },
);

t.test('it is void for any other refresh token', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push(unanswered, unanswered);
  await world.clock.advance(due + 301_000);
  t.equal(p.ends.at(-1), 'refreshed');
  t.equal((await world.record()).stored?.unclear, undefined);
  world.provider.steps.push({ fails: 'grant_revoked' });
  await world.clock.advance(due);
  t.equal(p.ends.at(-1), 'grant_revoked');
});

t.test('a clear answer makes it good, though the provider keeps the same refresh token', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.rotates = false;
  world.provider.steps.push(unanswered);
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed']);
  world.provider.steps.push({ fails: 'grant_revoked' });
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed', 'grant_revoked']);
});

t.test('without anything unclear an invalid_grant keeps its own name', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'token_endpoint_failing' }, { fails: 'grant_expired' });
  await world.clock.advance(due + 10_000);
  t.strictSame(p.ends, ['grant_expired']);
});

t.test(
  'the record is read before the second try: what another made durable meanwhile is adopted, not redeemed',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push(lost);
    await world.clock.advance(due + 5_000);
    await world.loginElsewhere();
    await world.clock.advance(timeoutMs);
    t.equal(world.provider.calls, 1);
    t.equal(world.provider.reuses, 0);
    t.strictSame(p.ends, ['adopted']);
    t.equal(tokenOf(p.refresher.authorization()), 'access-3');
  },
);

t.test('the store cannot be read after it: no second try without reading', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push(lost);
  await world.clock.advance(due + 5_000);
  p.store.isDown = true;
  await world.clock.advance(timeoutMs);
  t.equal(world.provider.calls, 1);
  t.strictSame(p.ends, ['token_endpoint_no_answer']);
});

t.test(
  'hold: the second try is held back until expiry − 2 × lease, the alert raised now, the lease given up',
  async (t) => {
    const { world, p } = await loggedIn(t, { unclear: 'hold' });
    const expiresAtMs = (await world.record()).tokens?.expiresAtMs ?? 0;
    world.provider.steps.push(unanswered);
    await world.clock.advance(due + 1_000);
    t.strictSame(p.ends, ['refresh_held']);
    t.ok(p.failures.includes('token_endpoint_no_answer'), 'the alert');
    const holdUntil = expiresAtMs - 2 * leaseMs;
    t.equal((await world.record()).stored?.intent?.holdUntil, holdUntil);
    t.equal(p.refresher.status().state, 'cooling');
    t.equal(p.refresher.status().coolingUntilMs, holdUntil);
    t.equal(tokenOf(p.refresher.authorization()), 'access-1');
    t.equal((await world.store.lease('codex', 'somebody', leaseMs)).held, false);
    await (
      await world.store.lease('codex', 'somebody', leaseMs).then((taken) => (taken.held ? undefined : taken.lease))
    )?.release();
    await world.clock.advance(holdUntil - world.clock.wallMs() - 1_000);
    t.equal(world.provider.calls, 1, 'nothing was sent before');
    await world.clock.advance(3_000);
    t.equal(world.provider.calls, 2);
    t.strictSame(p.ends, ['refresh_held', 'refreshed']);
    t.equal((await world.record()).stored?.intent, undefined);
  },
);

t.test('hold: whoever takes the lease sends nothing before, a restarted process included', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push(unanswered);
  await world.clock.advance(due + 1_000);
  await p.stop();
  const next = await world.started({ unclear: 'hold' });
  await world.clock.advance(500_000);
  t.equal(world.provider.calls, 1);
  t.strictSame(next.ends, ['refresh_held']);
  await world.clock.advance(100_000);
  t.equal(world.provider.calls, 2);
  t.equal(next.ends.at(-1), 'refreshed');
});

t.test('hold: an answer that is lost while the process stops holds back the next process, too', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push({ ...unanswered, answerMs: 5_000 });
  await world.clock.advance(due + 1_000);
  const stopped = watch(p.stop());
  await world.clock.advance(5_000);
  t.equal(stopped.code, 'resolved');
  t.ok((await world.record()).stored?.intent?.holdUntil);
  await world.started({ unclear: 'hold' });
  await world.clock.advance(400_000);
  t.equal(world.provider.calls, 1);
});

t.test('hold: a store that cannot be read after the lost answer lets no second try through', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push({ ...unanswered, answerMs: 5_000 });
  await world.clock.advance(due + 1_000);
  p.store.isDown = true;
  await world.clock.advance(10_000);
  p.store.isDown = false;
  await world.clock.advance(400_000);
  t.ok((await world.record()).stored?.intent?.holdUntil);
  t.equal(world.provider.calls, 1);
});

t.test('hold: a 401 in that time passes and calls nobody; a login ends it', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push(unanswered);
  await world.clock.advance(due + 1_000);
  const current = p.refresher.authorization();
  if (current === undefined) throw new Error('no token');
  t.equal(await p.refresher.renewed(current, patient), undefined);
  t.equal(world.provider.calls, 1);
  await p.refresher.accept(world.provider.login(), { replaceAccount: false });
  t.equal(p.refresher.status().state, 'fresh');
  t.equal((await world.record()).stored?.intent, undefined);
});

t.test(
  "hold: an operator's edit in between, or a store that fails for a while, lets no second try through",
  async (t) => {
    const { world, p } = await loggedIn(t, { unclear: 'hold' });
    world.provider.steps.push(unanswered);
    let holds = 0;
    p.store.before = async (operation, record) => {
      if (operation !== 'commit' || record?.intent?.holdUntil === undefined) return;
      holds += 1;
      if (holds === 1) await world.edit('ask Bob');
      if (holds === 2) p.store.fail('commit', 'before', 3);
    };
    await world.clock.advance(due + 20_000);
    t.equal(world.provider.calls, 1);
    t.strictSame(p.ends, ['refresh_held']);
    t.ok((await world.record()).stored?.intent?.holdUntil);
    t.equal((await world.record()).stored?.operator.note, 'ask Bob');
  },
);

t.test('hold: a reading that fails on the way does not take the hold away', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push(unanswered);
  await world.clock.advance(due + 1_000);
  await p.stop();
  const next = await world.started({ unclear: 'hold' });
  next.store.fail('read', 'before');
  await world.clock.advance(400_000);
  t.ok((await world.record()).stored?.intent?.holdUntil);
  t.equal(world.provider.calls, 1);
});

t.test('hold: nor does one in the process that holds', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push(unanswered);
  await world.clock.advance(due + 1_000);
  p.store.fail('read', 'before');
  const renewal = watch(p.source.renew({ ...indifferent, isEnough: () => false }, 'manual'));
  await world.clock.advance(waitMs);
  t.match(renewal.value, { kind: 'held', error: { code: 'refresh_held' } });
  t.ok((await world.record()).stored?.intent?.holdUntil);
});

t.test('hold: a token that is about to expire anyway has nothing to wait for: the second try is now', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold', lead: { leadMs: 15_000, jitter: 0 } });
  world.provider.steps.push(unanswered);
  await world.clock.advance(hour - 15_000);
  t.equal(world.provider.calls, 2);
  t.strictSame(p.ends, ['refreshed']);
});

t.test(
  'a holder that was frozen comes with its tokens after the loss was told: the family is gone, and for the same reason',
  async (t) => {
    const { world, p } = await loggedIn(t);
    const other = await world.started();
    world.provider.answerMs = 1_000;
    await world.clock.advance(due + 500);
    p.freeze();
    await world.clock.advance(2 * (leaseMs + timeoutMs) + 5_000);
    t.strictSame(other.ends, ['refresh_outcome_unknown'], 'it was waited for, and then taken for dead');
    p.thaw();
    await world.clock.advance(5_000);
    t.strictSame(p.ends, ['refreshed']);
    t.match((await world.record()).tokens, { refreshToken: 'login-1/2' }, 'what it had is kept all the same');
    await world.clock.advance(hour);
    for (const { ends } of [p, other]) t.notOk(ends.includes('grant_revoked'), ends.join());
    t.equal((await world.record()).stored?.dead?.code, 'refresh_outcome_unknown');
  },
);
