// One timer for all credentials.
import t from 'tap';
import { createSchedule } from '../../src/credentials/schedule.ts';
import { createFakeClock } from '../_fake-clock.ts';

const day = 86_400_000;

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

t.test('10,000 credentials share one armed timer and fall due in order, each once', async (t) => {
  const clock = createFakeClock();
  const order: number[] = [];
  const schedule = createSchedule(clock, (name) => order.push(Number(name)));
  const random = seeded(7);
  const dueAt = Array.from({ length: 10_000 }, () => clock.wallMs() + Math.floor(random() * 50_000));
  dueAt.forEach((atMs, index) => void schedule.set(String(index), atMs));
  t.equal(clock.armed, 1);
  await clock.advance(50_000);
  t.equal(order.length, 10_000);
  t.equal(new Set(order).size, 10_000);
  t.ok(order.every((name, at) => at === 0 || (dueAt[order[at - 1] ?? 0] ?? 0) <= (dueAt[name] ?? 0)));
  t.equal(clock.armed, 0);
});

t.test('moved and removed at random, it always agrees with a plain list', async (t) => {
  const clock = createFakeClock();
  const random = seeded(3);
  const expected = new Map<string, number>();
  let wrong = 0;
  const schedule = createSchedule(clock, (name) => {
    if ((expected.get(name) ?? Number.POSITIVE_INFINITY) > clock.wallMs()) wrong += 1;
    expected.delete(name);
  });
  for (let round = 0; round < 3_000; round += 1) {
    const name = String(Math.floor(random() * 40));
    const kind = random();
    if (kind < 0.6) {
      const atMs = clock.wallMs() + Math.floor(random() * 5_000);
      expected.set(name, atMs);
      schedule.set(name, atMs);
    } else if (kind < 0.7) {
      expected.delete(name);
      schedule.remove(name);
    } else if (kind < 0.8) {
      expected.delete(name);
      schedule.set(name, Number.POSITIVE_INFINITY);
    } else {
      await clock.advance(Math.floor(random() * 300));
    }
    const late = [...expected.values()].filter((atMs) => atMs < clock.wallMs()).length;
    if (late > 0) wrong += 1;
  }
  t.equal(wrong, 0);
  await clock.advance(6_000);
  t.equal(expected.size, 0, 'nothing was forgotten');
});

t.test('a due time 30 days away comes neither at once nor late', async (t) => {
  const clock = createFakeClock();
  const calls: number[] = [];
  const start = clock.wallMs();
  const schedule = createSchedule(clock, () => calls.push(clock.wallMs()));
  schedule.set('a', start + 30 * day);
  await clock.advance(1_000);
  t.strictSame(calls, []);
  clock.jumpWall(30 * day - 200_000);
  await clock.advance(200_000);
  t.equal(calls.length, 1);
  t.ok((calls[0] ?? 0) >= start + 30 * day && (calls[0] ?? 0) <= start + 30 * day + 60_000);
});

t.test('no timer is ever armed for longer than setTimeout can count', async (t) => {
  const clock = createFakeClock();
  const schedule = createSchedule(clock, () => undefined);
  schedule.set('a', clock.wallMs() + 400 * day);
  t.ok((clock.nextDueMs ?? 0) < 2_147_483_647);
});

t.test('after a jump of the wall clock what is due comes within a minute', async (t) => {
  const clock = createFakeClock();
  let calls = 0;
  const schedule = createSchedule(clock, () => {
    calls += 1;
  });
  schedule.set('a', clock.wallMs() + day);
  clock.jumpWall(2 * day);
  await clock.advance(60_000);
  t.equal(calls, 1);
});

t.test('after a jump back nothing comes too early', async (t) => {
  const clock = createFakeClock();
  const calls: number[] = [];
  const schedule = createSchedule(clock, () => calls.push(clock.wallMs()));
  const dueAt = clock.wallMs() + 30_000;
  schedule.set('a', dueAt);
  clock.jumpWall(-100_000);
  await clock.advance(129_000);
  t.strictSame(calls, []);
  await clock.advance(60_000);
  t.equal(calls.length, 1);
  t.ok((calls[0] ?? 0) >= dueAt);
});

t.test('set again replaces, removed never comes, stopped is silent for good', async (t) => {
  const clock = createFakeClock();
  const calls: string[] = [];
  const schedule = createSchedule(clock, (name) => calls.push(name));
  schedule.set('later', clock.wallMs() + 1_000);
  schedule.set('later', clock.wallMs() + 5_000);
  schedule.set('gone', clock.wallMs() + 500);
  schedule.remove('gone');
  schedule.remove('never there');
  await clock.advance(4_999);
  t.strictSame(calls, []);
  await clock.advance(1);
  t.strictSame(calls, ['later']);
  schedule.set('a', clock.wallMs() + 10);
  schedule.stop();
  schedule.set('b', clock.wallMs() + 10);
  await clock.advance(1_000);
  t.strictSame(calls, ['later']);
  t.equal(clock.armed, 0);
});

t.test('a time that is past is due on the next turn, never inside `set`', async (t) => {
  const clock = createFakeClock();
  let calls = 0;
  const schedule = createSchedule(clock, () => {
    calls += 1;
  });
  schedule.set('a', Number.NEGATIVE_INFINITY);
  t.equal(calls, 0);
  await clock.advance(0);
  t.equal(calls, 1);
});

t.test('what sets itself for now again does not hold the process, and others have their turn', async (t) => {
  const clock = createFakeClock();
  const calls: string[] = [];
  const schedule = createSchedule(clock, (name) => {
    calls.push(name);
    if (name === 'eager' && calls.length < 1_000) schedule.set('eager', clock.wallMs());
  });
  schedule.set('eager', clock.wallMs());
  schedule.set('patient', clock.wallMs());
  const next = clock.nextDueMs;
  t.equal(next, 0);
  // One turn of the timer, by hand: `advance` would run all of them.
  await new Promise<void>((resolve) => {
    clock.after(0, resolve);
    void clock.advance(0);
  });
  t.ok(calls.includes('patient'));
  t.ok(calls.length < 10, `${calls.length} calls in one turn`);
  schedule.stop();
});
