// SIGTERM while the provider has a refresh token and has not answered yet: the program ends only once the answer is
// durable, within its grace time, and leaves nothing behind that anyone would have to wait for.
import t, { type Test } from 'tap';
import { createFaultWorld, credential, type FaultWorld, send } from './_fault-world.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { createFileStorage } from './_storage.ts';

t.setTimeout(300_000);

async function createSubject(t: Test): Promise<{ world: FaultWorld; program: RunningProgram }> {
  const settings = '    refresh: { timeout: 3s, attempts: 1, cooldown: 500ms }\n    breaker: { resetAfter: 500ms }';
  const world = await createFaultWorld({ storage: await createFileStorage(), leaseMs: 1_000, settings });
  await world.logIn();
  const program = await runProgram(world.config('one'));
  t.teardown(async () => {
    await program.end('SIGKILL');
    await world.close();
  });
  t.equal((await send(program))?.status, 200);
  return { world, program };
}

t.test('the redeem is waited for, and what it brought is durable; no intent and no lease stay', async (t) => {
  const { world, program } = await createSubject(t);
  let answer: () => void = () => undefined;
  world.endpoint.script.push({
    until: new Promise<void>((resolve) => {
      answer = resolve;
    }),
  });
  const request = world.refresh(program);
  await world.endpoint.redeemed(1);
  let hasEnded = false;
  const ended = program.end('SIGTERM').then((exit) => {
    hasEnded = true;
    return exit;
  });
  const isGoing = async (): Promise<boolean> =>
    (await fetch(`${program.telemetryUrl}/readyz`).catch(() => undefined))?.status === 503;
  await eventually('the stop to begin', async () => (await isGoing()) || undefined);
  // A second one hurries streams, not this.
  program.process.kill('SIGTERM');
  await eventually('the proxy to be closed', async () => ((await send(program)) === undefined ? true : undefined));
  t.equal(hasEnded, false);
  answer();
  t.equal(await ended, 0);
  await request;
  t.equal(world.endpoint.redeems.length, 1);
  t.ok(await world.isStoredCurrent());
  t.equal((await world.record()).stored?.intent, undefined);
  t.equal((await world.storage.store.lease(credential, 'somebody', 1_000)).held, false);

  const again = await runProgram(world.config('again'));
  t.equal((await send(again))?.status, 200);
  t.equal(world.endpoint.redeems.length, 1, 'the next one finds it');
  t.equal(await again.end(), 0);
});

t.test(
  'an answer that never comes holds it no longer than its time-out, and the next one tells the loss',
  async (t) => {
    const { world, program } = await createSubject(t);
    world.wire.fates.push({ kind: 'lose', what: 'answer' });
    const request = world.refresh(program);
    await world.endpoint.redeemed(1);
    t.equal(await program.end('SIGTERM'), 0);
    await request;
    t.equal((await world.record()).stored?.intent, undefined);
    const again = await runProgram(world.config('again'));
    t.teardown(() => again.end('SIGKILL'));
    const response = await world.refresh(again);
    t.equal(response?.status, 401, response?.headers.get('sidebearer-error') ?? 'the upstream’s own answer');
    t.ok(again.lines.some(({ code, level }) => code === 'refresh_outcome_unknown' && level === 'error'));
    t.equal((await world.record()).stored?.dead?.code, 'refresh_outcome_unknown');
    t.equal(world.endpoint.redeems.length, 2);
    t.equal(await again.end(), 0);
  },
);
