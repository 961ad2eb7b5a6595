// `sidebearer login --pod NAME`, from the admin's laptop: the registered port of this machine leads into the pod for as
// long as the login takes. No other port will do, for the provider sends the browser to that one; where it cannot be
// had, the login goes by another device.
import { createServer } from 'node:net';
import { SidebearerError, systemCode, toSidebearerError } from '../errors/sidebearer-error.ts';
import { findHolder } from '../listen.ts';
import { logInByBrowser } from './browser-login.ts';
import type { Invocation } from './command.ts';
import { logInByDevice } from './device-login.ts';
import { tellFailure } from './failure.ts';
import { createKubectl, type Forward, type Kubectl } from './kubectl.ts';
import { chooseCredential, type LoginParts } from './login-run.ts';
import { createDesk, type Desk, readAdminToken } from './order.ts';
import { asFields } from './status.ts';

const DEFAULT_PORT = 1455;

export async function logIntoPod(invocation: Invocation, parts: LoginParts, timeoutMs: number): Promise<number> {
  const { flags, err } = invocation;
  const kubectl = createKubectl(invocation, flags.get('pod')?.value ?? '');
  const podPort = readPort(invocation);
  const token = readAdminToken(invocation);
  const interrupt = parts.onInterrupt();
  let forward: Forward | undefined;
  try {
    await assertFree(podPort);
    forward = await kubectl.forward(podPort, podPort);
    let desk = deskAt(podPort, token);
    const credential = await chooseCredential(invocation, desk);
    const registered = await registeredPort(desk, credential);
    if (registered !== undefined && registered !== podPort && !flags.has('device')) {
      err(`The provider sends the browser to port ${registered}: that one is forwarded instead.`);
      await forward.close();
      forward = undefined;
      await assertFree(registered);
      forward = await kubectl.forward(registered, podPort);
      desk = deskAt(registered, token);
    }
    const run = { invocation, desk, credential, parts, interrupted: interrupt.signal, timeoutMs };
    return await (flags.has('device') ? logInByDevice(run) : logInByBrowser(run));
  } catch (thrown) {
    const error = toSidebearerError(thrown);
    if (error.code !== 'login_port_busy') throw thrown;
    err(tellFailure(error).text);
    return await logInInside(invocation, kubectl, error);
  } finally {
    await forward?.close();
    interrupt.release();
  }
}

/** The same command, where no port is needed: in the pod, on another device. */
async function logInInside(
  { operand, flags, err }: Invocation,
  kubectl: Kubectl,
  busy: SidebearerError,
): Promise<number> {
  err('Trying a login on another device, by kubectl exec.');
  const argv = [
    'sidebearer',
    'login',
    '--device',
    ...['replace', 'json'].filter((name) => flags.has(name)).map((name) => `--${name}`),
  ];
  const code = await kubectl.execute([...argv, ...(operand === undefined ? [] : [operand])]);
  if (code === 0) return 0;
  // What went wrong in the pod has been told there; the port is what would help.
  return busy.row.exit ?? 1;
}

function deskAt(port: number, token: string | undefined): Desk {
  return createDesk({ listener: 'oauth', name: `http://127.0.0.1:${port}`, host: '127.0.0.1', port }, token);
}

/** The port of this machine that the provider sends the browser to; undefined where it is no machine's own. */
async function registeredPort(desk: Desk, name: string): Promise<number | undefined> {
  const { credentials } = await desk.send('/status.json');
  const all = Array.isArray(credentials) ? credentials.map(asFields) : [];
  const uri = URL.parse(String(all.find((each) => each['name'] === name)?.['redirectUri']));
  if (uri === null || !['localhost', '127.0.0.1', '[::1]'].includes(uri.hostname)) return undefined;
  return Number(uri.port) || (uri.protocol === 'https:' ? 443 : 80);
}

/** @throws usage_invalid */
function readPort({ flags }: Invocation): number {
  const written = flags.get('port')?.value ?? String(DEFAULT_PORT);
  const port = /^\d{1,5}$/.test(written) ? Number(written) : 0;
  if (port > 0 && port < 65_536) return port;
  throw new SidebearerError('usage_invalid', { reason: '--port: expected a port' });
}

/** @throws login_port_busy: in use, or not ours to bind */
async function assertFree(port: number): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    await new Promise((resolve) => server.close(resolve));
  } catch (thrown) {
    const code = systemCode(thrown);
    const address = { host: '127.0.0.1', port };
    const holder = code === 'EADDRINUSE' ? await findHolder(address) : undefined;
    throw new SidebearerError('login_port_busy', {
      address: `127.0.0.1:${port}`,
      ...(holder !== undefined && { holder }),
      ...(code !== undefined && { systemCode: code }),
    });
  }
}
