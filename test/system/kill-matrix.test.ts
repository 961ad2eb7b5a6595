// SIGKILL at every step of a refresh that alters the disk, from the lease to its release, in the built program. After a
// restart the record is whole, no rotated refresh token was redeemed twice, and nothing is lost, except where the kill
// fell between the provider's answer and the durable commit: that is told as `refresh_outcome_unknown`.
import t, { type Test } from 'tap';
import { createFaultWorld, credential, type FaultWorld } from './_fault-world.ts';
import { judgeKill, killEnds } from './_kill.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { createFileStorage } from './_storage.ts';
import { oneFileThread, straceMissing, trace } from './_strace.ts';

/** Some are waited for: a lease of a holder that is gone, and its intent. */
const leaseMs = 1_000;
const settings = '    refresh: { timeout: 5s, attempts: 2, cooldown: 500ms }\n    breaker: { resetAfter: 500ms }';
const atOnce = 6;

interface Step {
  readonly call: string;
  /** Its number among the calls of this name, from 1. */
  readonly number: number;
  /** As strace wrote it. */
  readonly text: string;
}

async function createSubject(): Promise<{ world: FaultWorld; program: RunningProgram }> {
  const world = await createFaultWorld({ storage: await createFileStorage(), leaseMs, settings });
  await world.logIn();
  const program = await runProgram(world.config('killed'), oneFileThread);
  return { world, program };
}

async function measure(): Promise<readonly Step[]> {
  const { world, program } = await createSubject();
  const tracer = await trace(program.process.pid ?? 0);
  await world.refresh(program);
  const isReleased = async (): Promise<true | undefined> => {
    const taken = await world.storage.store.lease(credential, 'measuring', leaseMs);
    return taken.held ? undefined : true;
  };
  await eventually('the release', isReleased);
  await tracer.detach();
  await program.end('SIGKILL');
  await world.close();
  const numbers = new Map<string, number>();
  return tracer.calls().map((text) => {
    const call = text.slice(0, text.indexOf('('));
    const number = (numbers.get(call) ?? 0) + 1;
    numbers.set(call, number);
    return { call, number, text };
  });
}

const allEnds = [...killEnds, 'it was not killed'] as const;
type End = (typeof allEnds)[number];

async function killAt(t: Test, { call, number, text }: Step): Promise<End> {
  const { world, program } = await createSubject();
  const what = `${call} ${number}: ${text.replace(/.*\/(records|leases)\//, '$1/')}`;
  const tracer = await trace(program.process.pid ?? 0, { inject: `${call}:signal=KILL:when=${number}` });
  const died = new Promise<true>((resolve) => program.process.once('exit', () => resolve(true)));
  await world.refresh(program);
  // On a machine that is slow the lease is renewed more often, and the step may be one after the refresh.
  const isKilled = await Promise.race([died, new Promise<false>((resolve) => setTimeout(resolve, 1_000, false))]);
  if (!isKilled) await program.end('SIGKILL');
  await tracer.detach();

  const end = await judgeKill(t, world, what);
  return isKilled ? end : 'it was not killed';
}

t.setTimeout(600_000);

t.test('killed at every step of a refresh', { skip: straceMissing ?? false }, async (t) => {
  const steps = await measure();
  t.ok(steps.length >= 20, `${steps.length} steps`);
  const ends: End[] = [];
  for (let index = 0; index < steps.length; index += atOnce) {
    ends.push(...(await Promise.all(steps.slice(index, index + atOnce).map((step) => killAt(t, step)))));
  }
  const counts = allEnds.map((end) => ends.filter((each) => each === end).length);
  t.comment(`${steps.length} steps: ${allEnds.map((end, index) => `${end} ${counts[index]}`).join(', ')}`);
  for (const end of killEnds) t.ok(ends.includes(end), `seen: ${end}`);
});
