// A provider that is down until every token has ended, and comes back: meanwhile it is called at the pace of the
// backoff and nobody is sent on with an expired token; afterwards everyone serves again without anyone's help.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { createFaultWorld, send } from './_fault-world.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { createFileStorage } from './_storage.ts';

const attempts = 2;
const paceMs = 1_000;
const outageMs = 8_000;
const settings = `    refresh: { timeout: 3s, attempts: ${attempts}, cooldown: 4s, backoff: { initial: 100ms, max: 200ms } }
    breaker: { resetAfter: ${paceMs}ms }`;

t.setTimeout(300_000);

t.test('the provider answers 503 for longer than a token lives, under load', async (t) => {
  const world = await createFaultWorld({ storage: await createFileStorage(), leaseMs: 1_000, settings, lifeMs: 3_000 });
  await world.logIn();
  world.endpoint.always = { status: 503 };
  const startedAtMs = performance.now();
  const programs: RunningProgram[] = [];
  for (const name of ['one', 'two', 'three']) programs.push(await runProgram(world.config(name)));
  t.teardown(async () => {
    await Promise.all(programs.map((program) => program.end('SIGKILL')));
    await world.close();
  });

  const refusals = new Set<string>();
  const servingFromMs = performance.now();
  while (refusals.size === 0 || performance.now() - servingFromMs < outageMs) {
    for (const response of await Promise.all(programs.map(send))) {
      if (response?.status === 200) continue;
      refusals.add(`${response?.status} ${response?.headers.get('sidebearer-error')}`);
      if (response?.status === 503)
        t.ok(Number(response.headers.get('retry-after')) >= 1, 'it says when to come again');
    }
    await delay(50);
  }
  const lastedMs = performance.now() - startedAtMs;
  t.ok(refusals.size > 0, [...refusals].join());
  t.strictSame(
    [...refusals].filter((each) => !/^503 \w/.test(each)),
    [],
    'nobody got anything but a 503 with a code',
  );
  const most = programs.length * attempts * (1 + Math.ceil(lastedMs / paceMs));
  const calls = world.endpoint.redeems.length;
  t.ok(calls > 0 && calls <= most, `${calls} calls, at most ${most}`);

  world.endpoint.always = {};
  world.endpoint.lifeMs = 60_000;
  const backAtMs = performance.now();
  const recovered = await Promise.all(
    programs.map(async (program) => {
      await eventually('a token', async () => (await send(program))?.status === 200 || undefined);
      return Math.round(performance.now() - backAtMs);
    }),
  );
  t.comment(`${calls} calls in ${Math.round(lastedMs)} ms of outage; recovered after ${recovered.join(', ')} ms`);
  t.equal(world.endpoint.reuses.length, 0);
  t.equal(world.endpoint.redeems.filter(({ outcome }) => outcome === 'rotated').length, 1, 'one redeem for all');
  for (const program of programs) t.equal(await program.end(), 0);
});
