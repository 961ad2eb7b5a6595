// client_credentials, token_exchange and jwt_bearer: nothing to burn, so no lease, no intent, no record, and never
// absent or dead.

import t from 'tap';
import { createMemory } from '../../src/credentials/memory.ts';
import { createObtainedGrant } from '../../src/credentials/obtained-grant.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
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
        memory: createMemory(),
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

t.test('a refresh token beside the answer is not kept, nor is its end told', async (t) => {
  const world = createWorld();
  t.teardown(() => world.end());
  const p = await world.started({
    source: ({ clock, breaker, observer, resumed }) => {
      const client = world.provider.client(clock, resumed, 'jwt_bearer');
      return createObtainedGrant({
        memory: createMemory(),
        credential: 'codex',
        provider: {
          ...client,
          obtain: async (call) => ({
            ...(await client.obtain(call)),
            refreshToken: 'rt',
            grantExpiresAtMs: clock.wallMs() + hour,
          }),
        },
        breaker,
        clock,
        random: () => 0,
        observer,
        timeoutMs,
        attempts,
      });
    },
  });
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  t.equal(p.refresher.status().grantExpiresAtMs, undefined);
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

// --- with a token in a file ---------------------------------------------------------------------------------------

/** The file, in the test's hand. */
interface TestSubject {
  text: string;
  fails: 'subject_token_unreadable' | 'subject_token_empty' | 'subject_token_too_large' | undefined;
  /** What was sent with each call. */
  readonly sent: (string | undefined)[];
  /** Something changed in the file's folder. */
  stir(): Promise<void>;
}

function withSubject(t: { teardown(end: () => Promise<void>): unknown }): {
  world: World;
  subject: TestSubject;
  start: () => Promise<Process>;
} {
  const world = createWorld();
  t.teardown(() => world.end());
  let changed: () => void = () => undefined;
  const subject: TestSubject = {
    text: 'sa-1',
    fails: undefined,
    sent: [],
    async stir() {
      changed();
      await world.clock.advance(0);
    },
  };
  const options: ProcessOptions = {
    source: ({ clock, breaker, observer, resumed }) => {
      const client = world.provider.client(clock, resumed, 'token_exchange');
      return createObtainedGrant({
        memory: createMemory(),
        credential: 'codex',
        provider: {
          ...client,
          obtain(call, subjectToken) {
            subject.sent.push(subjectToken);
            return client.obtain(call);
          },
          subject: {
            async read() {
              if (subject.fails !== undefined) throw new SidebearerError(subject.fails);
              return subject.text;
            },
            watch(told) {
              changed = told;
              return {
                close: () => {
                  changed = () => undefined;
                },
              };
            },
          },
        },
        breaker,
        clock,
        random: () => 0,
        observer,
        timeoutMs,
        attempts,
      });
    },
  };
  return { world, subject, start: () => world.started(options) };
}

t.test('the token of the file is read again at each use, a second attempt included', async (t) => {
  const { world, subject, start } = withSubject(t);
  const p = await start();
  subject.text = 'sa-2';
  await world.clock.advance(due);
  world.provider.steps.push({ fails: 'token_endpoint_failing' }, {});
  subject.text = 'sa-3';
  await world.clock.advance(due + 1_000);
  t.strictSame(subject.sent, ['sa-1', 'sa-2', 'sa-3', 'sa-3']);
  t.strictSame(p.requests, [
    'token_exchange 2xx',
    'token_exchange 2xx',
    'token_exchange network',
    'token_exchange 2xx',
  ]);
});

t.test('a token that is renewed between two attempts is the one that is sent', async (t) => {
  const { world, subject, start } = withSubject(t);
  world.provider.steps.push({ fails: 'token_endpoint_failing' }, { fails: 'token_endpoint_failing' });
  const p = await start();
  subject.text = 'sa-2';
  await world.clock.advance(1_000);
  subject.fails = 'subject_token_empty';
  await world.clock.advance(2_000);
  t.strictSame(subject.sent, ['sa-1', 'sa-2', 'sa-2'], 'and one that cannot be read now was good a moment ago');
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
});

for (const code of ['subject_token_rejected', 'client_rejected', 'token_endpoint_refused'] as const) {
  t.test(`${code} is cooling, and tried at once when the file holds another token, not before`, async (t) => {
    const { world, subject, start } = withSubject(t);
    world.provider.always = { fails: code };
    const p = await start();
    t.equal(p.refresher.status().state, 'cooling');
    t.equal(p.refresher.status().lastError?.code, code);
    const { calls } = world.provider;
    await subject.stir();
    await subject.stir();
    t.equal(world.provider.calls, calls, 'another file in the folder is no reason');
    t.equal(p.refresher.status().state, 'cooling');
    subject.fails = 'subject_token_empty';
    await subject.stir();
    t.equal(world.provider.calls, calls, 'nor is one that is just being written');
    subject.fails = undefined;
    subject.text = 'sa-2';
    world.provider.always = {};
    await subject.stir();
    await world.clock.advance(1_000);
    t.equal(tokenOf(p.refresher.authorization()), 'access-1', 'within a second, not after the pause');
    t.strictSame(subject.sent.slice(calls), ['sa-2']);
    t.equal(p.refresher.status().state, 'fresh');
  });
}

for (const code of ['subject_token_unreadable', 'subject_token_empty', 'subject_token_too_large'] as const) {
  t.test(`${code}: nothing is asked, requests are told so, and the file's arrival ends it at once`, async (t) => {
    const { world, subject, start } = withSubject(t);
    subject.fails = code;
    const p = await start();
    t.strictSame(p.ends, [code]);
    t.equal(p.refresher.status().state, 'cooling', 'never absent');
    const asked = watch(p.refresher.wait(patient));
    await world.clock.advance(0);
    t.equal(asked.code, code);
    t.ok((asked.retryAfterMs ?? 0) > 0);
    t.strictSame(p.requests, []);
    subject.fails = undefined;
    await subject.stir();
    await world.clock.advance(1_000);
    t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  });
}

t.test(
  'a file that is missing does not open the breaker of the endpoint, however often it is looked for',
  async (t) => {
    const { world, subject, start } = withSubject(t);
    subject.fails = 'subject_token_unreadable';
    const p = await start();
    for (let times = 0; times < 50; times += 1) {
      void watch(p.refresher.wait(patient));
      await world.clock.advance(30_000);
    }
    t.ok(p.ends.length > 20 && p.ends.every((end) => end === 'subject_token_unreadable'));
    t.equal(p.refresher.status().breaker, 'closed');
    t.equal(world.provider.calls, 0);
  },
);

t.test('an outage goes on cooling, whatever happens to the file', async (t) => {
  const { world, subject, start } = withSubject(t);
  world.provider.always = { fails: 'token_endpoint_failing' };
  const p = await start();
  await world.clock.advance(4_000);
  const { calls } = world.provider;
  subject.text = 'sa-2';
  await subject.stir();
  t.equal(p.refresher.status().state, 'cooling');
  t.equal(world.provider.calls, calls);
});

t.test('a token that was replaced while it was being refused is tried at once', async (t) => {
  const { world, subject, start } = withSubject(t);
  world.provider.answerMs = 500;
  world.provider.steps.push({ fails: 'subject_token_rejected' });
  const p = await start();
  subject.text = 'sa-2';
  await subject.stir();
  await world.clock.advance(2_000);
  t.strictSame(subject.sent, ['sa-1', 'sa-2']);
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
});

t.test('a valid token goes on serving while what it was obtained with is gone', async (t) => {
  const { world, subject, start } = withSubject(t);
  const p = await start();
  subject.fails = 'subject_token_unreadable';
  await world.clock.advance(due + 1_000);
  t.equal(p.refresher.status().state, 'cooling');
  t.equal(tokenOf(p.refresher.authorization()), 'access-1');
  subject.fails = undefined;
  await subject.stir();
  await world.clock.advance(1_000);
  t.equal(tokenOf(p.refresher.authorization()), 'access-2');
});
