// A disk that refuses writes, in the built program: before the redeem it is found out and nothing is spent; after it the
// new token serves from memory, the lease and the intent keep others from the spent one, and the write is tried again.
import t, { type Test } from 'tap';
import { createFaultWorld, credential, type FaultWorld, send } from './_fault-world.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { createFileStorage } from './_storage.ts';
import { oneFileThread, straceMissing, trace } from './_strace.ts';
import { metric } from './_world.ts';

/** Long enough that a machine that is busy with other things does not lose it. */
const leaseMs = 1_500;
const skip = straceMissing ?? false;
const settings = '    refresh: { timeout: 3s, attempts: 1, cooldown: 400ms }\n    breaker: { resetAfter: 400ms }';

t.setTimeout(300_000);

async function createSubject(t: Test): Promise<{ world: FaultWorld; program: RunningProgram; folder: string }> {
  const storage = await createFileStorage();
  const world = await createFaultWorld({ storage, leaseMs, settings });
  await world.logIn();
  const program = await runProgram(world.config('one'), oneFileThread);
  t.teardown(async () => {
    await program.end('SIGKILL');
    await world.close();
  });
  t.equal((await send(program))?.status, 200);
  return { world, program, folder: `${storage.path}/records/${credential}` };
}

t.test('the disk is full before the redeem: store_write_failed, and nothing is spent', { skip }, async (t) => {
  const { world, program, folder } = await createSubject(t);
  const tracer = await trace(program.process.pid ?? 0, { inject: 'link,linkat:error=ENOSPC', paths: [`${folder}/2`] });
  t.equal((await world.refresh(program))?.status, 401, 'what the upstream refused is all that there is');
  await eventually('the failure', () => program.lines.some(({ code }) => code === 'store_write_failed') || undefined);
  t.equal(world.endpoint.redeems.length, 0, 'no redeem was sent');
  t.equal((await send(program))?.status, 200, 'the token in hand goes on');
  t.equal((await fetch(`${program.telemetryUrl}/readyz`)).status, 200, 'readiness is not about the store');
  await tracer.detach();
  await eventually('a refresh', async () => (await world.refresh(program))?.status === 200 || undefined);
  t.equal(world.endpoint.redeems.length, 1);
  t.ok(await world.isStoredCurrent());
  t.equal(await program.end(), 0);
});

/** With the record's next version, after the intent's: the write of the new tokens. */
const failures: Readonly<Record<string, { readonly inject: string; readonly path: string }>> = {
  'the disk is full': { inject: 'link,linkat:error=ENOSPC', path: '3' },
  'the folder cannot be synced, though the file is there': { inject: 'fsync:error=EIO:when=2+', path: '' },
};
for (const [name, { inject, path }] of Object.entries(failures)) {
  t.test(`${name} after the redeem: the token serves from memory until it is durable`, { skip }, async (t) => {
    const { world, program, folder } = await createSubject(t);
    const other = await runProgram(world.config('other'));
    t.teardown(() => other.end('SIGKILL'));
    const before = await (await send(program))?.text();
    const tracer = await trace(program.process.pid ?? 0, {
      inject,
      paths: [path === '' ? folder : `${folder}/${path}`],
    });
    t.equal((await world.refresh(program))?.status, 200, 'a request gets the new token');
    const token = await (await send(program))?.text();
    t.not(token, before);
    const dirty = `sidebearer_store_dirty{credential="${credential}"}`;
    t.equal(await metric(program.telemetryUrl, dirty), 1, 'a metric tells');
    t.ok(
      program.lines.some(({ level, code }) => level === 'warn' && code === 'store_write_failed'),
      'a log line tells',
    );
    t.equal((await fetch(`${program.telemetryUrl}/readyz`)).status, 200, 'readiness does not');

    const tries = (): number => tracer.calls().filter((call) => call.includes('INJECTED')).length;
    const triedBefore = tries();
    const fromMs = performance.now();
    await eventually('further tries', () => tries() >= triedBefore + 3 || undefined);
    t.comment(`3 tries in ${Math.round(performance.now() - fromMs)} ms`);
    // Where the file is there, others see it, and use it: that the disk may lose it is no reason to redeem again.
    const isVisible = path === '';
    const { stored, tokens } = await world.record();
    t.equal(world.endpoint.isCurrent(tokens?.refreshToken ?? ''), isVisible);
    t.equal(stored?.intent === undefined, isVisible, 'the intent stays with the spent token');
    t.equal((await world.storage.store.lease(credential, 'somebody', leaseMs)).held, true, 'the lease is held');
    const asked = isVisible ? undefined : world.refresh(other);
    await eventually('still more tries', () => tries() >= triedBefore + 6 || undefined);
    t.equal(world.endpoint.redeems.length, 1, 'nobody redeems the spent one');

    await tracer.detach();
    await eventually('the end of it', async () => (await metric(program.telemetryUrl, dirty)) === 0 || undefined);
    t.ok(await world.isStoredCurrent());
    t.equal((await world.record()).stored?.intent, undefined);
    await asked;
    await eventually('the new token in both', async () => (await (await send(other))?.text()) === token || undefined);
    t.equal(world.endpoint.redeems.length, 1);
    for (const each of [program, other]) t.equal(await each.end(), 0);
  });
}
