// Steps 6 and 7 of a refresh: what the provider answered becomes durable, then current. Until it is durable it serves
// from memory, and the commit is tried again. A conflict never drops tokens: only where a login, an import or a logout
// has replaced the redeemed token are ours given up.
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Provider, TokenAnswer } from '../providers/provider.ts';
import { fingerprint } from './fingerprint.ts';
import type { CredentialObserver } from './observer.ts';
import type { RecordJudge } from './record-judge.ts';
import type { OpenRecord, PreparedCommit, Records } from './records.ts';
import type { RenewalHost, RenewalResult } from './renewal.ts';
import type { RenewalEnds } from './renewal-ends.ts';
import { mergeAccount, mergeAnswer } from './token-set.ts';

/**
 * Keeps an answer, however long that takes: how long a stop waits for it is the stop's business.
 * @param announced the record with our intent, as it was read last
 * @param redeemed the refresh token that was sent
 */
export type CommitAnswer = (
  host: RenewalHost,
  announced: OpenRecord,
  answer: TokenAnswer,
  redeemed: string,
) => Promise<RenewalResult>;

export interface AnswerCommitOptions {
  readonly credential: string;
  readonly provider: Pick<Provider, 'revoke'>;
  readonly records: Records;
  readonly judge: RecordJudge;
  readonly ends: RenewalEnds;
  readonly clock: Clock;
  readonly observer: CredentialObserver;
  /** 16 random bytes of this process, base64url. */
  readonly owner: string;
}

/** Between two tries to make redeemed tokens durable, ms; the contract allows no more than a second. */
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 1_000;
/** What a commit may take before its token serves from memory: requests may be waiting for it. */
const PATIENCE_MS = 1_000;

export function createAnswerCommit(options: AnswerCommitOptions): CommitAnswer {
  const { credential, provider, records, judge, ends, clock, observer, owner } = options;

  function prepare(base: OpenRecord, answer: TokenAnswer): PreparedCommit {
    const tokens = mergeAnswer(base.tokens, answer);
    return records.prepare(base, (salt) => ({
      tokens,
      account: mergeAccount(base.stored?.account, answer.account),
      intent: undefined,
      dead: undefined,
      unclear: wasOvertaken(base) ? { fingerprint: fingerprint(salt, tokens.refreshToken ?? '') } : undefined,
    }));
  }

  /**
   * Another took the lease while our answer was on its way, and may have redeemed the same token: a family that turns
   * out dead has died of that.
   */
  function wasOvertaken({ stored }: OpenRecord): boolean {
    return stored?.intent?.owner !== owner;
  }

  async function superseded(stored: OpenRecord, answer: TokenAnswer, host: RenewalHost): Promise<RenewalResult> {
    observer.failed(new SidebearerError('refresh_superseded', { credential }), credential);
    // Only after a logout: elsewhere, revoking ours could take the newer grant with it.
    if (stored.tokens === undefined) {
      const { refreshToken, accessToken } = answer;
      const ours = {
        ...(refreshToken !== undefined && { refreshToken }),
        ...(accessToken !== undefined && { accessToken }),
      };
      await provider.revoke?.(ours).catch(() => undefined);
      return ends.emptied(host);
    }
    ends.adopt(stored, host);
    return { kind: 'superseded' };
  }

  function concluded(durable: OpenRecord, answer: TokenAnswer, host: RenewalHost): RenewalResult {
    const token = judge.currentOf(durable);
    if (token !== undefined) host.publish(token, true);
    if (answer.accessToken !== undefined) return { kind: 'refreshed' };
    const malformed = answer.warnings.some(({ code }) => code === 'access_token_malformed');
    const code = malformed ? 'access_token_malformed' : 'token_endpoint_malformed';
    return { kind: 'failed', error: new SidebearerError(code, { credential }) };
  }

  return async (host, announced, answer, redeemed) => {
    for (const { code, field } of answer.warnings) {
      observer.failed(new SidebearerError(code, { credential, reason: `the field is ${field}` }), credential);
    }
    let prepared = prepare(announced, answer);
    let isDirty = false;
    let hasFailed = false;
    /** Step 7: the lease and the intent keep everyone else from the spent token meanwhile. */
    const serveFromMemory = (): void => {
      if (isDirty) return;
      isDirty = true;
      observer.dirtyChanged(credential, true);
      const unsaved = judge.currentOf({ ...prepared.base, stored: prepared.stored, tokens: prepared.tokens });
      if (unsaved !== undefined) host.publish(unsaved, false);
    };
    let pauseMs = FIRST_RETRY_MS;
    const slow = clock.after(PATIENCE_MS, serveFromMemory, { background: true });
    try {
      for (;;) {
        let durable: OpenRecord | undefined;
        try {
          durable = await records.commit(prepared);
          if (durable === undefined) {
            const stored = await records.read();
            if (holdsAnswer(stored, prepared)) durable = stored;
            else if (stored.tokens?.refreshToken !== redeemed) return await superseded(stored, answer, host);
            else prepared = prepare(stored, answer);
          }
        } catch (thrown) {
          if (!hasFailed) observer.failed(toSidebearerError(thrown), credential);
          hasFailed = true;
          serveFromMemory();
          await sleep(clock, pauseMs, undefined, { background: true });
          pauseMs = Math.min(pauseMs * 2, LONGEST_RETRY_MS);
        }
        if (durable !== undefined) return concluded(durable, answer, host);
      }
    } finally {
      slow.cancel();
      if (isDirty) observer.dirtyChanged(credential, false);
    }
  };
}

/** The write went through after all, and somebody has written since: our tokens are what is stored. */
function holdsAnswer(stored: OpenRecord, prepared: PreparedCommit): boolean {
  const ours = prepared.tokens;
  const before = prepared.base.tokens;
  if (stored.tokens?.refreshToken !== ours?.refreshToken) return false;
  if (ours?.refreshToken !== before?.refreshToken) return true;
  return ours?.accessToken !== before?.accessToken && stored.tokens?.accessToken === ours?.accessToken;
}
