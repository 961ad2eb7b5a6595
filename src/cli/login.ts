// `sidebearer login [CREDENTIAL]`: which way it goes, and for which credential. By the browser here, by a paste, on
// another device, or into a pod from the admin's laptop.
import { systemClock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { logInByBrowser } from './browser-login.ts';
import type { Invocation } from './command.ts';
import { logInByDevice } from './device-login.ts';
import { onInterrupt } from './interrupt.ts';
import { chooseCredential, type LoginParts } from './login-run.ts';
import { browserLauncher, openBrowser, surroundings } from './open-browser.ts';
import { findDesk } from './order.ts';
import { readTimeout } from './running-sidecar.ts';

/** A login that was begun lives as long. */
const TIMEOUT_MS = 30 * 60_000;

export async function login(invocation: Invocation): Promise<number> {
  const launcher = invocation.flags.has('no-browser') ? undefined : browserLauncher(surroundings(invocation.env));
  return await logIn(invocation, { clock: systemClock, launcher, openBrowser, onInterrupt });
}

/** The same, with the parts of the machine given. */
export async function logIn(invocation: Invocation, parts: LoginParts): Promise<number> {
  const { flags } = invocation;
  assertWays(invocation);
  const timeoutMs = readTimeout(invocation, TIMEOUT_MS);
  if (flags.has('pod')) {
    const { logIntoPod } = await import('./pod-login.ts');
    return await logIntoPod(invocation, parts, timeoutMs);
  }
  const desk = await findDesk(invocation);
  if (desk === undefined) return 1;
  const credential = await chooseCredential(invocation, desk);
  const { signal, release } = parts.onInterrupt();
  const run = { invocation, desk, credential, parts, interrupted: signal, timeoutMs };
  try {
    return await (flags.has('device') ? logInByDevice(run) : logInByBrowser(run));
  } finally {
    release();
  }
}

/** @throws usage_invalid */
function assertWays({ flags }: Invocation): void {
  for (const [one, other] of [
    ['paste', 'device'],
    ['paste', 'pod'],
    ['url', 'pod'],
  ] as const) {
    if (flags.has(one) && flags.has(other)) {
      throw new SidebearerError('usage_invalid', { reason: `--${one} and --${other} exclude each other` });
    }
  }
  for (const name of ['namespace', 'context', 'container', 'port']) {
    if (flags.has(name) && !flags.has('pod')) {
      throw new SidebearerError('usage_invalid', { reason: `--${name} is for --pod` });
    }
  }
}
