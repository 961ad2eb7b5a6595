// A login on another device: the sidecar asks the provider for a code and waits itself; this shows the code and how it
// ends. It needs no port, no port-forward and no browser here.
import { catalogue, type ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { LoginRun } from './login-run.ts';
import { INTERRUPTED, tellSuccess, waitFor } from './login-wait.ts';
import { type Fields, plainText, showTime } from './status.ts';

/** A cancel must not keep whoever pressed Ctrl-C. */
const CANCEL_TIMEOUT_MS = 5_000;

export async function logInByDevice(run: LoginRun): Promise<number> {
  const { invocation, desk, credential, parts, interrupted, timeoutMs } = run;
  const body = { credential, replace: invocation.flags.has('replace') };
  const begun = await desk.send('/oauth/device', { body });
  const { handle } = begun;
  if (typeof handle !== 'string') {
    const reason = 'it answers with something else';
    throw new SidebearerError('sidecar_unreachable', { address: desk.target.name, reason });
  }
  invocation.err(describeCode(begun, parts.clock.wallMs()));
  try {
    const end = await waitFor(parts.clock, timeoutMs, interrupted, async () => {
      const seen = await desk.send('/oauth/device', { handle });
      return seen['state'] === 'waiting' ? undefined : seen;
    });
    if (end === undefined) {
      await cancel(run, handle);
      invocation.err(`Cancelled: nothing was changed for ${credential}.`);
      return INTERRUPTED;
    }
    if (end['state'] === 'succeeded') return await tellSuccess(run);
    throw failureOf(end, credential);
  } catch (thrown) {
    if (toSidebearerError(thrown).code === 'login_not_finished') await cancel(run, handle);
    throw thrown;
  }
}

function describeCode({ userCode, verificationUri, expiresAt }: Fields, nowMs: number): string {
  const code = plainText(String(userCode), 40);
  // Wide and apart, to be typed from across a desk.
  const wide = [...code].join(' ');
  const line = '─'.repeat(wide.length + 6);
  const expiry = showTime(Date.parse(String(expiresAt)), nowMs);
  return [
    'Open this address on any device',
    '',
    `  ${plainText(String(verificationUri), 300)}`,
    '',
    'and type this code there:',
    '',
    `  ┌${line}┐`,
    `  │   ${wide}   │`,
    `  └${line}┘`,
    '',
    `${code}${expiry === '-' ? '' : ` expires ${expiry}`}. Go on only if you started this yourself.`,
  ].join('\n');
}

function failureOf({ code, next }: Fields, credential: string): SidebearerError {
  const known = typeof code === 'string' && Object.hasOwn(catalogue, code) ? (code as ErrorCode) : 'internal_error';
  return new SidebearerError(known, { credential, ...(typeof next === 'string' && { next: plainText(next, 300) }) });
}

/** What cannot be cancelled runs out by itself. */
async function cancel({ desk }: LoginRun, handle: string): Promise<void> {
  await desk
    .send('/oauth/device', { body: { cancel: true }, handle, timeoutMs: CANCEL_TIMEOUT_MS })
    .catch(() => undefined);
}
