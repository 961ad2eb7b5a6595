// Steps 4 to 7 of a refresh: from the first attempt on an announced refresh token to the durable record.
// It never sends without the time that the lease leaves it, never a second time what may have been taken without
// reading first, and lets nobody begin again at once what was sent.
import type { Clock } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Provider, TokenAnswer } from '../providers/provider.ts';
import type { CommitAnswer } from './answer-commit.ts';
import { type AttemptParts, type AttemptPolicy, isUnreached, runAttempts } from './attempts.ts';
import type { Breaker } from './breaker.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { CredentialMemory } from './memory.ts';
import type { CredentialObserver } from './observer.ts';
import type { RecordJudge } from './record-judge.ts';
import type { OpenRecord, Records } from './records.ts';
import type { RenewalHost, RenewalResult } from './renewal.ts';
import type { RenewalEnds } from './renewal-ends.ts';

/**
 * @param announced the record with our intent
 * @param answered called once the endpoint has answered: the place there may go to another
 * @throws store_* where nothing was sent: it may begin again at once
 */
export type Redeem = (
  host: RenewalHost,
  keeper: LeaseKeeper,
  announced: OpenRecord,
  answered: () => void,
) => Promise<RenewalResult | 'lease lost'>;

export interface RedeemOptions {
  readonly credential: string;
  readonly provider: Pick<Provider, 'refresh'>;
  readonly records: Records;
  readonly judge: RecordJudge;
  readonly ends: RenewalEnds;
  readonly commitAnswer: CommitAnswer;
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: CredentialObserver;
  /** One attempt at the token endpoint, ms. */
  readonly timeoutMs: number;
  readonly attempts: AttemptPolicy;
  readonly unclear: 'retry' | 'hold';
  readonly memory: CredentialMemory;
}

export function createRedeem(options: RedeemOptions): Redeem {
  const { credential, provider, records, judge, ends, breaker, clock, random, observer, memory } = options;

  return async (host, keeper, announced, answered) => {
    const refreshToken = announced.tokens?.refreshToken ?? '';
    let base = announced;
    /** Something left for the provider in this redeem, answered or not. */
    let wasSent = false;
    /** The last attempt that was sent without a clear answer. */
    let unclear: SidebearerError | undefined;

    /** Step 4: someone may have rotated while we backed off. */
    const isStillStored = async (): Promise<boolean> => {
      base = await records.read();
      return base.tokens?.refreshToken === refreshToken;
    };
    const attempt = async (): Promise<TokenAnswer> => {
      try {
        return await provider.refresh(refreshToken, {
          timeoutMs: options.timeoutMs,
          mayBegin: () => keeper.isSafe() && !host.stopping.aborted,
        });
      } catch (thrown) {
        const error = toSidebearerError(thrown);
        wasSent ||= error.code !== 'lease_lost' && !isUnreached(error);
        throw thrown;
      }
    };
    const parts: AttemptParts = {
      clock,
      breaker,
      stopping: host.stopping,
      random,
      spends: true,
      isEarly: host.isEarly,
      requested: (result) => observer.tokenRequested(credential, 'refresh_token', result),
    };

    /** Undefined: one more, at once. @throws store_* */
    const tryToRedeem = async (): Promise<RenewalResult | 'lease lost' | undefined> => {
      const result = await runAttempts(options.attempts, parts, isStillStored, attempt);
      if (result.kind === 'answered') {
        answered();
        memory.unclearFingerprint = undefined;
        return await options.commitAnswer(host, base, result.answer, refreshToken);
      }
      const isUnclear = result.kind === 'failed' && result.error.row.outcome === 'unknown';
      const isFirstUnclear = isUnclear && unclear === undefined;
      if (isUnclear) {
        memory.unclearFingerprint = judge.redeemableFingerprint(announced);
        unclear = result.error;
      }
      if (isFirstUnclear && options.unclear === 'hold') {
        // Before anything that may fail, and also where the process stops: nobody else may send before its time.
        const holding = await ends.hold(base, result.error, host);
        if (holding !== undefined) return holding;
      }
      if (!(await isStillStored())) return ends.supersededBy(base, host);
      if (isFirstUnclear && !host.stopping.aborted) return undefined;
      if (result.kind === 'failed' && result.error.code.startsWith('grant_')) {
        const code = judge.hadUnclearEnd(base) ? 'refresh_outcome_unknown' : result.error.code;
        return await ends.die(base, new SidebearerError(code, { ...result.error.details, credential }), host);
      }
      await ends.withdrawIntent(base);
      return result.kind === 'ended' ? { kind: 'stopped' } : outcomeOf(result.error, host);
    };

    try {
      for (;;) {
        const result = await tryToRedeem();
        if (result !== undefined) return result;
      }
    } catch (thrown) {
      if (!wasSent) throw thrown;
      await ends.withdrawIntent(undefined);
      // A pause for the store's sake ends as soon as that answers, and the next try would come with it.
      return { kind: 'failed', error: unclear ?? toSidebearerError(thrown) };
    }
  };

  function outcomeOf(error: SidebearerError, host: RenewalHost): RenewalResult | 'lease lost' {
    if (error.code === 'breaker_open') return ends.breakerHolds(error.details.retryAfterMs ?? 0);
    if (error.code !== 'lease_lost') return { kind: 'failed', error };
    return host.stopping.aborted ? { kind: 'stopped' } : 'lease lost';
  }
}
