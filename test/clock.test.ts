// The machine's own clock: what Node's timers cannot do must not show.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { sleep, systemClock } from '../src/clock.ts';

t.test('a timer of 30 days does not fire at once, though setTimeout would', async (t) => {
  const day = 86_400_000;
  let fired = 0;
  const timers = [25 * day, 30 * day, 1_000 * day, Number.POSITIVE_INFINITY].map((delayMs) =>
    systemClock.after(delayMs, () => {
      fired += 1;
    }),
  );
  await delay(50);
  t.equal(fired, 0);
  for (const timer of timers) timer.cancel();
});

t.test('a time that is past, or none at all, fires on the next turn and never inside the call', async (t) => {
  for (const delayMs of [0, -1, Number.NEGATIVE_INFINITY]) {
    let fired = false;
    const done = new Promise<void>((resolve) => {
      systemClock.after(delayMs, () => {
        fired = true;
        resolve();
      });
    });
    t.notOk(fired);
    await done;
  }
});

t.test('a cancelled timer never fires; cancelling twice, or after it fired, does nothing', async (t) => {
  let fired = 0;
  const cancelled = systemClock.after(1, () => {
    fired += 1;
  });
  cancelled.cancel();
  cancelled.cancel();
  const timer = await new Promise<{ cancel(): void }>((resolve) => {
    const made = systemClock.after(20, () => resolve(made));
  });
  timer.cancel();
  t.equal(fired, 0);
});

t.test('the monotonic clock never goes back', (t) => {
  let last = systemClock.monotonicMs();
  for (let reading = 0; reading < 10_000; reading += 1) {
    const next = systemClock.monotonicMs();
    if (next < last) t.fail(`${next} after ${last}`);
    last = next;
  }
  t.end();
});

t.test('a sleep ends with its signal, and at once where that has gone already', async (t) => {
  const signal = new AbortController();
  const asleep = sleep(systemClock, 86_400_000, signal.signal);
  signal.abort();
  await asleep;
  await sleep(systemClock, 86_400_000, signal.signal);
  t.pass('both resolved');
});
