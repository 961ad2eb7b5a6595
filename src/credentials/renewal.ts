// The contract between a credential and the ways its token is renewed: a rotating grant under a lease, a grant that
// obtains afresh, a file that something else writes. Types only.
import type { ErrorCode } from '../errors/catalogue.ts';
import type { SidebearerError } from '../errors/sidebearer-error.ts';
import type { AuthorizationCodeLogin, DeviceLogin, Grant, ProviderKind, TokenAnswer } from '../providers/provider.ts';
import type { Revocation } from './bearer.ts';
import type { BreakerState, RefreshTrigger } from './observer.ts';
import type { CurrentToken } from './token-set.ts';

/** How a credential takes part in its renewal. Nothing here throws. */
export interface RenewalHost {
  /** A token that was read or obtained is current from now on. `isDurable: false`: not yet, it serves from memory. */
  publish(token: CurrentToken, isDurable: boolean): void;
  /** The tokens are gone: drop them. */
  drop(code: ErrorCode): void;
  /** A token ends a renewal only if it is neither due nor the one that was refused. */
  isEnough(token: CurrentToken): boolean;
  /** The token in hand stays valid for longer than this, ms. */
  isValidFor(ms: number): boolean;
  /** Requests are waiting. */
  isUrgent(): boolean;
  /** No token was ever in hand, and the provider was never heard. */
  isEarly(): boolean;
  /** Aborts when the process stops, or a logout wants to begin: no redeem begins any more; one that was sent goes on. */
  readonly stopping: AbortSignal;
}

export type RenewalResult =
  | { readonly kind: 'refreshed' }
  /** Another process or replica had done it. */
  | { readonly kind: 'adopted' }
  /** A login, import or logout replaced the grant meanwhile; what is stored was adopted. */
  | { readonly kind: 'superseded' }
  /** There is nothing to renew with; `drop` was called. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'dead'; readonly error: SidebearerError }
  | { readonly kind: 'failed'; readonly error: SidebearerError }
  /** Nothing was tried, or a second try waits: for so long, ms. */
  | { readonly kind: 'held'; readonly error: SidebearerError; readonly forMs: number }
  | { readonly kind: 'stopped' };

/** What the store or the file says at start, or after a change that another made. */
export type Reading =
  | { readonly kind: 'token'; readonly token: CurrentToken }
  | { readonly kind: 'empty'; readonly code: ErrorCode }
  /**
   * A grant is there, a token is not: obtain one. `isChanged`: not what the provider judged last, so that a pause which
   * began with its judgement is over. `isNew`: a seed that was never redeemed, whatever token is in hand.
   */
  | { readonly kind: 'grant'; readonly isChanged?: boolean; readonly isNew?: boolean }
  | { readonly kind: 'dead'; readonly error: SidebearerError; readonly token: CurrentToken | undefined };

/** One way to come by a token. */
export interface TokenSource {
  readonly provider: ProviderKind;
  readonly grant: Grant | 'file';
  readonly login: AuthorizationCodeLogin | undefined;
  readonly device?: DeviceLogin | undefined;
  readonly breaker: BreakerState;
  /** What is there now. @throws SidebearerError */
  read(): Promise<Reading>;
  /** Calls back when what `read` says may have changed. */
  follow(changed: () => void): { close(): void };
  /** One renewal. Never rejects. */
  renew(host: RenewalHost, trigger: RefreshTrigger): Promise<RenewalResult>;
  /** Makes a login's tokens durable. @throws account_differs, store_*, login_unsupported */
  accept(tokens: TokenAnswer, options: { readonly replaceAccount: boolean }): Promise<CurrentToken>;
  /**
   * Revokes what is stored, and leaves a tombstone in its place.
   * @param renewal the one that is at work in this process; it has been asked to stop, and ends first
   * @throws login_unsupported, store_*, record_*
   */
  logout(renewal: Promise<unknown> | undefined): Promise<Revocation>;
}
