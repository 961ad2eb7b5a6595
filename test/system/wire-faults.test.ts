// What a wire can do to one refresh, before the request, on its way and in the middle of the answer. A refresh token is
// lost only where the provider had rotated and its answer never came; everything else is one redeem in the end.
import t, { type Test } from 'tap';
import { createFaultWorld, type FaultWorld, send } from './_fault-world.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import type { Scripted } from './_rotating-endpoint.ts';
import { createFileStorage } from './_storage.ts';
import type { Fate } from './_wire.ts';

const settings =
  '    refresh: { timeout: 3s, attempts: 2, cooldown: 400ms, backoff: { initial: 50ms } }\n    breaker: { resetAfter: 400ms }';

/** Nothing here depends on speed; a machine that is busy may take its time. */
t.setTimeout(300_000);

async function createSubject(t: Test): Promise<{ world: FaultWorld; program: RunningProgram }> {
  const world = await createFaultWorld({ storage: await createFileStorage(), leaseMs: 1_000, settings });
  await world.logIn();
  const program = await runProgram(world.config('one'));
  t.teardown(async () => {
    await program.end('SIGKILL');
    await world.close();
  });
  return { world, program };
}

const harmless: Readonly<Record<string, Fate>> = {
  'a delay within the time-out': { kind: 'pass', delayMs: 100 },
  'a reset before the request was taken': { kind: 'cut', when: 'before' },
  'a request that is lost': { kind: 'lose', what: 'request' },
};
for (const [name, fate] of Object.entries(harmless)) {
  t.test(`${name}: one redeem in the end`, async (t) => {
    const { world, program } = await createSubject(t);
    world.wire.fates.push(fate);
    t.equal((await world.refresh(program))?.status, 200);
    t.equal(world.endpoint.redeems.length, 1);
    t.ok(await world.isStoredCurrent());
    t.equal(await program.end(), 0);
  });
}

t.test('nobody listens, and later somebody does: nothing was sent, and then one redeem', async (t) => {
  const { world, program } = await createSubject(t);
  await world.wire.down();
  t.equal((await world.refresh(program))?.status, 401);
  t.equal((await send(program))?.status, 200, 'the token in hand goes on');
  await world.wire.up();
  await eventually('a refresh', async () => (await world.refresh(program))?.status === 200 || undefined);
  t.equal(world.endpoint.redeems.length, 1);
  t.ok(await world.isStoredCurrent());
  t.equal(await program.end(), 0);
});

const losses: Readonly<Record<string, Fate>> = {
  'a reset after the request was taken': { kind: 'cut', when: 'received' },
  'a reset in the middle of the answer': { kind: 'cut', when: 'answering' },
  'an answer that never comes': { kind: 'lose', what: 'answer' },
};
for (const [name, fate] of Object.entries(losses)) {
  t.test(`${name}: refresh_outcome_unknown, the token in hand goes on, a login cures it`, async (t) => {
    const { world, program } = await createSubject(t);
    const token = await (await send(program))?.text();
    world.wire.fates.push(fate);
    t.equal((await world.refresh(program))?.status, 401, 'there is nothing better than what the upstream refused');
    await eventually(
      'the loss in the log',
      () => program.lines.some(({ code }) => code === 'refresh_outcome_unknown') || undefined,
    );
    t.strictSame(
      world.endpoint.redeems.map(({ outcome }) => outcome),
      ['rotated', 'reused'],
    );
    t.equal((await world.record()).stored?.dead?.code, 'refresh_outcome_unknown');
    t.equal(await (await send(program))?.text(), token);
    await world.logIn();
    await eventually('the login', async () => (await (await send(program))?.text()) !== token || undefined);
    t.equal((await world.refresh(program))?.status, 200);
    t.equal(world.endpoint.redeems.length, 3);
    t.equal(await program.end(), 0);
  });
}

const rotatesNothing: Readonly<Record<string, Scripted>> = {
  'a 503': { status: 503 },
  'a 429': { status: 429, headers: { 'retry-after': '1' } },
  'an empty 200': { status: 200, body: '' },
  'a page of HTML': { status: 200, body: '<html>' },
  'JSON that is cut off': { status: 200, body: '{"access_token": "a' },
};
for (const [name, scripted] of Object.entries(rotatesNothing)) {
  t.test(`${name}, then the provider works again: the family lives`, async (t) => {
    const { world, program } = await createSubject(t);
    world.endpoint.script.push(scripted);
    await eventually('a refresh', async () => ((await world.refresh(program))?.status === 200 ? true : undefined));
    t.strictSame(
      world.endpoint.redeems.map(({ outcome }) => outcome),
      ['scripted', 'rotated'],
    );
    t.ok(await world.isStoredCurrent());
    t.equal(await program.end(), 0);
  });
}
