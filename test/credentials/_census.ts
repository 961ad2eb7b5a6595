// A long run of random schedules, outside the test runner (its hooks on promises take half of the time): counts the
// schedules that break a promise, and why. `npm run simulate -- 10000 7`: how many, and the seed.
import fc from 'fast-check';
import { schedules } from './_schedule.ts';
import { play } from './_simulation.ts';

const [runs = 10_000, seed = Date.now() % 1_000_000_000] = process.argv.slice(2).map(Number);
const sums = { schedules: 0, redeems: 0, served: 0, kills: 0, freezes: 0, familiesLost: 0, broken: 0 };
const reasons = new Map<string, number>();
const startedAtMs = performance.now();

console.log(`${runs} schedules, seed ${seed}`);
for (const schedule of fc.sample(schedules, { numRuns: runs, seed })) {
  const { wrong, redeems, served, familiesLost } = await play(schedule);
  sums.schedules += 1;
  sums.redeems += redeems;
  sums.served += served;
  sums.kills += schedule.happenings.filter(({ fault }) => fault === 'kill').length;
  sums.freezes += schedule.happenings.filter(({ fault }) => fault === 'freeze').length;
  sums.familiesLost += familiesLost;
  if (sums.schedules % 500 === 0) console.log(`${sums.schedules} played`);
  if (wrong.length === 0) continue;
  sums.broken += 1;
  const reason = (wrong[0] ?? '').replace(/:.*/s, '').replace(/[\d./-]+/g, '#');
  if (!reasons.has(reason)) console.log(`${wrong.join('\n')}\n${JSON.stringify(schedule)}`);
  reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
}
console.log(JSON.stringify(sums), `${Math.round((performance.now() - startedAtMs) / 1_000)} s`);
for (const [reason, count] of reasons) console.log(`${count} times: ${reason}`);
process.exit(sums.broken > 0 ? 1 : 0);
