// A reload of the configuration under a credential at work: what it holds, who waits for it, and what was sent.
import t from 'tap';
import { createMemory } from '../../src/credentials/memory.ts';
import { createObtainedGrant } from '../../src/credentials/obtained-grant.ts';
import { bound } from './_provider.ts';
import {
  createWorld,
  due,
  hour,
  loggedIn,
  patient,
  refuse,
  type SourceParts,
  tokenOf,
  watch,
  withExpired,
} from './_rig.ts';

const elsewhere = { ...bound, issuer: 'https://other.example' };
const attempts = { attempts: 1, initialBackoffMs: 1_000, maxBackoffMs: 1_000 };

t.test('the token in hand goes on, sent and scheduled as the new settings want it', async (t) => {
  const { world, p } = await loggedIn(t);
  await p.reconfigure({ headers: { 'X-Token': '{token}' }, lead: { leadMs: 1_200_000, jitter: 0 } });
  t.strictSame(p.refresher.authorization()?.rawHeaders, ['X-Token', 'access-1']);
  t.strictSame(p.refresher.injectedNames, ['x-token']);
  t.equal(world.provider.calls, 0);
  await world.clock.advance(hour - 1_200_000);
  t.strictSame(p.ends, ['refreshed'], 'by the new lead');
});

t.test('a redeem in flight ends under the old settings, is committed, and no other follows it', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  t.equal(world.provider.inFlight, 1);
  await p.reconfigure({ headers: { 'X-Token': '{token}' } });
  t.strictSame(p.refresher.authorization()?.rawHeaders, ['X-Token', 'access-1'], 'the old token serves meanwhile');
  await world.clock.advance(5_000);
  t.strictSame(p.refresher.authorization()?.rawHeaders, ['X-Token', 'access-2']);
  t.equal(world.provider.redeems.length, 1);
  t.equal((await world.record()).tokens?.accessToken, 'access-2');
  t.equal((await world.record()).stored?.intent, undefined);
  t.strictSame(p.ends, ['refreshed']);
  t.equal(p.refresher.status().state, 'fresh');
});

t.test('whoever waits for a redeem that was sent gets its token', async (t) => {
  const { world, p } = await withExpired(t);
  world.provider.answerMs = 2_000;
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(500);
  t.equal(world.provider.inFlight, 1);
  await p.reconfigure({ headers: { 'X-Token': '{token}' } });
  await world.clock.advance(2_000);
  t.strictSame(waiting.value?.rawHeaders, ['X-Token', 'access-2']);
  t.equal(world.provider.redeems.length, 1);
});

t.test('whoever waits for a redeem that was not sent yet gets the token of another one', async (t) => {
  const { world, p } = await withExpired(t, {
    attempts: { attempts: 3, initialBackoffMs: 5_000, maxBackoffMs: 5_000 },
  });
  world.provider.steps.push({ fails: 'token_endpoint_unreachable' });
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(500);
  t.equal(waiting.code, 'pending', 'it backs off');
  await p.reconfigure({ attempts });
  await world.clock.advance(1);
  t.equal(tokenOf(waiting.value), 'access-2');
  t.equal(world.provider.reuses, 0);
  t.equal((await world.record()).stored?.intent, undefined);
});

t.test('a request whose 401 waits for a renewal that ends unsent gets the fruit of another', async (t) => {
  const { world, p } = await loggedIn(t, { attempts: { attempts: 3, initialBackoffMs: 5_000, maxBackoffMs: 5_000 } });
  world.provider.steps.push({ fails: 'token_endpoint_unreachable' });
  const answer = await refuse(world, p);
  t.equal(answer.code, 'pending');
  await p.reconfigure({ attempts });
  await world.clock.advance(1);
  t.equal(tokenOf(answer.value), 'access-2');
});

t.test('a client that was rejected is tried at once under its new secret', async (t) => {
  const { world, p } = await withExpired(t);
  world.provider.always = { fails: 'client_rejected' };
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(10);
  t.equal(waiting.code, 'access_token_expired');
  t.equal(p.refresher.status().lastError?.code, 'client_rejected');
  t.equal(p.refresher.status().state, 'cooling');
  await p.refresher.start();
  world.provider.always = {};
  await p.reconfigure({});
  await world.clock.advance(10);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  t.equal(p.refresher.status().lastError, undefined);
});

t.test('a rejection that was on its way when the secret was changed is none of the new one', async (t) => {
  const { world, p } = await withExpired(t);
  world.provider.steps.push({ fails: 'client_rejected', answerMs: 1_000 });
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(500);
  await p.reconfigure({});
  await world.clock.advance(1_000);
  t.equal(tokenOf(waiting.value), 'access-2');
});

t.test('another binding drops the token at once: record_bound_elsewhere, as at a start', async (t) => {
  const { world, p } = await loggedIn(t);
  await p.reconfigure({ bound: elsewhere }, false);
  t.equal(p.refresher.authorization(), undefined);
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(0);
  t.equal(waiting.code, 'record_bound_elsewhere');
  t.equal(world.provider.calls, 0);
  await p.reconfigure({}, false);
  t.equal(tokenOf(p.refresher.authorization()), 'access-1', 'and back');
});

t.test('what a redeem in flight brings under another binding is kept for it and never sent here', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  await p.reconfigure({ bound: elsewhere }, false);
  const waiting = watch(p.refresher.wait(patient));
  await world.clock.advance(5_000);
  t.equal(waiting.code, 'record_bound_elsewhere');
  t.equal(p.refresher.authorization(), undefined);
  t.equal((await world.record()).tokens?.accessToken, 'access-2', 'durable all the same');
  t.equal(world.provider.redeems.length, 1);
});

t.test('a token that is not durable yet goes on serving, and is committed by the old settings', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 10;
  const commit = p.store.commit.bind(p.store);
  let isDown = false;
  p.store.commit = (...of) => (isDown ? Promise.reject(new Error('down')) : commit(...of));
  world.provider.watcher = ({ kind }) => {
    if (kind === 'rotated') isDown = true;
  };
  await world.clock.advance(due + 2_000);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  t.equal(p.refresher.status().isDirty, true);
  await p.reconfigure({ headers: { 'X-Token': '{token}' } });
  t.strictSame(p.refresher.authorization()?.rawHeaders, ['X-Token', 'access-2']);
  t.equal(p.refresher.status().isDirty, true);
  isDown = false;
  await world.clock.advance(1_000);
  t.equal(p.refresher.status().isDirty, false);
  t.equal((await world.record()).tokens?.accessToken, 'access-2');
  t.equal(world.provider.redeems.length, 1);
});

t.test('a changed seed counts as new and is redeemed at once, the same one is not', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  world.provider.plant('seed-1');
  world.provider.plant('seed-2');
  const p = await world.started({ seed: 'seed-1' });
  await world.clock.advance(10);
  await p.reconfigure({ seed: 'seed-1' });
  await world.clock.advance(10);
  t.strictSame(world.provider.redeems, ['seed-1']);
  await p.reconfigure({ seed: 'seed-2' });
  await world.clock.advance(10);
  t.strictSame(world.provider.redeems, ['seed-1', 'seed-2']);
});

t.test(
  'an answer that was lost is remembered: what follows is refresh_outcome_unknown, not grant_reused',
  async (t) => {
    const { world, p } = await loggedIn(t);
    world.provider.steps.push({ losesAnswer: true });
    // Nothing of it can be written either.
    world.provider.watcher = ({ kind }) => {
      if (kind === 'rotated') p.store.isDown = true;
    };
    await world.clock.advance(due + 30_000);
    p.store.isDown = false;
    await p.reconfigure({});
    await world.clock.advance(60_000);
    t.equal(p.refresher.status().state, 'dead');
    t.equal((await world.record()).stored?.dead?.code, 'refresh_outcome_unknown');
  },
);

t.test('a store that cannot be read meanwhile leaves the token in hand', async (t) => {
  const { world, p } = await loggedIn(t);
  const read = p.store.read.bind(p.store);
  p.store.read = () => Promise.reject(new Error('down'));
  await p.reconfigure({ headers: { 'X-Token': '{token}' } });
  t.strictSame(p.refresher.authorization()?.rawHeaders, ['X-Token', 'access-1']);
  p.store.read = read;
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed']);
});

t.test('a rest after a limit stays with the token, the pause after refusals does not', async (t) => {
  const { world, p } = await loggedIn(t);
  p.refresher.rest({ isQuota: false, forMs: 60_000 });
  await p.reconfigure({});
  t.equal(p.refresher.status().resting?.code, 'upstream_limited');
  await p.reconfigure({}, false);
  t.equal(p.refresher.status().resting, undefined);
  await world.clock.advance(0);
});

t.test('one that was taken away and comes back while its redeem is in flight goes on with it', async (t) => {
  const { world, p } = await loggedIn(t);
  world.provider.answerMs = 5_000;
  await world.clock.advance(due + 1_000);
  const stopped = p.refresher.stop();
  await p.reconfigure({});
  await world.clock.advance(5_000);
  await stopped;
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  await world.clock.advance(due);
  t.strictSame(p.ends, ['refreshed', 'refreshed']);
  t.equal(world.provider.reuses, 0);
});

t.test(
  'a grant without refresh tokens obtains anew where the token would be another one, and only there',
  async (t) => {
    const world = createWorld();
    t.teardown(() => world.end());
    const memory = createMemory();
    const source = ({ clock, breaker, observer, resumed }: SourceParts) =>
      createObtainedGrant({
        credential: 'codex',
        provider: world.provider.client(clock, resumed, 'client_credentials'),
        breaker,
        clock,
        random: () => 0,
        observer,
        timeoutMs: 10_000,
        attempts,
        memory,
      });
    const p = await world.started({ source });
    await world.clock.advance(10);
    t.equal(tokenOf(p.refresher.authorization()), 'access-1');
    await p.reconfigure({ source });
    await world.clock.advance(10);
    t.equal(tokenOf(p.refresher.authorization()), 'access-1', 'nothing was asked for');
    await p.reconfigure({ source }, false);
    const waiting = watch(p.refresher.wait(patient));
    await world.clock.advance(10);
    t.equal(tokenOf(waiting.value), 'access-2');
    t.ok((waiting.value?.generation ?? 0) > 1);
  },
);
