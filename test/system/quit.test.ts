// The end that a Job orders: POST /quitquitquit, by whatever the image has, or `sidebearer shutdown`. It is the same end
// as SIGTERM's: drained, a redeem in flight durable, exit 0.
import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { createFaultWorld, credential, type FaultWorld, send } from './_fault-world.ts';
import { eventually, type RunningProgram, runCommand, runProgram } from './_process.ts';
import { createFileStorage } from './_storage.ts';

t.setTimeout(120_000);

const settings = '    refresh: { timeout: 3s, attempts: 1, cooldown: 500ms }\n    breaker: { resetAfter: 500ms }';

async function createSubject(
  t: Test,
  options: { end?: string; env?: Record<string, string> } = {},
): Promise<{ world: FaultWorld; program: RunningProgram }> {
  const { end = '', env = { SIDEBEARER_QUIT: 'true' } } = options;
  const world = await createFaultWorld({ storage: await createFileStorage(), leaseMs: 1_000, settings });
  await world.logIn();
  const program = await runProgram(`${world.config('one')}${end}`, env);
  t.teardown(async () => {
    await program.end('SIGKILL');
    await world.close();
  });
  t.equal((await send(program))?.status, 200);
  return { world, program };
}

const exitOf = (program: RunningProgram): Promise<number | null> =>
  eventually('the end', () => program.process.exitCode ?? undefined);
const quit = (program: RunningProgram) => fetch(`${program.telemetryUrl}/quitquitquit`, { method: 'POST' });

t.test('fetch, as a script of the application would: 200 at once, then exit 0', async (t) => {
  const { program } = await createSubject(t);
  const answer = await quit(program);
  t.equal(answer.status, 200);
  t.equal(await answer.text(), 'Ending.\n');
  t.equal(await exitOf(program), 0);
  const said = program.lines.filter(({ event }) => event === 'stopping' || event === 'stopped');
  t.match(said, [
    { level: 'info', cause: 'quit' },
    { level: 'info', cutRequests: 0, cutUpgrades: 0 },
  ]);
});

t.test('a redeem that was sent is waited for and durable, and a second order hurries nothing', async (t) => {
  const { world, program } = await createSubject(t);
  let answer: () => void = () => undefined;
  world.endpoint.script.push({
    until: new Promise<void>((resolve) => {
      answer = resolve;
    }),
  });
  const request = world.refresh(program);
  await world.endpoint.redeemed(1);
  t.equal((await quit(program)).status, 200);
  t.equal(await (await quit(program)).text(), 'Ending already.\n');
  await eventually(
    'not ready',
    async () => (await fetch(`${program.telemetryUrl}/readyz`)).status === 503 || undefined,
  );
  t.equal(program.process.exitCode, null);
  answer();
  t.equal(await exitOf(program), 0);
  await request;
  t.ok(await world.isStoredCurrent());
  t.equal((await world.record()).stored?.intent, undefined);
  t.equal((await world.storage.store.lease(credential, 'somebody', 1_000)).held, false);
});

t.test('`sidebearer shutdown` returns when it is ending, with --wait when it has ended', async (t) => {
  for (const wait of [[], ['--wait']]) {
    const { program } = await createSubject(t);
    const { exit, output } = await runCommand(['shutdown', '--url', program.telemetryUrl, ...wait]);
    t.equal(exit, 0, output);
    t.equal(output, '');
    if (wait.length > 0) {
      // The listener was closed; the process itself ends with it.
      await t.rejects(fetch(`${program.telemetryUrl}/livez`));
    }
    t.equal(await exitOf(program), 0);
  }
});

t.test('`shutdown --wait` of one that drains for longer than --timeout is sidecar_not_ended', async (t) => {
  const { world, program } = await createSubject(t);
  let answer: () => void = () => undefined;
  world.endpoint.script.push({
    until: new Promise<void>((resolve) => {
      answer = resolve;
    }),
  });
  const request = world.refresh(program);
  await world.endpoint.redeemed(1);
  const late = await runCommand(['shutdown', '--url', program.telemetryUrl, '--wait', '--timeout', '300ms']);
  t.match(late, { exit: 1, output: /^sidebearer: sidecar_not_ended: .*--timeout/ });
  answer();
  t.equal(await exitOf(program), 0);
  await request;
});

t.test('the file switches it on as well, and --quit; the environment can switch it off', async (t) => {
  const file = '\nshutdown: { maxDrain: 2s, quit: true }\n';
  const world = await createFaultWorld({ storage: await createFileStorage(), leaseMs: 1_000, settings });
  const config = `${world.config('one').replace(/\nshutdown: .*\n/, '\n')}${file}`;
  const on = await runProgram(config);
  t.equal((await quit(on)).status, 200);
  t.equal(await exitOf(on), 0);
  const off = await runProgram(config, { SIDEBEARER_QUIT: 'false' });
  t.teardown(() => off.end('SIGKILL'));
  t.equal((await quit(off)).status, 404);
  const refused = await runCommand(['shutdown', '--url', off.telemetryUrl]);
  t.match(refused, { exit: 1, output: /^sidebearer: quit_off: .*shutdown\.quit: true.*native sidecar/ });
  t.equal((await send(off))?.status, 503, 'and it goes on');
  t.equal(await off.end(), 0);
  const mistaken = await runCommand(['check', '--config', '-', '--no-references'], config, { SIDEBEARER_QUIT: 'yes' });
  t.match(mistaken, {
    exit: 1,
    output: /^SIDEBEARER_QUIT: config_value_invalid: shutdown\.quit: expected true or false/,
  });
  t.match(await runCommand(['check', '--config', '-', '--quit', '--no-references'], config), { exit: 0 });
  await world.close();
});

t.test('nobody there, something else there, and one that refuses: each told, with exit 1', async (t) => {
  const nobody = await runCommand(['shutdown', '--url', 'http://127.0.0.1:1']);
  t.match(nobody, { exit: 1, output: /^sidebearer: sidecar_unreachable: .*ECONNREFUSED/ });
  const answers: [number, string, RegExp][] = [
    [404, 'not here', /^sidebearer: quit_off: /],
    [
      403,
      '{"code":"quit_peer_forbidden","next":"From the pod."}',
      /^sidebearer: quit_peer_forbidden: .*From the pod\./,
    ],
    [500, 'oops', /^sidebearer: sidecar_unreachable: .*answers 500/],
  ];
  for (const [status, body, output] of answers) {
    const server = createServer((_, response) => response.writeHead(status).end(body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    t.match(await runCommand(['shutdown', '--listen-telemetry', `127.0.0.1:${port}`]), { exit: 1, output });
    server.close();
  }
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  const late = await runCommand(['shutdown', '--url', url, '--timeout', '200ms']);
  t.match(late, { exit: 1, output: /^sidebearer: sidecar_unreachable: .*no answer in time/ });
  silent.closeAllConnections();
  silent.close();
});
