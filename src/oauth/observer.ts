// What the OAuth port tells the outside, typed: the audit trail of logins. Nothing here may throw; no secret.
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Account } from '../providers/provider.ts';

/** Who: the peer's address and user agent, as text. */
export interface Visitor {
  readonly address: string;
  readonly userAgent: string;
}

/** Which kind of login it was; by default the browser's. */
export type LoginGrant = 'authorization_code' | 'device_code';

export type AdminAction = 'refresh' | 'resume' | 'logout' | 'import' | 'rekey' | 'login_cancel';

/** What a person ordered, and what came of it: a word of the action, or a code. */
export interface AdminAct {
  readonly action: AdminAction;
  readonly credential: string;
  readonly outcome: string;
}

export interface LoginObserver {
  /** An order was carried out, or failed. Logins have events of their own. */
  administered(act: AdminAct, visitor: Visitor): void;
  loginStarted(credential: string, visitor: Visitor): void;
  loginSucceeded(
    credential: string,
    visitor: Visitor,
    account: Account | undefined,
    expiresAtMs: number | undefined,
    grant?: LoginGrant,
  ): void;
  /** A login that ended in failure. `credential` is unknown where the state was. */
  loginFailed(error: SidebearerError, visitor: Visitor, credential?: string, grant?: LoginGrant): void;
  /** A request that was refused before it concerned any login (Host, Origin, unknown page). */
  refused(error: SidebearerError, visitor: Visitor): void;
  /** A pending login ran out without a callback. */
  loginExpired(credential: string): void;
}
