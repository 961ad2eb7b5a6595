// client_credentials: nothing to burn, so no lease, no intent, no record, and never absent or dead.
import t from 'tap';
import { createObtainedGrant } from '../../src/credentials/obtained-grant.ts';
import {
  createWorld,
  due,
  hour,
  type Process,
  type ProcessOptions,
  patient,
  timeoutMs,
  tokenOf,
  type World,
  watch,
} from './_rig.ts';

const attempts = { attempts: 3, initialBackoffMs: 1_000, maxBackoffMs: 30_000 };

function createTested(t: { teardown(end: () => Promise<void>): unknown }): {
  world: World;
  start: () => Promise<Process>;
} {
  const world = createWorld();
  t.teardown(() => world.end());
  const options: ProcessOptions = {
    source: ({ clock, breaker, observer, resumed }) =>
      createObtainedGrant({
        credential: 'codex',
        provider: world.provider.client(clock, resumed, 'client_credentials'),
        breaker,
        clock,
        random: () => 0,
        observer,
        timeoutMs,
        attempts,
      }),
  };
  return { world, start: () => world.started(options) };
}

t.test('a token is obtained at start and again before it expires; the store is never touched', async (t) => {
  const { world, start } = createTested(t);
  const p = await start();
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  await world.clock.advance(due);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
  t.strictSame(p.ends, ['refreshed', 'refreshed']);
  await world.clock.advance(10 * hour);
  t.ok(p.ends.length > 10 && p.ends.every((end) => end === 'refreshed'), 'and so on');
  t.strictSame(p.store.log, []);
  t.strictSame(await world.store.list(), []);
});

t.test('a thousand requests before the first token share one call', async (t) => {
  const { world, start } = createTested(t);
  world.provider.answerMs = 100;
  const p = await start();
  const waiting = Array.from({ length: 1_000 }, () => watch(p.refresher.wait(patient)));
  await world.clock.advance(100);
  t.ok(waiting.every(({ value }) => tokenOf(value) === 'access-1'));
  t.equal(world.provider.calls, 1);
});

for (const code of [
  'grant_rejected',
  'client_rejected',
  'token_endpoint_failing',
  'token_endpoint_no_answer',
] as const) {
  t.test(`${code} is cooling, never dead, and passes by itself`, async (t) => {
    const { world, start } = createTested(t);
    world.provider.always = { fails: code };
    const p = await start();
    await world.clock.advance(4_000);
    t.equal(p.refresher.status().state, 'cooling');
    const asked = watch(p.refresher.wait(patient));
    await world.clock.advance(0);
    t.equal(asked.code, code);
    t.ok((asked.retryAfterMs ?? 0) > 0);
    world.provider.always = {};
    await world.clock.advance(300_000);
    t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  });
}

t.test('it spends nothing: token_endpoint_no_answer and an answer without a token are tried again', async (t) => {
  const { world, start } = createTested(t);
  world.provider.steps.push({ fails: 'token_endpoint_no_answer' }, { fails: 'token_endpoint_malformed' });
  const p = await start();
  await world.clock.advance(3_000);
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  t.strictSame(p.ends, ['refreshed']);
});

t.test('an answer without a token is not final: access_token_malformed, then again', async (t) => {
  const { world, start } = createTested(t);
  world.provider.steps.push({ withoutAccessToken: true });
  const p = await start();
  t.strictSame(p.ends, ['access_token_malformed']);
  t.equal(p.refresher.authorization(), undefined);
  await world.clock.advance(30_000);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
});

t.test('a 401 obtains a new token once; a login is not for it: login_unsupported', async (t) => {
  const { world, start } = createTested(t);
  const p = await start();
  const current = await p.refresher.wait(patient);
  const renewed = watch(p.refresher.renewed(current, patient));
  await world.clock.advance(0);
  t.equal(tokenOf(renewed.value), 'access-2');
  await t.rejects(p.refresher.accept(world.provider.login(), { replaceAccount: true }), { code: 'login_unsupported' });
});

t.test('stop: none begins any more', async (t) => {
  const { world, start } = createTested(t);
  world.provider.connectMs = 1_000;
  const p = await start();
  const stopped = watch(p.stop());
  await world.clock.advance(hour);
  t.equal(stopped.code, 'resolved');
  t.strictSame(world.provider.redeems, []);
  t.strictSame(p.ends, []);
});
