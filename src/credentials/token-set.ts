// The tokens of a credential as they are kept, and how a token endpoint's answer changes them.
// Whatever an answer leaves out stays as it was: a refresh token above all.
import type { Account, TokenAnswer } from '../providers/provider.ts';

/** Tokens in hand. Times are wall ms. */
export interface TokenSet {
  /** Absent where only a refresh token is known yet (a seed). */
  readonly accessToken?: string;
  readonly refreshToken?: string;
  readonly idToken?: string;
  readonly expiresAtMs?: number;
  readonly obtainedAtMs: number;
  readonly grantExpiresAtMs?: number;
}

/** A token set with its place in the credential's history. */
export interface CurrentToken {
  readonly generation: number;
  readonly tokens: TokenSet;
  readonly account?: Account;
}

/** A token counts as expired this long before its end: min(2 s, 5 % of its life). */
export function usableUntilMs(tokens: TokenSet): number {
  if (tokens.accessToken === undefined) return Number.NEGATIVE_INFINITY;
  if (tokens.expiresAtMs === undefined) return Number.POSITIVE_INFINITY;
  const lifeMs = Math.max(tokens.expiresAtMs - tokens.obtainedAtMs, 0);
  return tokens.expiresAtMs - Math.min(2_000, lifeMs * 0.05);
}

/** The tokens after a refresh: what the answer gives, over what was there. */
export function mergeAnswer(before: TokenSet | undefined, answer: TokenAnswer): TokenSet {
  const renewed = answer.accessToken !== undefined;
  const isSameGrant = answer.refreshToken === undefined || answer.refreshToken === before?.refreshToken;
  return withoutUndefined({
    accessToken: renewed ? answer.accessToken : before?.accessToken,
    refreshToken: answer.refreshToken ?? before?.refreshToken,
    idToken: answer.idToken ?? before?.idToken,
    expiresAtMs: renewed ? answer.expiresAtMs : before?.expiresAtMs,
    obtainedAtMs: renewed ? answer.obtainedAtMs : (before?.obtainedAtMs ?? answer.obtainedAtMs),
    // A rotated refresh token whose end is not told has an unknown end, not its predecessor's.
    grantExpiresAtMs: answer.grantExpiresAtMs ?? (isSameGrant ? before?.grantExpiresAtMs : undefined),
  });
}

/** The account after a refresh: each claim that the answer leaves out stays. */
export function mergeAccount(before: Account | undefined, after: Account | undefined): Account | undefined {
  if (after === undefined) return before;
  return before === undefined ? after : { ...before, ...after };
}

/**
 * Whether two logins are of one account: issuer and id, and the person where both name one. E-mail never decides,
 * and what is unknown on either side is another account.
 */
export function isSameAccount(a: Account | undefined, b: Account | undefined): boolean {
  if (a?.id === undefined || b?.id === undefined) return false;
  return a.issuer === b.issuer && a.id === b.id && a.userId === b.userId;
}

function withoutUndefined(tokens: { [Key in keyof TokenSet]-?: TokenSet[Key] | undefined }): TokenSet {
  const { accessToken, refreshToken, idToken, expiresAtMs, obtainedAtMs, grantExpiresAtMs } = tokens;
  return {
    ...(accessToken !== undefined && { accessToken }),
    ...(refreshToken !== undefined && { refreshToken }),
    ...(idToken !== undefined && { idToken }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    obtainedAtMs: obtainedAtMs ?? 0,
    ...(grantExpiresAtMs !== undefined && { grantExpiresAtMs }),
  };
}
