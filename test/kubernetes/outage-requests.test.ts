// The built program while its API server is away: an outage shorter than `wait.timeout` fails no request, whenever it
// falls; a longer one gives 503 with a code, and heals by itself with the family alive.
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { createFaultWorld, credential, type FaultWorld, send } from '../system/_fault-world.ts';
import { eventually, type RunningProgram, runProgram } from '../system/_process.ts';
import { metric } from '../system/_world.ts';
import { podEnv, restartApiServer, skip } from './_cluster.ts';
import { createKubernetesStorage } from './_storage.ts';

/** Long enough that a busy machine does not lose it, short enough that nobody waits for it. */
const leaseMs = 3_000;
/** Of the token that ends in an outage. */
const shortLifeMs = 4_000;
const longLifeMs = 600_000;

t.setTimeout(600_000);

/** @param wait of a request, as configured */
async function createSubject(t: Test, wait: string): Promise<{ world: FaultWorld; programs: RunningProgram[] }> {
  const settings = `    refresh: { lead: 1s, timeout: 2s, attempts: 2, cooldown: 1s, backoff: { initial: 100ms, max: 200ms } }
    breaker: { resetAfter: 1s }
    wait: { timeout: ${wait} }`;
  const storage = await createKubernetesStorage(t);
  const world = await createFaultWorld({ storage, leaseMs, settings, lifeMs: longLifeMs });
  t.teardown(() => world.close());
  await world.logIn();
  const programs = await Promise.all(['one', 'two'].map((sender) => runProgram(world.config(sender), podEnv)));
  t.teardown(() => Promise.all(programs.map((program) => program.end('SIGKILL'))));
  for (const program of programs) t.equal((await send(program))?.status, 200);
  return { world, programs };
}

/** A token that both have, and that ends soon. */
async function shorten(world: FaultWorld, programs: readonly RunningProgram[]): Promise<void> {
  world.endpoint.lifeMs = shortLifeMs;
  await world.logIn();
  world.endpoint.lifeMs = longLifeMs;
  const { tokens } = await world.record();
  for (const program of programs) {
    await eventually(
      'the login',
      async () => (await (await send(program))?.text()) === tokens?.accessToken || undefined,
    );
  }
}

/** Both serve one token that is stored; so many redeems it took, none of them twice. */
async function assertHealed(
  t: Test,
  { world, programs }: { world: FaultWorld; programs: readonly RunningProgram[] },
  redeems: number,
): Promise<void> {
  const sent = await Promise.all(programs.map(async (program) => (await send(program))?.text()));
  t.strictSame(new Set(sent), new Set([(await world.record()).tokens?.accessToken]));
  t.equal(world.endpoint.redeems.length, redeems, JSON.stringify(world.endpoint.redeems));
  t.ok(world.endpoint.redeems.every(({ outcome }) => outcome === 'rotated'));
  t.ok(await world.isStoredCurrent());
  for (const program of programs) t.equal(await program.end(), 0);
  t.equal((await world.record()).stored?.intent, undefined);
}

t.test(
  'a token that ends while the API server is away: its requests wait, and all are answered',
  { skip },
  async (t) => {
    const subject = await createSubject(t, '60s');
    const { world, programs } = subject;
    await shorten(world, programs);
    let asked: Promise<(Response | undefined)[]> | undefined;
    await restartApiServer(async () => {
      await delay(shortLifeMs);
      asked = Promise.all(Array.from({ length: 20 }, (_, index) => send(programs[index % 2] as RunningProgram)));
      // Longer than one might want to wait where nobody was told for how long.
      await delay(11_000);
    });
    const told = (await asked)?.map((answer) => `${answer?.status} ${answer?.headers.get('sidebearer-error')}`);
    t.strictSame([...new Set(told)], ['200 null']);
    await assertHealed(t, subject, 1);
  },
);

t.test('an outage that outlasts `wait.timeout`: 503 with code and Retry-After, until it heals', { skip }, async (t) => {
  const subject = await createSubject(t, '2s');
  const { world, programs } = subject;
  const [program] = programs as [RunningProgram];
  await shorten(world, programs);
  const failures = `sidebearer_errors_total{layer="store",code="store_unavailable"}`;
  const told = new Set<string>();
  await restartApiServer(async () => {
    await delay(shortLifeMs);
    await eventually('the cause in the metrics', async () => {
      const answer = await send(program);
      const { status, code } = (await answer?.json()) as { status: number; code: string };
      const { headers } = answer as Response;
      const isTold =
        status === 503 && code === headers.get('sidebearer-error') && Number(headers.get('retry-after')) >= 1;
      told.add(isTold ? code : `${status} ${code} ${headers.get('retry-after')}`);
      return ((await metric(program.telemetryUrl, failures)) ?? 0) > 0 || undefined;
    });
    t.equal((await fetch(`${program.telemetryUrl}/livez`)).status, 200);
    t.equal((await fetch(`${program.telemetryUrl}/readyz`)).status, 200, 'readiness is not about the store');
  });
  const codes = ['access_token_expired', 'refresh_wait_timeout', 'store_unavailable'];
  t.ok(told.size > 0 && [...told].every((code) => codes.includes(code)), [...told].join(', '));
  for (const each of programs) {
    await eventually('an answer', async () => (await send(each))?.status === 200 || undefined);
  }
  await assertHealed(t, subject, 1);
});

t.test('a valid token goes on through an outage of any length', { skip }, async (t) => {
  const subject = await createSubject(t, '2s');
  await restartApiServer(async () => {
    for (const program of subject.programs) {
      for (let round = 0; round < 10; round += 1) t.equal((await send(program))?.status, 200);
      await delay(1_000);
    }
  });
  await assertHealed(t, subject, 0);
});

t.test(
  'killed between the provider’s answer and its commit: nobody redeems twice, and it is stored',
  { skip },
  async (t) => {
    const subject = await createSubject(t, '60s');
    const { world, programs } = subject;
    const [program] = programs as [RunningProgram];
    let answer: () => void = () => undefined;
    world.endpoint.script.push({
      until: new Promise<void>((resolve) => {
        answer = resolve;
      }),
    });
    const refreshed = world.refresh(program);
    await world.endpoint.redeemed(1);
    await restartApiServer(async () => {
      answer();
      t.equal((await refreshed)?.status, 200, 'it serves from memory');
      t.equal(await metric(program.telemetryUrl, `sidebearer_store_dirty{credential="${credential}"}`), 1);
    });
    await eventually('the commit', async () => (await world.isStoredCurrent()) || undefined);
    const { tokens } = await world.record();
    for (const each of programs) {
      await eventually(
        'its token',
        async () => (await (await send(each))?.text()) === tokens?.accessToken || undefined,
      );
    }
    await assertHealed(t, subject, 1);
  },
);

t.test(
  'started while the API server is away: it runs, says `store_unavailable`, and heals by itself',
  { skip },
  async (t) => {
    const subject = await createSubject(t, '2s');
    const { world, programs } = subject;
    const late = await new Promise<RunningProgram>((resolve, reject) => {
      restartApiServer(async () => {
        const program = await runProgram(world.config('late'), podEnv);
        t.teardown(() => program.end('SIGKILL'));
        resolve(program);
        for (const probe of ['startupz', 'livez', 'readyz']) {
          t.equal((await fetch(`${program.telemetryUrl}/${probe}`)).status, 200, probe);
        }
        const answer = await send(program);
        const { code } = (await answer?.json()) as { code: string };
        t.match(answer, { status: 503 });
        t.equal(answer?.headers.get('sidebearer-error'), code);
        t.ok(['store_unavailable', 'refresh_wait_timeout'].includes(code), code);
        t.ok(Number(answer?.headers.get('retry-after')) >= 1);
        const failures = 'sidebearer_errors_total{layer="store",code="store_unavailable"}';
        t.ok(((await metric(program.telemetryUrl, failures)) ?? 0) > 0, 'in the metrics');
        t.match(
          program.lines.find(({ code }) => code === 'store_unavailable'),
          { address: podEnv.KUBERNETES_SERVICE_HOST, systemCode: 'ECONNREFUSED', next: String },
          'in the log, with the address and the next step',
        );
      }).catch(reject);
    });
    // Nobody asks for anything meanwhile.
    const usable = `sidebearer_credential_state{credential="${credential}",state="fresh"}`;
    await eventually('its token', async () => (await metric(late.telemetryUrl, usable)) === 1 || undefined);
    t.equal((await send(late))?.status, 200);
    await assertHealed(t, { world, programs: [...programs, late] }, 0);
  },
);
