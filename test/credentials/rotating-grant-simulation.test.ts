// Random schedules of faults over the product's own refresher and store code. What is promised: at most one redeem in
// flight; an expired token is never sent; every state is left when its cause is gone; a provider that is down is called
// no more often than the backoff says; a family dies only where the redeem that rotated it was disturbed between its
// first byte and its durable commit, and is then told as what it is. A long run: npm run simulate.
import fc from 'fast-check';
import t from 'tap';
import { schedules } from './_schedule.ts';
import { play } from './_simulation.ts';

const runs = 150;
/** Printed with the name; the same seed is the same schedules. */
const seed = Number(process.env['SIMULATION_SEED'] ?? Date.now() % 1_000_000_000);

t.setTimeout(runs * 1_000);

t.test(`${runs} random schedules of faults, seed ${seed}`, async (t) => {
  let redeems = 0;
  const property = fc.asyncProperty(schedules, async (schedule) => {
    const played = await play(schedule);
    redeems += played.redeems;
    if (played.wrong.length > 0) throw new Error(played.wrong.join('\n'));
  });
  // Not shrunk: a minute of smaller schedules would hide the one that failed behind the runner's time limit.
  const result = await fc.check(property, { numRuns: runs, seed, endOnFailure: true });
  t.notOk(result.failed, fc.defaultReportMessage(result) ?? 'none is broken');
  t.ok(redeems > runs, `${redeems} redeems`);
});
