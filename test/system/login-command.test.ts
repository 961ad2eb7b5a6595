// `sidebearer login` as an admin runs it: the built program, a real provider, a real browser. On the sidecar's own
// machine, and from a laptop into a pod through a kubectl that drops.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { Page } from 'playwright-core';
import t from 'tap';
import { demoClient } from '../../demo/provider.ts';
import { openBrowser, skip } from '../_chromium.ts';
import { createKubectlStandIn } from './_kubectl.ts';
import { program as built, eventually, runCommand, runProgram } from './_process.ts';
import { createWorld } from './_world.ts';

/** Another address of the loopback range plays the pod's. */
const podHost = '127.0.0.2';

interface Command {
  readonly process: ChildProcess;
  output(): string;
  readonly ended: Promise<number | string>;
}

function start(
  t: { teardown(end: () => void): void },
  argv: readonly string[],
  env: Record<string, string> = {},
  detached = false,
): Command {
  const child = spawn(process.execPath, [built, ...argv], { env: { ...process.env, ...env }, stdio: 'pipe', detached });
  t.teardown(() => void child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  const ended = once(child, 'close').then(([code, signal]): number | string => code ?? signal ?? 'unknown');
  return { process: child, output: () => output, ended };
}

const addressIn = (command: Command): Promise<string> =>
  eventually('the address', () => /^ {2}(http:\S+\/oauth\/start\S+)$/m.exec(command.output())?.[1]);

async function goToProvider(page: Page, address: string): Promise<void> {
  await page.goto(address);
  await page.getByRole('button', { name: 'Continue to' }).click();
  await page.getByRole('heading', { name: 'Demo identity provider' }).waitFor();
}

t.test('login: the browser follows the printed address, and the command tells how it ended', { skip }, async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  t.teardown(() => world.close());
  const sidecar = await runProgram(world.config());
  const argv = ['login', '--no-browser', '--url', world.oauthUrl];

  const command = start(t, argv);
  const { page, close } = await openBrowser();
  t.teardown(close);
  await goToProvider(page, await addressIn(command));
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click();
  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
  t.equal(await command.ended, 0);
  t.match(command.output(), `demo: logged in as ${demoClient.email}`);
  t.match(command.output(), /the token expires in \d+s/);
  t.match(command.output(), `stored in file ${world.storePath}`);

  const denied = start(t, argv);
  await goToProvider(page, await addressIn(denied));
  await page.getByRole('button', { name: 'Deny' }).click();
  t.equal(await denied.ended, 1);
  t.match(denied.output(), /sidebearer: authorize_denied: .*\. Log in with an account that may use this application/);

  const left = start(t, argv);
  await goToProvider(page, await addressIn(left));
  left.process.kill('SIGINT');
  t.equal(await left.ended, 130);
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click();
  await page.getByText('state_used').waitFor();
  t.equal(await sidecar.end(), 0);
});

t.test('login --pod: a forward that drops half way is opened again, and ends with the login', { skip }, async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  t.teardown(() => world.close());
  const registered = new URL(world.oauthUrl).port;
  const sidecar = await runProgram(world.config(), { SIDEBEARER_LISTEN_OAUTH: `${podHost}:${registered}` });
  const kubectl = createKubectlStandIn(t, podHost);
  const PATH = `${kubectl.path}:${process.env['PATH']}`;
  const argv = ['login', '--pod', 'app-0', '-n', 'apps', '--context', 'lab', '--port', registered, '--no-browser'];
  const command = start(t, argv, { PATH });
  const { page, close } = await openBrowser();
  t.teardown(close);
  await goToProvider(page, await addressIn(command));
  const [first = 0] = kubectl.pids();
  process.kill(first, 'SIGKILL');
  await eventually('it is opened again', () => kubectl.pids().length > 1);
  await eventually('it carries', () =>
    fetch(`${world.oauthUrl}/status.json`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click();
  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
  t.equal(await command.ended, 0, command.output());
  t.match(command.output(), `demo: logged in as ${demoClient.email}`);
  t.match(command.output(), 'The port-forward dropped; it is opened again.');
  t.strictSame(kubectl.calls()[0], [
    '--context=lab',
    '--namespace=apps',
    'port-forward',
    '--address=127.0.0.1',
    'pod/app-0',
    `${registered}:${registered}`,
  ]);
  for (const pid of kubectl.pids()) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, 'no kubectl is left');
  t.equal(await sidecar.end(), 0);
});

t.test('login --pod: Ctrl-C at the terminal cancels the login through the forward, then ends kubectl', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  t.teardown(() => world.close());
  const registered = new URL(world.oauthUrl).port;
  const sidecar = await runProgram(world.config(), { SIDEBEARER_LISTEN_OAUTH: `${podHost}:${registered}` });
  const kubectl = createKubectlStandIn(t, podHost);
  const env = { PATH: `${kubectl.path}:${process.env['PATH']}` };
  // A process group of its own, as a shell gives it: the terminal interrupts all of it.
  const command = start(t, ['login', '--pod', 'app-0', '--port', registered, '--no-browser'], env, true);
  await addressIn(command);
  process.kill(-(command.process.pid ?? 0), 'SIGINT');
  t.equal(await command.ended, 130, command.output());
  t.ok(sidecar.lines.some(({ event, action }) => event === 'audit' && action === 'login_cancel'));
  for (const pid of kubectl.pids()) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, 'no kubectl is left');
  t.equal(await sidecar.end(), 0);
});

t.test('login --pod: the listener’s port is another than the registered one', { skip }, async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  t.teardown(() => world.close());
  const registered = new URL(world.oauthUrl).port;
  const sidecar = await runProgram(world.config(), { SIDEBEARER_LISTEN_OAUTH: `${podHost}:0` });
  const served = new URL(sidecar.oauthUrl ?? '').port;
  const kubectl = createKubectlStandIn(t, podHost);
  const PATH = `${kubectl.path}:${process.env['PATH']}`;
  const command = start(t, ['login', 'demo', '--pod', 'deployment/app', '--port', served, '--no-browser'], { PATH });
  const { page, close } = await openBrowser();
  t.teardown(close);
  const address = await addressIn(command);
  t.equal(new URL(address).port, registered);
  await goToProvider(page, address);
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click();
  t.equal(await command.ended, 0, command.output());
  t.strictSame(
    kubectl.calls().map((call) => call.at(-1)),
    [`${served}:${served}`, `${registered}:${served}`],
  );
  t.equal(await sidecar.end(), 0);
});

t.test('login --pod: a busy port is `login_port_busy` with its holder, and the pod tries another device', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  t.teardown(() => void holder.close());
  const address = holder.address();
  const port = typeof address === 'object' && address !== null ? String(address.port) : '';
  for (const [exit, expected] of [
    [0, 0],
    [1, 13],
  ] as const) {
    const kubectl = createKubectlStandIn(t, podHost, exit);
    const env = { PATH: `${kubectl.path}:${process.env['PATH']}` };
    const argv = ['login', 'demo', '--pod', 'app-0', '--container', 'sidecar', '--port', port, '--replace'];
    const { exit: code, output } = await runCommand(argv, '', env);
    t.equal(code, expected, output);
    t.match(output, new RegExp(`sidebearer: login_port_busy: .*127\\.0\\.0\\.1:${port}.*\\(pid ${process.pid}\\)`));
    t.match(output, 'said in the pod');
    t.strictSame(kubectl.calls(), [
      ['exec', 'pod/app-0', '--container=sidecar', '--', 'sidebearer', 'login', '--device', '--replace', 'demo'],
    ]);
  }
});

t.test('login --pod without kubectl is `kubectl_missing`; one that fails is `kubectl_failed`', async (t) => {
  const nowhere = { PATH: dirname(built) };
  const missing = await runCommand(['login', '--pod', 'app-0', '--port', '1'.repeat(4)], '', nowhere);
  t.match(missing, { exit: 1, output: /^sidebearer: kubectl_missing: / });
  const folder = t.testdir({ kubectl: '#!/bin/sh\necho "error: pods \\"app-0\\" not found" >&2\nexit 1\n' });
  const { chmodSync } = await import('node:fs');
  chmodSync(`${folder}/kubectl`, 0o755);
  const failed = await runCommand(['login', '--pod', 'app-0', '--port', '1111'], '', {
    PATH: `${folder}:/bin:/usr/bin`,
  });
  t.match(failed, { exit: 1, output: /kubectl: error: pods "app-0" not found\n.*sidebearer: kubectl_failed: /s });
});
