// A grant that the provider declared gone: it is asked once, and then nobody asks again, in no replica and after no
// restart, until the stored token changes. What a person reads differs by the cause.
import t, { type Test } from 'tap';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { createFaultWorld, type FaultWorld, send } from './_fault-world.ts';
import { eventually, freePort, type RunningProgram, runProgram } from './_process.ts';
import { createFileStorage } from './_storage.ts';

const settings =
  '    refresh: { timeout: 5s, attempts: 2, cooldown: 300ms, jitter: 0% }\n    breaker: { resetAfter: 300ms }';

t.setTimeout(300_000);

async function createSubject(t: Test, provider: 'oauth2' | 'codex', lifeMs: number): Promise<FaultWorld> {
  const storage = await createFileStorage();
  const world = await createFaultWorld({ storage, leaseMs: 2_000, settings, provider, lifeMs });
  t.teardown(() => world.close());
  await world.logIn();
  return world;
}

function codeOf(response: Response | undefined): string | null | undefined {
  return response?.headers.get('sidebearer-error');
}

t.test('one call, for all replicas, over a restart, long after the access token has ended', async (t) => {
  const world = await createSubject(t, 'oauth2', 4_000);
  world.endpoint.always = { status: 400, body: { error: 'invalid_grant' } };
  const running: RunningProgram[] = [];
  const start = async (name: string): Promise<RunningProgram> => {
    const program = await runProgram(world.config(name));
    running.push(program);
    t.teardown(() => program.end('SIGKILL'));
    return program;
  };
  const first = await start('first');
  const second = await start('second');
  for (const program of running) {
    await eventually('the end of the token', async () => (await send(program))?.status === 503 || undefined);
    t.equal(codeOf(await send(program)), 'grant_rejected');
  }
  await first.end('SIGKILL');
  const again = await start('again');
  for (const program of [second, again]) {
    const response = await send(program);
    t.equal(codeOf(response), 'grant_rejected');
    t.equal(response?.headers.get('retry-after'), null, 'waiting does not help');
  }
  t.equal(world.endpoint.redeems.length, 1, 'the provider was asked once');

  world.endpoint.always = {};
  await world.logIn();
  for (const program of [second, again]) {
    await eventually('the login', async () => (await send(program))?.status === 200 || undefined);
  }
  await eventually('a refresh of the new grant', () => world.endpoint.redeems.length > 1 || undefined);
  t.equal(world.endpoint.redeems.at(-1)?.outcome, 'rotated');
  for (const program of [second, again]) t.equal(await program.end(), 0);
});

const causes: readonly { readonly given: string; readonly status: number; readonly code: ErrorCode }[] = [
  { given: 'refresh_token_expired', status: 401, code: 'grant_expired' },
  { given: 'refresh_token_reused', status: 401, code: 'grant_reused' },
  { given: 'refresh_token_revoked', status: 401, code: 'grant_revoked' },
  { given: 'app_session_terminated', status: 401, code: 'grant_ended' },
  { given: 'something_new', status: 401, code: 'grant_rejected' },
];

t.test('a person reads another sentence for each cause', async (t) => {
  const world = await createSubject(t, 'codex', 60_000);
  const oauthPort = await freePort();
  const program = await runProgram(world.config('one', { oauthPort }));
  t.teardown(() => program.end('SIGKILL'));
  const sentences = new Set<string>();
  for (const { given, status, code } of causes) {
    world.endpoint.script.push({ status, body: { error: { code: given, message: 'no' } } });
    t.equal((await world.refresh(program))?.status, 401);
    t.equal((await world.record()).stored?.dead?.code, code, given);
    const page = await (await fetch(`http://127.0.0.1:${oauthPort}/`, { headers: { 'accept-language': 'en' } })).text();
    t.match(page, code, `the page names ${code}`);
    const line = program.lines.findLast((each) => each.code === code);
    t.equal(line?.level, 'error');
    sentences.add(line?.msg ?? '');
    await world.logIn();
    await eventually('the login', async () => {
      const { stored, tokens } = await world.record();
      return stored?.dead === undefined && (await (await send(program))?.text()) === tokens?.accessToken
        ? true
        : undefined;
    });
  }
  t.equal(sentences.size, causes.length, [...sentences].join('\n'));
  t.equal(await program.end(), 0);
});
