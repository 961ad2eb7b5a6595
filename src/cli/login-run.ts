// What the ways to log in share: the machine around them, one login that is under way, and which credential it is for.
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Invocation } from './command.ts';
import type { Interrupt } from './interrupt.ts';
import type { Launcher } from './open-browser.ts';
import type { Desk } from './order.ts';
import { asFields } from './status.ts';

/** What a login needs of the machine, so that a test can stand in for it. */
export interface LoginParts {
  readonly clock: Clock;
  readonly launcher: Launcher | undefined;
  readonly openBrowser: (launcher: Launcher, address: string) => Promise<boolean>;
  readonly onInterrupt: () => Interrupt;
}

/** One login that is under way, whatever its kind. */
export interface LoginRun {
  readonly invocation: Invocation;
  readonly desk: Desk;
  readonly credential: string;
  readonly parts: LoginParts;
  /** Wanted no longer: Ctrl-C. */
  readonly interrupted: AbortSignal;
  readonly timeoutMs: number;
}

const withLogin: ReadonlySet<unknown> = new Set(['authorization_code', 'device_code']);

/** The one that is named, or the only one that takes a login. @throws usage_invalid */
export async function chooseCredential({ operand }: Invocation, desk: Desk): Promise<string> {
  if (operand !== undefined) return operand;
  const { credentials } = await desk.send('/status.json');
  const names = (Array.isArray(credentials) ? credentials.map(asFields) : [])
    .filter(({ grant }) => withLogin.has(grant))
    .map(({ name }) => String(name));
  const [only, ...others] = names;
  if (only !== undefined && others.length === 0) return only;
  const reason = names.length === 0 ? 'no credential takes a login' : `CREDENTIAL is one of ${names.join(', ')}`;
  throw new SidebearerError('usage_invalid', { reason });
}
