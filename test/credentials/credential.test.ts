// The state machine of a credential against the rules: what is published, what a request gets, how long pauses are,
// and that no sequence of events leads into a state that nothing leads out of.
import fc from 'fast-check';
import t from 'tap';
import { publishedStates } from '../../src/credentials/bearer.ts';
import {
  type CredentialEvent,
  type CredentialState,
  type GrantState,
  initialState,
  isUsable,
  type Moment,
  nextAttemptWallMs,
  onDemand,
  onNeed,
  publishedState,
  reluctance,
  restOf,
  transition,
} from '../../src/credentials/credential.ts';

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const wall = 1_800_000_000_000;
const policy = { cooldownMs: 5 * minute, resetAfterMs: 30 * second, maxRetryAfterMs: hour };

const at = (ms: number): Moment => ({ wallMs: wall + ms, monotonicMs: ms });
const start = at(0);

const token = (generation: number, usableForMs: number, dueInMs = usableForMs / 2): CredentialEvent => ({
  type: 'token',
  generation,
  usableUntilWallMs: wall + usableForMs,
  dueAtWallMs: wall + dueInMs,
  onDemand: false,
});
const failed = (more: Partial<Extract<CredentialEvent, { type: 'failed' }>> = {}): CredentialEvent => ({
  type: 'failed',
  code: 'token_endpoint_unreachable',
  leastPauseMs: 0,
  isClient: false,
  ...more,
});
const started: CredentialEvent = { type: 'started', trigger: 'schedule' };

/** Events with the time at which each comes; a bare event comes at once. */
function after(...events: readonly (CredentialEvent | readonly [number, CredentialEvent])[]): CredentialState {
  let now = 0;
  return events.reduce<CredentialState>((state, entry) => {
    const [atMs, event] = 'type' in entry ? [now, entry] : entry;
    now = atMs;
    return transition(state, event, at(now), policy);
  }, initialState);
}

const withGrant = (grant: GrantState, state: CredentialState): CredentialState => ({ ...state, grant });
const valid = after(token(1, hour));
const expired = after(token(1, -second));
const grants: Readonly<Record<GrantState['kind'], GrantState>> = {
  absent: { kind: 'absent', code: 'grant_absent' },
  ok: { kind: 'ok' },
  refreshing: { kind: 'refreshing', trigger: 'schedule' },
  cooling: { kind: 'cooling', code: 'token_endpoint_unreachable', untilMs: minute, demandFromMs: 30 * second },
  dead: { kind: 'dead', code: 'grant_reused' },
};

t.test('transitions', (t) => {
  const grantAfter = (from: GrantState['kind'], event: CredentialEvent): GrantState['kind'] =>
    transition(withGrant(grants[from], valid), event, start, policy).grant.kind;
  const table: readonly (readonly [GrantState['kind'], CredentialEvent, GrantState['kind']])[] = [
    ['ok', started, 'refreshing'],
    ['cooling', started, 'refreshing'],
    ['refreshing', token(2, hour), 'refreshing'],
    ['cooling', token(2, hour), 'ok'],
    ['dead', token(2, hour), 'ok'],
    ['absent', token(2, hour), 'ok'],
    ['refreshing', { type: 'ended' }, 'ok'],
    ['dead', { type: 'ended' }, 'dead'],
    ['absent', { type: 'ended' }, 'absent'],
    ['cooling', { type: 'ended' }, 'cooling'],
    ['refreshing', failed(), 'cooling'],
    ['refreshing', { type: 'held', code: 'breaker_open', forMs: 5 }, 'cooling'],
    ['refreshing', { type: 'died', code: 'grant_reused' }, 'dead'],
    ['ok', { type: 'died', code: 'grant_reused' }, 'dead'],
    ['refreshing', { type: 'emptied', code: 'grant_absent' }, 'absent'],
    ['dead', { type: 'emptied', code: 'grant_absent' }, 'absent'],
    ['absent', { type: 'granted' }, 'ok'],
    ['dead', { type: 'loggedIn' }, 'ok'],
    ['cooling', { type: 'loggedIn' }, 'ok'],
    ['refreshing', { type: 'loggedIn' }, 'ok'],
    ['ok', { type: 'refused', generation: 1 }, 'ok'],
    ['ok', { type: 'accepted', generation: 1 }, 'ok'],
  ];
  for (const [from, event, to] of table) t.equal(grantAfter(from, event), to, `${from}, ${event.type} → ${to}`);
  t.end();
});

t.test('published is the first that holds of absent, dead, cooling, refreshing, refused, due, fresh', (t) => {
  t.strictSame(publishedStates, ['absent', 'dead', 'cooling', 'refreshing', 'refused', 'due', 'fresh']);
  const refused = transition(valid, { type: 'refused', generation: 1 }, start, policy);
  const due = at(45 * minute);
  for (const [kind, grant] of Object.entries(grants)) {
    if (kind === 'ok') continue;
    for (const state of [valid, expired, refused, initialState]) {
      t.equal(publishedState(withGrant(grant, state), due), kind, `${kind} comes before refused, due and fresh`);
    }
  }
  t.equal(publishedState(refused, due), 'refused', 'refused comes before due');
  t.equal(publishedState(valid, due), 'due');
  t.equal(publishedState(expired, start), 'due', 'expired is due');
  t.equal(publishedState(withGrant(grants.ok, initialState), start), 'due', 'a grant without a token is due');
  t.equal(publishedState(valid, start), 'fresh');
  t.equal(
    publishedState(transition(refused, token(2, hour), start, policy), start),
    'fresh',
    'another token is not refused',
  );
  t.end();
});

t.test('a valid token serves in any state of the grant, dead included', (t) => {
  for (const [kind, grant] of Object.entries(grants)) t.ok(isUsable(withGrant(grant, valid), start), kind);
  t.notOk(isUsable(expired, start));
  t.notOk(isUsable(valid, at(hour)), 'not at its end');
  t.ok(isUsable(valid, at(hour - 1)));
  t.notOk(isUsable(initialState, start));
  t.end();
});

t.test('what a request without a usable token gets', (t) => {
  for (const state of [expired, initialState]) {
    t.strictSame(onNeed(withGrant(grants.refreshing, state), start), { kind: 'wait', start: false });
    t.strictSame(onNeed(withGrant(grants.ok, state), start), { kind: 'wait', start: true });
    t.match(onNeed(withGrant(grants.cooling, state), at(10 * second)), { kind: 'fail', retryAfterMs: 20 * second });
    t.strictSame(onNeed(withGrant(grants.dead, state), start), {
      kind: 'fail',
      code: 'grant_reused',
      retryAfterMs: undefined,
    });
    t.strictSame(onNeed(withGrant(grants.absent, state), start), {
      kind: 'fail',
      code: 'grant_absent',
      retryAfterMs: undefined,
    });
  }
  t.match(onNeed(withGrant(grants.cooling, expired), start), { code: 'access_token_expired' });
  t.match(
    onNeed(withGrant(grants.cooling, initialState), start),
    { code: 'token_endpoint_unreachable' },
    'what never was has not expired',
  );
  t.end();
});

t.test('the first request after the least pause ends a longer one', (t) => {
  const state = withGrant(grants.cooling, expired);
  t.strictSame(onNeed(state, at(30 * second)), { kind: 'wait', start: true });
  t.end();
});

t.test('while the token is valid a failure pauses for cooldown, however often', (t) => {
  let state = after(token(1, hour), started, failed());
  t.match(state.grant, { kind: 'cooling', untilMs: 5 * minute });
  t.equal(nextAttemptWallMs(state, start), wall + 5 * minute);
  for (let again = 1; again < 5; again += 1) {
    const now = at(again * 5 * minute);
    state = transition(transition(state, started, now, policy), failed(), now, policy);
    t.equal(nextAttemptWallMs(state, now), now.wallMs + 5 * minute);
  }
  t.end();
});

t.test('a pause that began with a valid token ends when the token does', (t) => {
  const state = after(token(1, hour), [59 * minute, started], failed());
  t.equal(nextAttemptWallMs(state, at(59 * minute)), wall + hour);
  t.end();
});

t.test('once the token has expired pauses begin at min(cooldown, breaker.resetAfter) and double to cooldown', (t) => {
  const pauses: number[] = [];
  let now = 0;
  // Three failures while it was valid count for nothing.
  let state = after(token(1, second), started, failed(), started, failed(), started, failed());
  now = 2 * second;
  for (let times = 0; times < 7; times += 1) {
    state = transition(transition(state, started, at(now), policy), failed(), at(now), policy);
    const pauseMs = nextAttemptWallMs(state, at(now)) - wall - now;
    pauses.push(pauseMs / second);
    now += pauseMs;
  }
  t.strictSame(pauses, [30, 60, 120, 240, 300, 300, 300]);
  const short = { ...policy, cooldownMs: 10 * second };
  const cooled = transition(after(token(1, -1), started), failed(), start, short);
  t.equal(nextAttemptWallMs(cooled, start), wall + 10 * second, 'a cooldown below resetAfter wins');
  t.end();
});

t.test('while requests keep asking, an expired token is tried each min(cooldown, breaker.resetAfter)', (t) => {
  let state = after(token(1, -1));
  for (let times = 0; times < 6; times += 1) {
    const now = at(times * 30 * second);
    t.strictSame(onNeed(state, now), { kind: 'wait', start: true });
    state = transition(transition(state, started, now, policy), failed(), now, policy);
    t.match(onNeed(state, now), { kind: 'fail', retryAfterMs: 30 * second });
  }
  t.end();
});

t.test('after a success the pauses begin anew', (t) => {
  const state = after(
    token(1, -1),
    started,
    failed(),
    started,
    failed(),
    started,
    { type: 'ended' },
    started,
    failed(),
  );
  t.equal(nextAttemptWallMs(state, start), wall + 30 * second);
  const adopted = after(token(1, -1), started, failed(), started, failed(), token(2, -1), started, failed());
  t.equal(nextAttemptWallMs(adopted, start), wall + 30 * second, 'or after another replica’s');
  t.end();
});

t.test('Retry-After of the provider is kept to, and capped by refresh.maxRetryAfter', (t) => {
  const pause = (leastPauseMs: number, usableForMs: number): number =>
    nextAttemptWallMs(after(token(1, usableForMs), started, failed({ leastPauseMs })), start) - wall;
  t.equal(pause(2 * minute, -1), 2 * minute);
  t.equal(pause(20 * minute, 10 * hour), 20 * minute);
  t.equal(pause(18 * 24 * hour, -1), hour);
  t.equal(pause(second, -1), 30 * second, 'a shorter one shortens nothing');
  const asked = after(token(1, -1), started, failed({ leastPauseMs: 10 * minute }));
  t.match(onNeed(asked, at(minute)), { kind: 'fail', retryAfterMs: 9 * minute }, 'and no request ends it');
  t.end();
});

t.test('client_rejected cools at the longest pause, is never dead', (t) => {
  const state = after(token(1, -1), started, failed({ code: 'client_rejected', isClient: true }));
  t.match(state.grant, { kind: 'cooling', untilMs: 5 * minute, demandFromMs: 5 * minute });
  t.end();
});

t.test('an open breaker or a held second try pauses for as long as it says', (t) => {
  const state = after(token(1, hour), started, { type: 'held', code: 'breaker_open', forMs: 12 * second });
  t.equal(nextAttemptWallMs(state, start), wall + 12 * second);
  t.match(onNeed(withGrant(state.grant, expired), at(2 * second)), { kind: 'fail', retryAfterMs: 10 * second });
  t.end();
});

t.test('a 401 to the current token', (t) => {
  t.equal(onDemand(valid, start), 'start');
  t.equal(onDemand(withGrant(grants.refreshing, valid), start), 'join', 'one refresh for all');
  t.equal(onDemand(withGrant(grants.cooling, valid), start), 'pass', 'cooling: nobody is called');
  t.equal(onDemand(withGrant(grants.dead, valid), start), 'pass');
  t.equal(onDemand(withGrant(grants.absent, valid), start), 'pass');
  t.end();
});

t.test('refused again: refreshes on demand pause for 1 min, doubling to 60', (t) => {
  let state = valid;
  let now = 0;
  const pauses: number[] = [];
  for (let refusal = 0; refusal < 9; refusal += 1) {
    t.equal(onDemand(state, at(now)), 'start');
    state = transition(
      state,
      { ...token(refusal + 2, 100 * hour), onDemand: true } as CredentialEvent,
      at(now),
      policy,
    );
    t.equal(
      onDemand(state, at(now)),
      'refused',
      'a token that was refreshed on demand just now is refused, not refreshed',
    );
    state = transition(state, { type: 'refused', generation: refusal + 2 }, at(now), policy);
    let pauseMs = 0;
    while (onDemand(state, at(now + pauseMs)) === 'pass') pauseMs += 30 * second;
    pauses.push(pauseMs / minute);
    now += pauseMs;
  }
  t.strictSame(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
  t.end();
});

t.test('a crowd that is refused at once is one refusal', (t) => {
  let state = valid;
  for (let request = 0; request < 100; request += 1) {
    state = transition(state, { type: 'refused', generation: 1 }, start, policy);
  }
  t.equal(onDemand(state, at(minute)), 'start');
  t.end();
});

t.test('an accepted replay or a login ends the pause; a refusal of an older token begins none', (t) => {
  const paused = transition(valid, { type: 'refused', generation: 1 }, start, policy);
  t.equal(onDemand(paused, start), 'pass');
  t.equal(onDemand(transition(paused, { type: 'accepted', generation: 1 }, start, policy), start), 'start');
  t.equal(onDemand(transition(paused, { type: 'loggedIn' }, start, policy), start), 'start');
  t.equal(onDemand(transition(paused, { type: 'accepted', generation: 0 }, start, policy), start), 'pass');
  t.equal(onDemand(transition(valid, { type: 'refused', generation: 0 }, start, policy), start), 'start');
  t.equal(
    onDemand(transition(paused, token(2, hour), start, policy), start),
    'pass',
    'a refresh alone does not end it',
  );
  t.end();
});

t.test('a token that was refreshed on demand and served for a minute is refreshed again at a 401', (t) => {
  const state = transition(valid, { ...token(2, hour), onDemand: true } as CredentialEvent, start, policy);
  t.equal(onDemand(state, at(59 * second)), 'refused');
  t.equal(onDemand(state, at(61 * second)), 'start');
  const accepted = transition(state, { type: 'accepted', generation: 2 }, start, policy);
  t.equal(onDemand(accepted, at(second)), 'start', 'or at once, where a replay was accepted');
  t.end();
});

t.test('the schedule: due, never for what is dead, absent or under way, at once for a grant without a token', (t) => {
  t.equal(nextAttemptWallMs(valid, start), wall + 30 * minute);
  t.equal(nextAttemptWallMs(after(token(1, hour, 2 * hour)), start), wall + hour, 'at the latest when it expires');
  t.equal(nextAttemptWallMs(withGrant(grants.ok, initialState), start), wall);
  for (const kind of ['dead', 'absent', 'refreshing'] as const) {
    t.equal(nextAttemptWallMs(withGrant(grants[kind], valid), start), Number.POSITIVE_INFINITY, kind);
  }
  const unknown = after({
    ...token(1, 0),
    usableUntilWallMs: Number.POSITIVE_INFINITY,
    dueAtWallMs: Number.POSITIVE_INFINITY,
  } as CredentialEvent);
  t.equal(nextAttemptWallMs(unknown, start), Number.POSITIVE_INFINITY, 'an unknown expiry has no schedule');
  t.equal(onDemand(unknown, start), 'start', 'and is renewed at a 401');
  t.end();
});

t.test('a rest: capped, never shortened, ended by its time, by resume, a login or a logout', (t) => {
  const limited = (forMs: number, code = 'upstream_limited' as const): CredentialEvent => ({
    type: 'limited',
    code,
    forMs,
  });
  t.strictSame(restOf(valid, start), undefined);
  const state = transition(valid, limited(minute), start, policy);
  t.match(restOf(state, start), { code: 'upstream_limited', untilMs: start.monotonicMs + minute });
  t.equal(restOf(state, at(minute)), undefined, 'its end is its end');
  t.match(restOf(transition(state, limited(second), start, policy), start), { untilMs: start.monotonicMs + minute });
  const long = transition(
    state,
    { type: 'limited', code: 'upstream_quota_exhausted', forMs: 18 * 24 * hour },
    start,
    policy,
  );
  t.match(restOf(long, start), {
    code: 'upstream_quota_exhausted',
    untilMs: start.monotonicMs + policy.maxRetryAfterMs,
  });
  t.ok(isUsable(state, start), 'its token serves all the same');
  t.equal(publishedState(state, start), 'fresh');
  t.ok(restOf(transition(state, token(2, hour), start, policy), start), 'another token does not end it');
  const ends: CredentialEvent[] = [
    { type: 'resumed', endsCooling: false },
    { type: 'loggedIn' },
    { type: 'emptied', code: 'grant_absent' },
  ];
  for (const event of ends) t.equal(restOf(transition(state, event, start, policy), start), undefined, event.type);
  t.end();
});

t.test('what speaks against a usable token: nothing, a dead grant, a refusal, a rest, in this order', (t) => {
  const refused = transition(valid, { type: 'refused', generation: 1 }, start, policy);
  const resting = transition(valid, { type: 'limited', code: 'upstream_limited', forMs: minute }, start, policy);
  const longer = transition(valid, { type: 'limited', code: 'upstream_limited', forMs: 2 * minute }, start, policy);
  const states = [valid, withGrant(grants.dead, valid), refused, resting, longer];
  const values = states.map((state) => reluctance(state, start));
  t.strictSame(
    values,
    [...values].sort((a, b) => a - b),
  );
  t.equal(new Set(values).size, values.length);
  t.equal(values[0], 0);
  t.equal(reluctance(withGrant(grants.cooling, valid), start), 0, 'while its token is valid cooling does not matter');
  t.equal(reluctance(refused, at(minute)), 0, 'after the pause it may have been a whim');
  t.equal(reluctance(transition(refused, token(2, hour), start, policy), start), 0, 'another token was not refused');
  t.end();
});

// --- no dead ends -------------------------------------------------------------------------------------------------

const generation = fc.integer({ min: 1, max: 4 });
const anyEvent: fc.Arbitrary<CredentialEvent> = fc.oneof(
  fc.constant(started),
  fc.record({
    type: fc.constant('token' as const),
    generation,
    usableUntilWallMs: fc.integer({ min: -hour, max: 10 * hour }).map((ms) => wall + ms),
    dueAtWallMs: fc.integer({ min: -hour, max: 10 * hour }).map((ms) => wall + ms),
    onDemand: fc.boolean(),
  }),
  fc.constant<CredentialEvent>({ type: 'ended' }),
  fc.constant<CredentialEvent>({ type: 'emptied', code: 'grant_absent' }),
  fc.constant<CredentialEvent>({ type: 'granted' }),
  fc.record({
    type: fc.constant('failed' as const),
    code: fc.constantFrom('token_endpoint_failing', 'client_rejected', 'store_unavailable'),
    leastPauseMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1_000 * hour })),
    isClient: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('held' as const),
    code: fc.constantFrom('breaker_open', 'refresh_held'),
    forMs: fc.integer({ min: -hour, max: 10 * hour }),
  }),
  fc.constant<CredentialEvent>({ type: 'died', code: 'grant_reused' }),
  fc.constant<CredentialEvent>({ type: 'loggedIn' }),
  fc.record({ type: fc.constant('refused' as const), generation }),
  fc.record({
    type: fc.constant('limited' as const),
    code: fc.constantFrom('upstream_limited', 'upstream_quota_exhausted'),
    forMs: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: -hour, max: 1_000 * hour })),
  }),
  fc.record({ type: fc.constant('accepted' as const), generation }),
);
const anyStep = fc.record({
  event: anyEvent,
  passedMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 * hour })),
  jumpMs: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ min: -hour, max: hour })),
});

t.test('no sequence of events throws, or ends in a state that nothing leads out of', (t) => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      let state = initialState;
      let now = start;
      for (const { event, passedMs, jumpMs } of steps) {
        now = { wallMs: now.wallMs + passedMs + jumpMs, monotonicMs: now.monotonicMs + passedMs };
        state = transition(state, event, now, policy);
        const { kind } = state.grant;
        const nextAtMs = nextAttemptWallMs(state, now);
        const leadsOut = Number.isFinite(nextAtMs) || kind === 'absent' || kind === 'dead' || kind === 'refreshing';
        const longest = now.wallMs + 11 * hour;
        if (!leadsOut) throw new Error(`nothing leads out of ${JSON.stringify(state)}`);
        if (kind === 'cooling' && !(nextAtMs >= now.wallMs && nextAtMs <= longest)) throw new Error('an endless pause');
        if (!publishedStates.includes(publishedState(state, now))) throw new Error('not a published state');
        const need = onNeed(state, now);
        if (need.kind === 'fail') {
          const isOver = kind === 'absent' || kind === 'dead';
          if (isOver !== (need.retryAfterMs === undefined)) throw new Error('Retry-After where none belongs, or none');
          if (!isOver && !((need.retryAfterMs ?? 0) > 0)) throw new Error('Retry-After that is over');
        }
        if (state.demandPause !== undefined && state.demandPause.untilMs - now.monotonicMs > hour) {
          throw new Error('a pause of demands above an hour');
        }
        const rest = restOf(state, now);
        if (rest !== undefined && rest.untilMs - now.monotonicMs > policy.maxRetryAfterMs)
          throw new Error('a rest above its cap');
        if (reluctance(state, now) > 2 !== (rest !== undefined))
          throw new Error('a rest that does not show, or none that does');
        onDemand(state, now);
      }
    }),
    { numRuns: 2_000 },
  );
  t.end();
});
