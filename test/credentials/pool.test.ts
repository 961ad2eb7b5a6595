// A pool of real credentials on one provider: who serves a request, who is passed over, and what comes of a refusal.
import fc from 'fast-check';
import t from 'tap';
import type { Authorization, Bearer } from '../../src/credentials/bearer.ts';
import type { Need } from '../../src/credentials/credential.ts';
import { createPool, type PoolMember, type PoolOptions } from '../../src/credentials/pool.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { LimitReader, UpstreamLimit } from '../../src/providers/provider.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { createWorld, hour, type Process, patient, type World, watch } from './_rig.ts';

const minute = 60_000;

/** Answers with a status above 400 are limits, for as many seconds as their first header says. */
const limits: LimitReader = {
  head: (_status, [seconds]) =>
    seconds === undefined ? undefined : { isQuota: false, ...(seconds !== '' && { forMs: Number(seconds) * 1_000 }) },
  hasMore: (status) => status === 429,
  body: (start) => (start === 'quota' ? { isQuota: true, forMs: 2 * minute } : undefined),
};

interface Pool {
  readonly world: World;
  readonly bearer: Bearer;
  readonly a: Process;
  readonly b: Process;
  readonly c: Process;
}

/** Three credentials of one provider, each with a token of an hour. */
async function pooled(
  t: { teardown(end: () => Promise<void>): unknown },
  options: Partial<PoolOptions> = {},
): Promise<Pool> {
  const world = createWorld();
  t.teardown(() => world.end());
  const members: Process[] = [];
  for (const name of ['a', 'b', 'c']) {
    const member = await world.started({
      name,
      limits,
      attempts: { attempts: 1, initialBackoffMs: 1, maxBackoffMs: 1 },
    });
    await member.refresher.accept(world.provider.login(), { replaceAccount: false });
    members.push(member);
  }
  const [a, b, c] = members;
  if (a === undefined || b === undefined || c === undefined) throw new Error('three were made');
  const bearer = createPool({
    members: members.map(({ refresher }) => refresher),
    choice: 'order',
    restsOnLimit: true,
    waitMs: 10_000,
    clock: world.clock,
    ...options,
  });
  return { world, bearer, a, b, c };
}

function chosen(bearer: Bearer): string | undefined {
  return bearer.authorization()?.credential;
}

function turns(bearer: Bearer, count: number): string {
  return Array.from({ length: count }, () => chosen(bearer) ?? '-').join('');
}

async function logOut({ refresher }: Process, world: World): Promise<void> {
  const gone = refresher.logout();
  await world.clock.advance(0);
  await gone;
}

/** The upstream's 401 to the token that the pool would send now. */
async function refuse({ world, bearer }: Pool) {
  const sent = bearer.authorization();
  if (sent === undefined) throw new Error('no token');
  const answer = watch(bearer.renewed(sent, patient));
  await world.clock.advance(0);
  return { sent, answer };
}

t.test('`order` takes the first that is usable, `round-robin` each in turn', async (t) => {
  t.equal(turns((await pooled(t)).bearer, 4), 'aaaa');
  t.equal(turns((await pooled(t, { choice: 'round-robin' })).bearer, 7), 'abcabca');
});

t.test('in turn, the share of one that is gone is divided among the others', async (t) => {
  const pool = await pooled(t, { choice: 'round-robin' });
  await logOut(pool.b, pool.world);
  t.equal(turns(pool.bearer, 6), 'acacac');
});

t.test('one that has no usable token is passed over, and taken again when it has one', async (t) => {
  const pool = await pooled(t);
  await logOut(pool.a, pool.world);
  t.equal(chosen(pool.bearer), 'b');
  await pool.a.refresher.accept(pool.world.provider.login(), { replaceAccount: false });
  t.equal(chosen(pool.bearer), 'a');
});

t.test('one that cools is taken as long as its token is valid', async (t) => {
  const pool = await pooled(t);
  pool.world.provider.always = { fails: 'token_endpoint_unreachable' };
  await t.rejects(pool.a.refresher.refresh());
  t.equal(pool.a.refresher.status().state, 'cooling');
  t.equal(chosen(pool.bearer), 'a');
});

t.test('one whose grant is dead serves last, and rather than nobody', async (t) => {
  const pool = await pooled(t);
  pool.world.provider.steps.push({ fails: 'grant_revoked' });
  await t.rejects(pool.a.refresher.refresh());
  t.match(pool.a.refresher.status(), { state: 'dead', usable: true });
  t.equal(chosen(pool.bearer), 'b');
  await logOut(pool.b, pool.world);
  await logOut(pool.c, pool.world);
  t.equal(chosen(pool.bearer), 'a');
});

t.test('every header of every member is taken from the client, and a token brings its own alone', (t) => {
  const make = (name: string, injectedNames: string[]): PoolMember => ({
    ...still(name),
    injectedNames,
    authorization: () => ({ credential: name, generation: 1, rawHeaders: [name, name] }),
  });
  const bearer = createPool({
    members: [make('a', ['authorization', 'x-a']), make('b', ['authorization', 'x-b'])],
    choice: 'round-robin',
    restsOnLimit: false,
    waitMs: 1,
    clock: createFakeClock(),
  });
  t.strictSame(bearer.injectedNames, ['authorization', 'x-a', 'x-b']);
  t.strictSame(bearer.authorization()?.rawHeaders, ['a', 'a']);
  t.strictSame(bearer.authorization()?.rawHeaders, ['b', 'b']);
  t.equal(bearer.answers, undefined, 'nobody looks at answers for nothing');
  t.end();
});

// --- nobody is usable -----------------------------------------------------------------------------------------------

t.test('where none is usable a request waits for the first that is being refreshed', async (t) => {
  const pool = await pooled(t);
  pool.world.provider.answerMs = 2_000;
  pool.world.clock.jumpWall(hour);
  const refreshing = watch(pool.b.refresher.wait(patient));
  const waiting = watch(pool.bearer.wait(patient));
  await pool.world.clock.advance(2_000);
  t.equal(refreshing.code, 'resolved');
  t.equal(waiting.value?.credential, 'b');
  t.equal(pool.world.provider.calls, 1, 'and asks for no other');
});

t.test('where none is being refreshed it begins with the first that can be', async (t) => {
  const pool = await pooled(t);
  await logOut(pool.a, pool.world);
  pool.world.clock.jumpWall(hour);
  const waiting = watch(pool.bearer.wait(patient));
  await pool.world.clock.advance(0);
  t.equal(waiting.value?.credential, 'b');
});

t.test('who waited in vain gets the next: usable by now, else waited for', async (t) => {
  const pool = await pooled(t);
  const { world } = pool;
  world.clock.jumpWall(hour);
  world.provider.steps.push({ fails: 'grant_revoked', answerMs: 1_000 });
  const waiting = watch(pool.bearer.wait(patient));
  await world.clock.advance(2_000);
  t.equal(pool.a.refresher.status().state, 'dead');
  t.equal(waiting.value?.credential, 'b');
  t.equal(world.provider.calls, 2);
});

t.test('the time to wait is that of one, however many are waited for', async (t) => {
  const pool = await pooled(t, { waitMs: 10_000 });
  const { world } = pool;
  world.clock.jumpWall(hour);
  world.provider.answerMs = 60_000;
  const waiting = watch(pool.bearer.wait(patient));
  await world.clock.advance(9_999);
  t.equal(waiting.code, 'pending');
  await world.clock.advance(1);
  t.equal(waiting.code, 'refresh_wait_timeout');
  t.equal(waiting.retryAfterMs, 1_000);
});

t.test('whose time is over gets what another has obtained meanwhile', async (t) => {
  const pool = await pooled(t, { waitMs: 10_000 });
  const { world } = pool;
  world.clock.jumpWall(hour);
  world.provider.answerMs = 60_000;
  const waiting = watch(pool.bearer.wait(patient));
  await world.clock.advance(5_000);
  await pool.b.refresher.accept(world.provider.login(), { replaceAccount: false });
  await world.clock.advance(5_000);
  t.equal(waiting.value?.credential, 'b');
});

t.test('a client that leaves leaves the queue, and nobody is waited for in its place', async (t) => {
  const pool = await pooled(t);
  pool.world.clock.jumpWall(hour);
  pool.world.provider.answerMs = 1_000;
  const client = new AbortController();
  const waiting = watch(pool.bearer.wait(client.signal));
  await pool.world.clock.advance(10);
  client.abort(new Error('gone'));
  await pool.world.clock.advance(10);
  t.match(waiting.now, { state: 'rejected', thrown: { message: 'gone' } });
  t.equal(pool.a.refresher.status().waiting, 0);
  await pool.world.clock.advance(1_000);
  t.equal(pool.world.provider.calls, 1);
});

t.test('where nobody can be waited for, it is the error of the one that may be had first', async (t) => {
  const pool = await pooled(t);
  const { world } = pool;
  await logOut(pool.a, world);
  world.clock.jumpWall(hour);
  world.provider.steps.push(
    { fails: 'token_endpoint_limited', details: { retryAfterMs: 5 * minute } },
    { fails: 'token_endpoint_limited', details: { retryAfterMs: 2 * minute } },
  );
  const first = watch(pool.bearer.wait(patient));
  await world.clock.advance(0);
  t.strictSame([first.code, first.retryAfterMs], ['access_token_expired', 2 * minute]);
  t.match(first.now, { thrown: { details: { credential: 'c' } } });
  await world.clock.advance(minute);
  const second = watch(pool.bearer.wait(patient));
  await world.clock.advance(0);
  t.equal(second.retryAfterMs, minute);
  t.equal(world.provider.calls, 2);
  await logOut(pool.b, world);
  await logOut(pool.c, world);
  const third = watch(pool.bearer.wait(patient));
  await world.clock.advance(0);
  t.strictSame([third.code, third.retryAfterMs], ['grant_absent', undefined]);
});

// --- 401 ------------------------------------------------------------------------------------------------------------

t.test('a 401 runs its rule on its member, and the replay goes with that member’s new token', async (t) => {
  const pool = await pooled(t);
  const { sent, answer } = await refuse(pool);
  t.equal(answer.value?.credential, 'a');
  t.ok((answer.value?.generation ?? 0) > sent.generation);
  t.equal(pool.world.provider.calls, 1);
});

t.test('where that refresh fails, the replay goes with the next member, and so do the requests after it', async (t) => {
  for (const fails of ['grant_revoked', 'token_endpoint_unreachable'] as const) {
    const pool = await pooled(t);
    pool.world.provider.steps.push({ fails });
    const { answer } = await refuse(pool);
    t.equal(answer.value?.credential, 'b');
    t.equal(chosen(pool.bearer), 'b', 'what was refused is not sent again');
    await pool.world.clock.advance(minute);
    if (fails === 'grant_revoked') t.equal(chosen(pool.bearer), 'b');
    else t.equal(chosen(pool.bearer), 'a', 'a minute later it may have been a whim of the upstream');
  }
});

t.test('a newer token ends the doubt at once', async (t) => {
  const pool = await pooled(t);
  pool.world.provider.steps.push({ fails: 'token_endpoint_unreachable' });
  await refuse(pool);
  t.equal(chosen(pool.bearer), 'b');
  pool.a.refresher.resume();
  await pool.a.refresher.refresh();
  t.equal(chosen(pool.bearer), 'a');
});

t.test('a replay that another member’s token was refused with renews that one, and pauses nothing', async (t) => {
  const pool = await pooled(t);
  pool.world.provider.steps.push({ fails: 'grant_revoked' });
  const { sent, answer } = await refuse(pool);
  const replay = answer.value as Authorization;
  pool.bearer.replayed(replay, false, sent);
  await pool.world.clock.advance(0);
  const after = pool.b.refresher.authorization();
  t.ok((after?.generation ?? 0) > replay.generation);
  t.equal(pool.b.refresher.status().state, 'fresh');
});

t.test('a replay with its own new token that is refused pauses it; the pool goes on with the next', async (t) => {
  const pool = await pooled(t);
  const { sent, answer } = await refuse(pool);
  pool.bearer.replayed(answer.value as Authorization, false, sent);
  t.equal(pool.a.refresher.status().state, 'refused');
  t.equal(chosen(pool.bearer), 'b');
});

t.test(
  'a path that answers nothing but 401 costs each member one refresh, and nobody serves worse for it',
  async (t) => {
    const pool = await pooled(t);
    for (let request = 0; request < 50; request += 1) {
      const { sent, answer } = await refuse(pool);
      if (answer.value !== undefined) pool.bearer.replayed(answer.value, false, sent);
      await pool.world.clock.advance(100);
    }
    t.equal(pool.world.provider.calls, 3);
    t.equal((await refuse(pool)).answer.value, undefined, 'no replay with a token that was refused as well');
    t.equal(chosen(pool.bearer), 'a', 'where all were refused the order counts');
  },
);

t.test('a token that is no longer current is replaced without any refresh', async (t) => {
  const pool = await pooled(t);
  const old = pool.bearer.authorization() as Authorization;
  await pool.a.refresher.refresh();
  const { calls } = pool.world.provider;
  t.equal((await pool.bearer.renewed(old, patient))?.credential, 'a');
  t.equal(pool.world.provider.calls, calls);
});

// --- limits ---------------------------------------------------------------------------------------------------------

t.test('a 429 lets a member rest: for what it asks, a minute where it asks nothing, an hour at most', async (t) => {
  const table: [string, number][] = [
    ['90', 90_000],
    ['', minute],
    ['1555200', hour],
  ];
  for (const [seconds, restMs] of table) {
    const pool = await pooled(t);
    const { clock } = pool.world;
    const sent = pool.bearer.authorization() as Authorization;
    pool.bearer.answers?.head(sent, 429, [seconds]);
    t.strictSame(pool.a.refresher.status().resting, { code: 'upstream_limited', untilMs: clock.wallMs() + restMs });
    t.match(pool.a.refresher.status(), { state: 'fresh', usable: true }, 'its token is as good as before');
    t.equal(chosen(pool.bearer), 'b');
    await clock.advance(Math.min(restMs, 10 * minute) - 1);
    t.equal(chosen(pool.bearer), 'b');
    pool.world.clock.jumpWall(-hour);
    if (restMs < hour) {
      await clock.advance(1);
      t.equal(chosen(pool.bearer), 'a');
      t.equal(pool.a.refresher.status().resting, undefined);
    }
  }
});

t.test('a crowd that is limited is one rest, told once; the body may name a quota and a longer one', async (t) => {
  const pool = await pooled(t);
  const sent = pool.bearer.authorization() as Authorization;
  for (let request = 0; request < 100; request += 1) t.ok(pool.bearer.answers?.head(sent, 429, ['30']));
  t.strictSame(pool.a.failures, ['upstream_limited']);
  pool.bearer.answers?.body(sent, 'other');
  pool.bearer.answers?.body(sent, 'quota');
  pool.bearer.answers?.head(sent, 429, ['1']);
  t.strictSame(pool.a.failures, ['upstream_limited', 'upstream_quota_exhausted']);
  const { resting } = pool.a.refresher.status();
  t.equal(resting?.untilMs, pool.world.clock.wallMs() + 2 * minute, 'one that asks for less shortens nothing');
});

t.test(
  'where all rest, the one whose rest ends first serves: the upstream’s own answer tells more than ours',
  async (t) => {
    const pool = await pooled(t);
    for (const seconds of ['300', '60', '120']) {
      pool.bearer.answers?.head(pool.bearer.authorization() as Authorization, 429, [seconds]);
    }
    t.equal(chosen(pool.bearer), 'b');
  },
);

t.test('a rest is ended by resume, by a login, and by nothing that a refresh does', async (t) => {
  const pool = await pooled(t);
  const rest = (): void => {
    pool.bearer.answers?.head(pool.a.refresher.authorization() as Authorization, 429, ['600']);
    t.equal(chosen(pool.bearer), 'b');
  };
  rest();
  await pool.a.refresher.refresh();
  t.equal(chosen(pool.bearer), 'b');
  t.strictSame(pool.a.refresher.resume(), ['resting']);
  t.equal(chosen(pool.bearer), 'a');
  t.strictSame(pool.a.refresher.resume(), []);
  rest();
  await pool.a.refresher.accept(pool.world.provider.login(), { replaceAccount: false });
  t.equal(chosen(pool.bearer), 'a');
});

t.test('without `coolOn429` nobody rests', async (t) => {
  const pool = await pooled(t, { restsOnLimit: false });
  pool.bearer.answers?.head(pool.bearer.authorization() as Authorization, 429, ['600']);
  t.equal(chosen(pool.bearer), 'a');
});

// --- whatever the members are ---------------------------------------------------------------------------------------

function still(name: string): PoolMember {
  return {
    name,
    injectedNames: ['authorization'],
    limits: undefined,
    authorization: () => undefined,
    wait: () => Promise.reject(new SidebearerError('grant_absent', { credential: name })),
    renewed: () => Promise.resolve(undefined),
    replayed: () => undefined,
    reluctance: () => 0,
    need: (): Need => ({ kind: 'fail', code: 'grant_absent', retryAfterMs: undefined }),
    rest: (_limit: UpstreamLimit) => undefined,
  };
}

interface Play {
  readonly usable: boolean;
  readonly reluctance: number;
  readonly need: 'refreshing' | 'startable' | number | undefined;
  readonly waitEnds: 'well' | 'badly';
}

function play(name: string, { usable, reluctance, need, waitEnds }: Play, waited: string[]): PoolMember {
  const authorization: Authorization = { credential: name, generation: 1, rawHeaders: [] };
  const asNeed: Need =
    need === 'refreshing' || need === 'startable'
      ? { kind: 'wait', start: need === 'startable' }
      : { kind: 'fail', code: 'access_token_expired', retryAfterMs: need };
  return {
    ...still(name),
    authorization: () => (usable ? authorization : undefined),
    reluctance: () => reluctance,
    need: () => asNeed,
    wait() {
      waited.push(name);
      if (asNeed.kind === 'wait' && waitEnds === 'well') return Promise.resolve(authorization);
      const retryAfterMs = asNeed.kind === 'fail' ? asNeed.retryAfterMs : 1_000;
      const details = { credential: name, ...(retryAfterMs !== undefined && { retryAfterMs }) };
      return Promise.reject(new SidebearerError('access_token_expired', details));
    },
  };
}

const anyPlay: fc.Arbitrary<Play> = fc.record({
  usable: fc.boolean(),
  reluctance: fc.constantFrom(0, 1, 2, 3, 1_000),
  need: fc.constantFrom<Play['need'][]>('refreshing', 'startable', undefined, 1_000, 60_000),
  waitEnds: fc.constantFrom('well', 'badly'),
});

t.test(
  'whatever the members are: the best usable token, else the best wait, else the earliest Retry-After',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyPlay, { minLength: 2, maxLength: 6 }),
        fc.constantFrom('order' as const, 'round-robin' as const),
        fc.nat(10),
        async (plays, choice, earlier) => {
          const waited: string[] = [];
          const members = plays.map((each, index) => play(String(index), each, waited));
          const clock = createFakeClock();
          const bearer = createPool({ members, choice, restsOnLimit: true, waitMs: 10_000, clock });
          for (let request = 0; request < earlier; request += 1) bearer.authorization();
          const usable = plays.filter((each) => each.usable);
          const got = await bearer.wait(patient).then(
            (authorization) => authorization,
            (error: SidebearerError) => error,
          );
          if (usable.length > 0) {
            const least = Math.min(...usable.map(({ reluctance }) => reluctance));
            if (got instanceof SidebearerError) throw got;
            if (plays[Number(got.credential)]?.reluctance !== least) throw new Error('a better one was usable');
            if (waited.length > 0) throw new Error('it waited though one was usable');
            return;
          }
          if (new Set(waited).size < waited.length) throw new Error('one was waited for twice');
          const waitable = plays.filter(({ need }) => need === 'refreshing' || need === 'startable');
          const isWell = waitable.some(({ waitEnds }) => waitEnds === 'well');
          if (isWell !== !(got instanceof SidebearerError)) throw new Error('a wait would have ended well');
          if (!(got instanceof SidebearerError)) return;
          const told = plays.flatMap(({ need }) => (typeof need === 'number' ? [need] : []));
          const expected = waitable.length > 0 ? 1_000 : told.length > 0 ? Math.min(...told) : undefined;
          if (got.details.retryAfterMs !== expected) throw new Error('not the earliest');
        },
      ),
      { numRuns: 2_000 },
    );
  },
);
