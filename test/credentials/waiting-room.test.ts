// Requests that wait: bounded in time and number, first come first served, gone when the client is.
import t from 'tap';
import type { Authorization } from '../../src/credentials/bearer.ts';
import { createWaitingRoom } from '../../src/credentials/waiting-room.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { patient, watch } from './_rig.ts';

const token: Authorization = { credential: 'main', generation: 1, rawHeaders: [] };
const never = (): undefined => undefined;

t.test('who waits longer than wait.timeout gets `refresh_wait_timeout` and Retry-After of one second', async (t) => {
  const clock = createFakeClock();
  const room = createWaitingRoom(() => ({ timeoutMs: 10_000, places: 5 }), clock);
  const waiting = watch(room.join(patient, never, never));
  await clock.advance(9_999);
  t.equal(waiting.code, 'pending');
  await clock.advance(1);
  t.equal(waiting.code, 'refresh_wait_timeout');
  t.equal(waiting.retryAfterMs, 1_000);
  t.equal(room.size, 0);
});

t.test('who finds wait.queue full gets `refresh_queue_full` at once, and those inside stay', async (t) => {
  const clock = createFakeClock();
  const room = createWaitingRoom(() => ({ timeoutMs: 10_000, places: 2 }), clock);
  const inside = [watch(room.join(patient, never, () => 'ended')), watch(room.join(patient, never, () => 'ended'))];
  const outside = watch(room.join(patient, never, never));
  await clock.advance(0);
  t.equal(outside.code, 'refresh_queue_full');
  t.equal(outside.retryAfterMs, 1_000);
  t.equal(room.size, 2);
  room.end();
  await clock.advance(0);
  t.strictSame(
    inside.map(({ value }) => value),
    ['ended', 'ended'],
  );
});

t.test('first come, first served', async (t) => {
  const clock = createFakeClock();
  const room = createWaitingRoom(() => ({ timeoutMs: 10_000, places: 100 }), clock);
  const order: number[] = [];
  let isReady = false;
  for (let each = 0; each < 50; each += 1) {
    void room.join(patient, () => (isReady ? token : undefined), never).then(() => order.push(each));
  }
  room.serve();
  await clock.advance(0);
  t.strictSame(order, [], 'nothing is ready yet');
  isReady = true;
  room.serve();
  await clock.advance(0);
  t.strictSame(
    order,
    Array.from({ length: 50 }, (_, each) => each),
  );
  t.equal(clock.armed, 0, 'no timer is left');
});

t.test('a client that leaves frees its place at once and is told why', async (t) => {
  const clock = createFakeClock();
  const room = createWaitingRoom(() => ({ timeoutMs: 10_000, places: 1 }), clock);
  const client = new AbortController();
  const left = watch(room.join(client.signal, never, never));
  client.abort(new Error('the client left'));
  await clock.advance(0);
  t.match(left.now, { state: 'rejected', thrown: { message: 'the client left' } });
  t.equal(room.size, 0);
  t.equal(clock.armed, 0);
  const next = watch(room.join(patient, never, () => 'served'));
  room.end();
  await clock.advance(0);
  t.equal(next.value, 'served');
});

t.test('a client that was gone before takes no place', async (t) => {
  const clock = createFakeClock();
  const room = createWaitingRoom(() => ({ timeoutMs: 10_000, places: 1 }), clock);
  const gone = watch(room.join(AbortSignal.abort(new Error('gone')), never, never));
  await clock.advance(0);
  t.match(gone.now, { state: 'rejected', thrown: { message: 'gone' } });
  t.equal(room.size, 0);
});

t.test('at the end everyone gets something: what is ready, else what `atEnd` says or throws', async (t) => {
  const clock = createFakeClock();
  const room = createWaitingRoom(() => ({ timeoutMs: 10_000, places: 5 }), clock);
  const served = watch(room.join(patient, () => token, never));
  const told = watch(room.join(patient, never, () => 'nothing'));
  const refused = watch(
    room.join(patient, never, () => {
      throw new SidebearerError('grant_rejected');
    }),
  );
  room.end();
  await clock.advance(0);
  t.equal(served.value, token);
  t.equal(told.value, 'nothing');
  t.equal(refused.code, 'grant_rejected');
  t.equal(room.size, 0);
});
