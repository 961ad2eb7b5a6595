// Many replicas of the built program, one rotating refresh token in one Secret, tokens that live for seconds, and an API
// server that is restarted and killed meanwhile: the provider counts one redeem a life and never sees a token twice.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Agent, request } from 'undici';
import { createFaultWorld, type FaultWorld, send } from '../system/_fault-world.ts';
import { eventually, type RunningProgram, runCommand, runProgram } from '../system/_process.ts';
import { podEnv, restartApiServer, skip } from './_cluster.ts';
import { createKubernetesStorage } from './_storage.ts';

const count = Number(process.env['REPLICAS'] ?? 50);
/** These work without a pause, the others ask now and then. */
const busy = 5;
/** What an API server that starts on a busy machine may take. */
const waitMs = 40_000;
/** Between two disturbances, in lives of a token. */
const quietLives = 1;

t.setTimeout(600_000);

/**
 * Life of a token, ms: five seconds where the machine is quick. Lease and time-out are a twelfth of it, and a replica that
 * is given no turn for so long loses its lease.
 */
async function lifeHere(env: Record<string, string>): Promise<number> {
  const set = process.env['REPLICAS_LIFE_MS'];
  if (set !== undefined) return Number(set);
  const start = (): Promise<unknown> => runCommand(['version'], '', env);
  await start();
  const fromMs = performance.now();
  await Promise.all(Array.from({ length: 8 }, start));
  return Math.min(Math.max(5_000, Math.ceil((performance.now() - fromMs) / 200) * 1_000), 20_000);
}

function settingsFor(lifeMs: number): string {
  const shortMs = Math.floor(lifeMs / 12);
  // Twice as long as lease and time-out, and so long that another's intent can be waited for.
  const leadMs = 4 * shortMs;
  return `    refresh: { lead: ${leadMs}ms, timeout: ${shortMs}ms, attempts: 2, cooldown: 500ms, backoff: { initial: 100ms, max: 200ms } }
    breaker: { resetAfter: 500ms }
    wait: { timeout: ${waitMs}ms }`;
}

/** Asks all of them for as long as it runs. */
function work(programs: readonly RunningProgram[]) {
  const answers: Record<string, number> = {};
  const wrong: string[] = [];
  const agent = new Agent({ connections: 2 });
  let isOver = false;
  const ask = async ({ proxyUrl }: RunningProgram, pauseMs: number): Promise<void> => {
    while (!isOver) {
      try {
        const { statusCode, headers, body } = await request(`${proxyUrl}/load`, { dispatcher: agent });
        await body.dump();
        const code = headers['sidebearer-error'];
        const key = code === undefined ? `${statusCode}` : `${statusCode} ${code}`;
        answers[key] = (answers[key] ?? 0) + 1;
      } catch (thrown) {
        wrong.push(String(thrown));
      }
      await delay(pauseMs);
    }
  };
  const asking = programs.map((program, index) => ask(program, index < busy ? 20 : 500));
  return {
    answers,
    wrong,
    async end() {
      isOver = true;
      await Promise.all(asking);
      await agent.close();
    },
  };
}

/** Just after a redeem that all can read: what falls between a redeem and its commit is outage.test.ts's. */
async function untilRotated(world: FaultWorld): Promise<void> {
  await world.endpoint.redeemed(world.endpoint.redeems.length + 1);
  await eventually('the commit', async () => (await world.isStoredCurrent()) || undefined);
}

/** All of them send what is stored. */
async function untilAdopted(world: FaultWorld, programs: readonly RunningProgram[]): Promise<void> {
  await eventually('one token everywhere', async () => {
    const sent = await Promise.all(programs.map(async (program) => (await send(program))?.text()));
    const { tokens } = await world.record();
    return sent.every((token) => token === tokens?.accessToken) || undefined;
  });
}

async function startAll(t: Test, world: FaultWorld, env: Record<string, string>): Promise<RunningProgram[]> {
  const programs: RunningProgram[] = [];
  t.teardown(() => Promise.all(programs.map((program) => program.end('SIGKILL'))));
  for (let first = 0; first < count; first += 4) {
    const indexes = Array.from({ length: Math.min(4, count - first) }, (_, index) => first + index);
    programs.push(...(await Promise.all(indexes.map((index) => runProgram(world.config(`p${index}`), env)))));
  }
  return programs;
}

t.test(`${count} replicas and an API server that restarts: no token is redeemed twice`, { skip }, async (t) => {
  const cache = mkdtempSync(join(tmpdir(), 'sidebearer-cache-'));
  t.teardown(() => rmSync(cache, { recursive: true, force: true }));
  const env = { ...podEnv, NODE_OPTIONS: '', NODE_COMPILE_CACHE: cache };
  const lifeMs = await lifeHere(env);
  const storage = await createKubernetesStorage(t);
  const world = await createFaultWorld({
    storage,
    leaseMs: Math.floor(lifeMs / 12),
    settings: settingsFor(lifeMs),
    lifeMs,
  });
  t.teardown(() => world.close());
  await world.logIn();

  const fromMs = performance.now();
  const programs = await startAll(t, world, env);
  const startedMs = performance.now() - fromMs;
  t.comment(`life of a token ${lifeMs} ms; all started after ${Math.round(startedMs)} ms`);
  const load = work(programs);
  const outagesMs: number[] = [];
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGKILL'] as const) {
    await delay(quietLives * lifeMs);
    await untilRotated(world);
    const downMs = performance.now();
    // The last one lasts until no replica has a token any more.
    await restartApiServer(() => delay(outagesMs.length < 2 ? 0 : lifeMs), signal);
    outagesMs.push(Math.round(performance.now() - downMs));
    const told = programs.flatMap(({ lines }) => lines.map(({ code }) => code)).filter((code) => code !== undefined);
    t.comment(`${signal}: ${outagesMs.at(-1)} ms, ${JSON.stringify(load.answers)}, ${[...new Set(told)]}`);
    await untilRotated(world);
  }
  await delay(quietLives * lifeMs);
  await load.end();
  const elapsedMs = performance.now() - fromMs;

  // The next one outlives the test.
  world.endpoint.lifeMs = 600_000;
  const { redeems, reuses } = world.endpoint;
  const disturbed = redeems.length;
  await world.endpoint.redeemed(disturbed + 1);
  await untilAdopted(world, programs);

  t.strictSame(load.wrong, []);
  t.strictSame(reuses, []);
  t.ok(redeems.every(({ outcome }) => outcome === 'rotated'));
  t.equal(new Set(redeems.map(({ refreshToken }) => refreshToken)).size, redeems.length);
  const most = Math.ceil(elapsedMs / (0.6 * lifeMs)) + 1;
  t.ok(disturbed <= most, `${disturbed} redeems where ${most} were due at most`);
  t.ok(await world.isStoredCurrent(), 'the family lives');
  const coded = /^503 (?:access_token_expired|store_\w+|refresh_wait_timeout)$/;
  const failed = Object.keys(load.answers).filter((answer) => answer !== '200');
  t.ok(
    failed.every((answer) => coded.test(answer)),
    failed.join(', '),
  );
  // On a machine that gives nobody a turn a token of seconds may end between its renewal and its first use.
  const share = failed.reduce((sum, answer) => sum + (load.answers[answer] ?? 0), 0) / (load.answers['200'] ?? 0);
  if (Math.max(...outagesMs) < waitMs) t.ok(share < 0.01, `of the requests ${share} failed`);
  t.comment(
    JSON.stringify({
      lifeMs,
      startedMs: Math.round(startedMs),
      seconds: Math.round(elapsedMs / 1_000),
      redeems: disturbed,
      by: new Set(redeems.map(({ by }) => by)).size,
      outagesMs,
      answers: load.answers,
      late: world.upstream.late.length,
    }),
  );

  const exits = await Promise.all(programs.map((program) => program.end('SIGTERM')));
  t.ok(exits.every((exit) => exit === 0));
  const { stored } = await world.record();
  t.equal(stored?.intent, undefined, 'nothing is left behind');
});
