// What a person may order: a refresh now, the end of a pause, tokens from another program. Each order is answered with
// what came of it, and none of them does what would cost the grant.
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { alice } from './_provider.ts';
import { createWorld, due, hour, loggedIn, patient, refuse, tokenOf, waitMs, watch, withExpired } from './_rig.ts';

const minute = 60_000;

// --- refresh ------------------------------------------------------------------------------------------------------

t.test('refresh replaces a token that is still good, with the trigger `manual`', async (t) => {
  const { world, p } = await loggedIn(t);
  t.equal(await p.refresher.refresh(), 'refreshed');
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  t.match(p.observed.at(-1), { type: 'ended', end: { trigger: 'manual', outcome: 'refreshed' } });
  await world.clock.advance(minute);
  t.equal(world.provider.calls, 1, 'once');
});

t.test('refresh joins the one that is at work', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  const asked = [watch(p.refresher.refresh()), watch(p.refresher.refresh())];
  await world.clock.advance(5_000);
  t.strictSame(
    asked.map(({ value }) => value),
    ['refreshed', 'refreshed'],
  );
  t.equal(world.provider.calls, 1);
});

t.test('refresh adopts what another process rotated meanwhile, and spends nothing', async (t) => {
  const { world, p } = await loggedIn(t, { canWatch: false });
  await world.loginElsewhere();
  t.equal(await p.refresher.refresh(), 'adopted');
  t.equal(world.provider.calls, 0);
  t.equal(await p.refresher.refresh(), 'refreshed', 'that one it replaces when asked again');
});

t.test('refresh works during a cooldown, and a failure of it cools again', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.always = { fails: 'token_endpoint_failing' };
  await world.clock.advance(due + 5_000);
  t.equal(p.refresher.status().state, 'cooling');
  const { calls } = world.provider;
  const asked = watch(p.refresher.refresh());
  await world.clock.advance(10_000);
  t.equal(asked.code, 'token_endpoint_failing');
  t.equal(world.provider.calls, calls + 3);
  t.equal(p.refresher.status().state, 'cooling');
  world.provider.always = {};
  t.equal(await p.refresher.refresh(), 'refreshed');
  t.equal(p.refresher.status().state, 'fresh');
});

t.test('refresh of a dead grant says why not, and asks nobody', async (t) => {
  const { world, p } = await loggedIn(t, { insteadOfLogin: 'Do this instead.' });
  world.provider.steps.push({ fails: 'grant_expired' });
  await t.rejects(p.refresher.refresh(), { code: 'grant_expired', next: 'Do this instead.' });
  await t.rejects(p.refresher.refresh(), { code: 'grant_expired', next: 'Do this instead.' });
  t.equal(world.provider.calls, 1);
});

t.test('refresh of a dead grant finds a login elsewhere that was not noticed', async (t) => {
  const { world, p } = await loggedIn(t, { canWatch: false });
  world.provider.steps.push({ fails: 'grant_expired' });
  await t.rejects(p.refresher.refresh(), { code: 'grant_expired' });
  await world.loginElsewhere();
  t.equal(await p.refresher.refresh(), 'refreshed');
});

t.test('refresh without any grant is `grant_absent`', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const p = await world.started();
  await t.rejects(p.refresher.refresh(), { code: 'grant_absent' });
});

t.test('refresh sends nothing while a second try is held back, or the breaker is open', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push({ losesAnswer: true });
  const lost = watch(p.refresher.refresh());
  await world.clock.advance(11_000);
  t.equal(lost.code, 'refresh_held');
  await t.rejects(p.refresher.refresh(), { code: 'refresh_held' });
  t.equal(world.provider.calls, 1);

  const breaker = { failures: 1, windowMs: 600_000, resetAfterMs: 30_000 };
  const { world: other, p: q } = await loggedIn(t, { breaker, attempts: attemptOnce });
  other.provider.always = { fails: 'token_endpoint_failing' };
  await t.rejects(q.refresher.refresh(), { code: 'token_endpoint_failing' });
  await t.rejects(q.refresher.refresh(), { code: 'breaker_open' });
  t.equal(other.provider.calls, 1);
});

const attemptOnce = { attempts: 1, initialBackoffMs: 1_000, maxBackoffMs: 30_000 };

t.test('refresh of a process that stops is `sidecar_stopping`', async (t) => {
  const { p } = await loggedIn(t);
  await p.stop();
  await t.rejects(p.refresher.refresh(), { code: 'sidecar_stopping' });
});

t.test('a refresh that a person asked for is no demand: the upstream may refuse its token as any other', async (t) => {
  const { world, p } = await loggedIn(t);
  await p.refresher.refresh();
  const answer = await refuse(world, p);
  t.equal(tokenOf(answer.value), 'access-3');
});

t.test('a store that fails is told to whoever asked', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.isDown = true;
  const refresh = watch(p.refresher.refresh());
  await world.clock.advance(waitMs);
  t.equal(refresh.code, 'store_unavailable');
});

// --- resume -------------------------------------------------------------------------------------------------------

t.test('resume ends a cooldown, and what is due is tried at once', async (t) => {
  const { world, p } = await loggedIn(t, { attempts: attemptOnce });
  world.provider.steps.push({ fails: 'token_endpoint_limited', details: { retryAfterMs: hour } });
  await world.clock.advance(due);
  t.equal(p.refresher.status().state, 'cooling');
  t.strictSame(p.refresher.resume(), ['cooling']);
  await world.clock.advance(1_000);
  t.strictSame(p.ends, ['token_endpoint_limited', 'refreshed']);
});

t.test('resume of a credential that is not due only goes back to its schedule', async (t) => {
  const { world, p } = await loggedIn(t, { attempts: attemptOnce });
  world.provider.steps.push({ fails: 'client_rejected' });
  await t.rejects(p.refresher.refresh(), { code: 'client_rejected' });
  t.strictSame(p.refresher.resume(), ['cooling']);
  t.equal(p.refresher.status().state, 'fresh');
  await world.clock.advance(due - 2_000);
  t.equal(world.provider.calls, 1);
  await world.clock.advance(2_000);
  t.equal(world.provider.calls, 2);
});

t.test('resume with an expired token: the next request starts at once, without the doubled pause', async (t) => {
  const { world, p } = await withExpired(t, { attempts: attemptOnce });
  world.provider.always = { fails: 'token_endpoint_unreachable' };
  await t.rejects(p.refresher.wait(patient));
  await t.rejects(p.refresher.wait(patient), { code: 'access_token_expired' });
  world.provider.always = {};
  t.strictSame(p.refresher.resume(), ['cooling']);
  t.ok(await p.refresher.wait(patient));
});

t.test('resume ends the pause after refusals: the next 401 refreshes', async (t) => {
  const { world, p } = await loggedIn(t);
  const first = await refuse(world, p);
  if (first.value !== undefined) p.refresher.replayed(first.value, false);
  t.equal(p.refresher.status().state, 'refused');
  t.equal((await refuse(world, p)).value, undefined, 'paused');
  t.strictSame(p.refresher.resume(), ['refused']);
  t.equal(p.refresher.status().state, 'fresh');
  t.equal(tokenOf((await refuse(world, p)).value), 'access-3');
});

t.test('resume of what is not paused changes nothing', async (t) => {
  const { world, p } = await loggedIn(t);
  const before = p.refresher.status();
  t.strictSame(p.refresher.resume(), []);
  t.strictSame(p.refresher.status(), before);
  await world.clock.advance(minute);
  t.equal(world.provider.calls, 0);
});

t.test(
  'resume leaves an open breaker alone and says so, and ends the cooling once the breaker has closed',
  async (t) => {
    const breaker = { failures: 1, windowMs: 600_000, resetAfterMs: 10 };
    const { world, p } = await loggedIn(t, { breaker, attempts: attemptOnce });
    world.provider.always = { fails: 'token_endpoint_failing' };
    await t.rejects(p.refresher.refresh(), { code: 'token_endpoint_failing' });
    await t.rejects(p.refresher.refresh(), { code: 'breaker_open' });
    t.throws(() => p.refresher.resume(), { code: 'breaker_open' });
    t.equal(p.refresher.status().state, 'cooling');
    // Opossum's own timer is the machine's.
    while (p.breaker.state === 'open') await new Promise((resolve) => setTimeout(resolve, 5));
    t.strictSame(p.refresher.resume(), ['cooling']);
  },
);

t.test('resume leaves a held second try alone and says so', async (t) => {
  const { world, p } = await loggedIn(t, { unclear: 'hold' });
  world.provider.steps.push({ losesAnswer: true });
  await world.clock.advance(due + 11_000);
  t.throws(() => p.refresher.resume(), { code: 'refresh_held' });
  await world.clock.advance(minute);
  t.equal(world.provider.calls, 1);
});

t.test('resume of a dead or absent grant says why not', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.steps.push({ fails: 'grant_reused' });
  await t.rejects(p.refresher.refresh());
  t.throws(() => p.refresher.resume(), { code: 'grant_reused' });
  await p.refresher.logout();
  t.throws(() => p.refresher.resume(), { code: 'grant_absent' });
});

// --- import -------------------------------------------------------------------------------------------------------

t.test('imported tokens are stored, current and refreshed when they are due', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const p = await world.started();
  const { accessToken = '', refreshToken = '', expiresAtMs = 0, account } = world.provider.login();
  const tokens = { accessToken, refreshToken, expiresAtMs, ...(account !== undefined && { account }) };
  await p.refresher.importTokens(tokens, { replaceAccount: false });
  t.match(await world.record(), { tokens: { accessToken, refreshToken, expiresAtMs }, stored: { account: alice } });
  t.equal(tokenOf(p.refresher.authorization()), accessToken);
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed']);
});

t.test('a refresh token alone is redeemed at once', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const p = await world.started();
  world.provider.plant('elsewhere');
  await p.refresher.importTokens({ refreshToken: 'elsewhere' }, { replaceAccount: false });
  await world.clock.advance(0);
  t.strictSame(world.provider.redeems, ['elsewhere']);
  t.ok(p.refresher.status().usable);
});

t.test('an import of another account is 409 `account_differs` unless a person says so', async (t) => {
  const { world, p } = await loggedIn(t);
  const tokens = { refreshToken: 'bob', account: { issuer: 'https://idp.example', id: 'bob' } };
  await t.rejects(p.refresher.importTokens(tokens, { replaceAccount: false }), { code: 'account_differs' });
  t.equal((await world.record()).tokens?.refreshToken, 'login-1/1');
  await p.refresher.importTokens(tokens, { replaceAccount: true });
  t.equal((await world.record()).tokens?.refreshToken, 'bob');
});

t.test('an import of nothing, or of what cannot stand in a header, is refused', async (t) => {
  const { world, p } = await loggedIn(t);
  const { version } = await world.record();
  for (const [tokens, code] of [
    [{}, 'import_empty'],
    [{ idToken: 'x' }, 'import_empty'],
    [{ accessToken: 'a b', refreshToken: 'r' }, 'access_token_malformed'],
    [{ accessToken: '' }, 'access_token_malformed'],
    [{ accessToken: 'a\r\nb' }, 'access_token_malformed'],
  ] as const) {
    await t.rejects(p.refresher.importTokens(tokens, { replaceAccount: true }), { code });
  }
  t.equal((await world.record()).version, version);
});

t.test('when an imported token was obtained is believed only of the past', async (t) => {
  const { world, p } = await loggedIn(t);
  const nowMs = world.clock.wallMs();
  for (const [told, kept] of [
    [nowMs - minute, nowMs - minute],
    [nowMs + minute, nowMs],
    [undefined, nowMs],
  ]) {
    const tokens = { accessToken: 'x', ...(told !== undefined && { obtainedAtMs: told }) };
    await p.refresher.importTokens(tokens, { replaceAccount: true });
    t.equal((await world.record()).tokens?.obtainedAtMs, kept);
  }
});

t.test('what nothing can be imported into is `login_unsupported`', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const reject = () => Promise.reject(new SidebearerError('login_unsupported'));
  const p = await world.started({
    source: () => ({
      provider: 'oauth2',
      grant: 'client_credentials',
      login: undefined,
      breaker: 'closed',
      read: async () => ({ kind: 'grant' }),
      follow: () => ({ close: () => undefined }),
      renew: async () => ({ kind: 'stopped' }),
      accept: reject,
      logout: reject,
    }),
  });
  await t.rejects(p.refresher.importTokens({ refreshToken: 'r' }, { replaceAccount: true }), {
    code: 'login_unsupported',
  });
  await t.rejects(p.refresher.logout(), { code: 'login_unsupported' });
});

// --- a reading that failed ----------------------------------------------------------------------------------------

t.test('a change that could not be read is looked for again, until it can be', async (t) => {
  const { world, p } = await loggedIn(t);
  p.store.isDown = true;
  await world.logoutElsewhere();
  await world.clock.advance(10_000);
  t.ok(p.refresher.status().usable);
  t.ok(p.failures.length <= 5, `${p.failures.length} times told`);
  p.store.isDown = false;
  await world.clock.advance(10_000);
  t.equal(p.refresher.authorization(), undefined);
});
