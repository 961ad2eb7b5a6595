// A login by a browser. The sidecar is asked for one, and the browser is sent to the start page, which begins another
// on its behalf: only a page of the sidecar can give a browser the cookie that the callback wants. Whoever's browser
// cannot be sent back there pastes where it ended.
import { hostname } from 'node:os';
import { sleep } from '../clock.ts';
import { catalogue, type ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { tellFailure } from './failure.ts';
import type { LoginRun } from './login-run.ts';
import { INTERRUPTED, tellSuccess, waitFor } from './login-wait.ts';
import type { Fields } from './status.ts';

/** A browser that comes back by itself does so within this; then a paste is offered, ms. */
const PASTE_AFTER_MS = 15_000;
/** A cancel must not keep whoever pressed Ctrl-C. */
const CANCEL_TIMEOUT_MS = 5_000;
/** Pasting again may help. */
const misread: ReadonlySet<string> = new Set<ErrorCode>(['paste_not_understood', 'state_missing', 'state_unknown']);
const question = 'Paste the address that the browser ended at, should it not come back by itself: ';

interface Begun {
  readonly id: string;
  readonly handle: string;
  /** At the provider. */
  readonly url: string;
  readonly redirectUri: string;
}

type End = { readonly status: 'succeeded' } | { readonly status: 'failed'; readonly error: SidebearerError };

export async function logInByBrowser(run: LoginRun): Promise<number> {
  const { invocation, desk, credential } = run;
  const body = { credential, replace: invocation.flags.has('replace') };
  const begun = readBegun(run, await desk.send('/api/logins', { body }));
  const settled = new AbortController();
  const stopped = AbortSignal.any([run.interrupted, settled.signal]);
  try {
    const isPaste = invocation.flags.has('paste');
    if (isPaste) invocation.err(`Open this address in any browser and log in:\n\n  ${begun.url}\n`);
    else await sendThere(run, begun);
    const ways = [
      watch(run, begun, stopped),
      ...(run.invocation.flags.has('json') && !isPaste ? [] : [paste(run, begun, stopped)]),
    ];
    const end = await Promise.race(ways);
    if (end === undefined) return await cancel(run, begun);
    settled.abort();
    if (end.status === 'failed') throw end.error;
    return await tellSuccess(run);
  } catch (thrown) {
    settled.abort();
    if (toSidebearerError(thrown).code === 'login_not_finished') await cancelQuietly(run, begun);
    throw thrown;
  }
}

/** @throws sidecar_unreachable where it answers with something else */
function readBegun({ desk }: LoginRun, { id, handle, url, redirectUri }: Fields): Begun {
  if (
    typeof id === 'string' &&
    typeof handle === 'string' &&
    typeof url === 'string' &&
    typeof redirectUri === 'string' &&
    /^[0-9a-f]{64}$/.test(id) &&
    URL.canParse(redirectUri) &&
    /^https?:\/\/[!-~]+$/.test(url)
  ) {
    return { id, handle, url, redirectUri };
  }
  throw new SidebearerError('sidecar_unreachable', {
    address: desk.target.name,
    reason: 'it answers with something else',
  });
}

async function sendThere({ invocation, parts, credential, desk }: LoginRun, { id, redirectUri }: Begun): Promise<void> {
  const { err } = invocation;
  const place = placeOf(redirectUri, desk.target.port, parts.launcher === undefined);
  const address = `${place.origin}/oauth/start?credential=${encodeURIComponent(credential)}&login=${id}`;
  const isOpen = parts.launcher !== undefined && (await parts.openBrowser(parts.launcher, address));
  if (isOpen) {
    err(`The browser shows the login of ${credential}. Should it not, open:\n\n  ${address}\n`);
    return;
  }
  const line = place.isLoopback ? carryingLine(invocation.env, place.port, desk.target.port ?? place.port) : undefined;
  err(
    line === undefined
      ? `Open this address in a browser:\n\n  ${address}\n`
      : `On the machine with the browser, unless it is this one, run\n\n  ${line}\n\nand open there\n\n  ${address}\n`,
  );
}

/** Where the start page is for the browser. Away from here it is at the registered port, which is carried there. */
function placeOf(redirectUri: string, served: number | undefined, isAway: boolean) {
  const registered = new URL(redirectUri);
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(registered.hostname);
  const port = Number(registered.port) || (registered.protocol === 'https:' ? 443 : 80);
  if (!isLoopback) return { origin: registered.origin, port, isLoopback };
  const used = isAway ? port : (served ?? port);
  return { origin: `${registered.protocol}//${registered.hostname}:${used}`, port, isLoopback };
}

/** The command that carries the registered port of the admin's machine to the one that is served here. */
function carryingLine(env: LoginRun['invocation']['env'], registered: number, served: number): string {
  if ((env['KUBERNETES_SERVICE_HOST'] ?? '') !== '') {
    return `kubectl port-forward ${env['HOSTNAME'] ?? 'POD'} ${registered}:${served}`;
  }
  const user = env['USER'] ?? env['LOGNAME'];
  return `ssh -N -L ${registered}:127.0.0.1:${served} ${user === undefined ? '' : `${user}@`}${hostname()}`;
}

/** How the login is, asked until it has ended. */
async function watch({ desk, parts, timeoutMs }: LoginRun, { id, handle }: Begun, signal: AbortSignal) {
  return await waitFor(parts.clock, timeoutMs, signal, async (): Promise<End | undefined> => {
    const { status, code } = await desk.send(`/api/logins/${id}`, { handle });
    if (status === 'succeeded') return { status };
    if (status !== 'failed') return undefined;
    const known = typeof code === 'string' && Object.hasOwn(catalogue, code) ? (code as ErrorCode) : 'internal_error';
    return { status, error: new SidebearerError(known) };
  });
}

/** Offers a paste and never ends without an end: where nobody can be asked, or a paste is refused, the wait goes on. */
async function paste({ invocation, desk, parts }: LoginRun, { id, handle }: Begun, signal: AbortSignal) {
  const isAsked = invocation.flags.has('paste');
  if (!isAsked) await sleep(parts.clock, PASTE_AFTER_MS, signal);
  while (!signal.aborted) {
    const pasted = await invocation.prompt(question, { signal, fromPipe: isAsked });
    if (pasted === undefined || signal.aborted) break;
    if (pasted.trim() === '') continue;
    try {
      await desk.send(`/api/logins/${id}/complete`, { body: { pasted }, handle });
      return { status: 'succeeded' } as const;
    } catch (thrown) {
      const error = toSidebearerError(thrown);
      if (!misread.has(error.code)) return { status: 'failed', error } as const;
      invocation.err(tellFailure(error).text);
    }
  }
  // A pipe that ended without an address that was understood: nothing more can come.
  if (isAsked && !signal.aborted) return { status: 'failed', error: new SidebearerError('paste_missing') } as const;
  return await new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

async function cancel(run: LoginRun, begun: Begun): Promise<number> {
  await cancelQuietly(run, begun);
  run.invocation.err(`Cancelled: nothing was changed for ${run.credential}.`);
  return INTERRUPTED;
}

/** What cannot be cancelled runs out by itself. */
async function cancelQuietly({ desk }: LoginRun, { id, handle }: Begun): Promise<void> {
  await desk
    .send(`/api/logins/${id}`, { method: 'DELETE', handle, timeoutMs: CANCEL_TIMEOUT_MS })
    .catch(() => undefined);
}
