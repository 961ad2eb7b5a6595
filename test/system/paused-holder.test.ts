// A program that is stopped (SIGSTOP, a frozen cgroup, a laptop's lid) while it holds the provider's answer, and goes on
// when others have gone on without it: its late write never replaces a newer refresh token, and is never dropped while
// what it redeemed is still what is stored.
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { createFaultWorld, type FaultWorld, send } from './_fault-world.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { createFileStorage } from './_storage.ts';
import { oneFileThread, straceMissing, trace } from './_strace.ts';

const leaseMs = 500;
/** Of a lease that is not renewed while a program takes its steps. */
const longLeaseMs = 20_000;

t.setTimeout(300_000);

interface Subject {
  readonly world: FaultWorld;
  readonly paused: RunningProgram;
  readonly other: RunningProgram;
}

/** @param timeout of one attempt: an intent is waited for that long and a lease more */
async function createSubject(t: Test, timeout: string, leaseMs: number): Promise<Subject> {
  const settings = `    refresh: { timeout: ${timeout}, attempts: 1, cooldown: 500ms }\n    breaker: { resetAfter: 500ms }\n    wait: { timeout: 30s }`;
  const world = await createFaultWorld({ storage: await createFileStorage(), leaseMs, settings });
  await world.logIn();
  const paused = await runProgram(world.config('paused'), oneFileThread);
  const other = await runProgram(world.config('other'));
  t.teardown(async () => {
    await Promise.all([paused.end('SIGKILL'), other.end('SIGKILL')]);
    await world.close();
  });
  for (const program of [paused, other]) t.equal((await send(program))?.status, 200);
  return { world, paused, other };
}

/** Stopped after the provider has rotated; its answer lies in the socket. */
async function pauseWithAnswer({
  world,
  paused,
}: Subject): Promise<{ readonly answer: Promise<Response | undefined> }> {
  let answer: () => void = () => undefined;
  world.endpoint.script.push({
    until: new Promise<void>((resolve) => {
      answer = resolve;
    }),
  });
  const request = world.refresh(paused);
  await world.endpoint.redeemed(1);
  paused.process.kill('SIGSTOP');
  answer();
  return { answer: request };
}

async function both({ paused, other }: Subject): Promise<unknown[]> {
  return Promise.all([paused, other].map(async (program) => (await send(program))?.text()));
}

t.test('nobody has gone on: its answer goes on top of what an operator has written meanwhile', async (t) => {
  const subject = await createSubject(t, '15s', leaseMs);
  const { world, paused, other } = subject;
  await pauseWithAnswer(subject);
  await world.edit('ask Bob');
  const waiting = world.refresh(other);
  // The other one takes the lease over, and waits for whoever announced a redeem.
  await delay(3 * leaseMs);
  paused.process.kill('SIGCONT');
  t.equal((await waiting)?.status, 200);
  t.equal(world.endpoint.redeems.length, 1, 'one redeem for both');
  t.ok(await world.isStoredCurrent());
  t.equal((await world.record()).stored?.operator.note, 'ask Bob');
  const [mine, theirs] = await both(subject);
  t.equal(mine, theirs);
  for (const program of [paused, other]) t.equal(await program.end(), 0);
});

t.test(
  'it was stopped for longer than the time-out: the answer that lies in its socket is read all the same',
  async (t) => {
    const subject = await createSubject(t, '3s', leaseMs);
    const { world, paused } = subject;
    const refreshed = await pauseWithAnswer(subject);
    await delay(4_000);
    paused.process.kill('SIGCONT');
    t.equal((await refreshed.answer)?.status, 200);
    t.strictSame(
      world.endpoint.redeems.map(({ outcome }) => outcome),
      ['rotated'],
    );
    t.ok(await world.isStoredCurrent());
  },
);

t.test('the other went on and lost the family, somebody logged in: its late write replaces nothing', async (t) => {
  const subject = await createSubject(t, '2s', leaseMs);
  const { world, paused, other } = subject;
  await pauseWithAnswer(subject);
  t.equal((await world.refresh(other))?.status, 401);
  t.equal((await world.record()).stored?.dead?.code, 'refresh_outcome_unknown', 'told while it is still paused');
  await world.logIn();
  const { tokens } = await world.record();
  paused.process.kill('SIGCONT');
  await eventually(
    'the end of its refresh',
    () => paused.lines.some(({ trigger }) => trigger === 'demand') || undefined,
  );
  t.equal((await world.record()).tokens?.refreshToken, tokens?.refreshToken);
  await eventually('the login in both', async () => {
    const tokensOf = await both(subject);
    return tokensOf.every((token) => token === tokens?.accessToken) || undefined;
  });
  for (const program of [paused, other]) t.equal(await program.end(), 0);
});

t.test(
  'stopped between two system calls of its write, until its number was used and deleted: nothing is replaced',
  { skip: straceMissing ?? false },
  async (t) => {
    const subject = await createSubject(t, '3s', longLeaseMs);
    const { world, paused, other } = subject;
    // Three are the lease's (a new folder, file, listing), two the intent's; then the file that brings the new tokens.
    const tracer = await trace(paused.process.pid ?? 0, { inject: 'fsync:signal=STOP:when=6' });
    void world.refresh(paused);
    await eventually('the stop', () => tracer.isStopped || undefined);
    t.equal(world.endpoint.redeems.length, 1);
    t.equal((await world.record()).version, '2', 'not yet current');
    await world.logIn();
    for (const note of ['one', 'two', 'three']) await world.edit(note);
    const { tokens, version } = await world.record();
    t.ok(Number(version) > 5);
    paused.process.kill('SIGCONT');
    await eventually(
      'the end of its refresh',
      () => paused.lines.some(({ trigger }) => trigger === 'demand') || undefined,
    );
    await tracer.detach();
    const after = await world.record();
    t.equal(after.tokens?.refreshToken, tokens?.refreshToken);
    t.equal(after.stored?.operator.note, 'three');
    await eventually('the login in both', async () => {
      const tokensOf = await both(subject);
      return tokensOf.every((token) => token === tokens?.accessToken) || undefined;
    });
    t.equal((await world.refresh(other))?.status, 200, 'and refreshes go on');
    t.equal(world.endpoint.reuses.length, 0);
    for (const program of [paused, other]) t.equal(await program.end(), 0);
  },
);
