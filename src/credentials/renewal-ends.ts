// How a renewal of a rotating grant ends without new tokens: adopted, held back, dead, or leaving only its intent to be
// taken away. What each of them writes goes with the refresh token that is stored, and never over another's.
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Intent } from '../stores/store.ts';
import type { CredentialObserver } from './observer.ts';
import type { RecordJudge } from './record-judge.ts';
import { COMMIT_ROUNDS, type OpenRecord, outrun, type RecordChange, type Records } from './records.ts';
import type { RenewalHost, RenewalResult } from './renewal.ts';

export interface RenewalEnds {
  /** Publishes the token in `record`, if it is one for here. */
  adopt(record: OpenRecord, host: RenewalHost): 'enough' | 'not enough' | 'none';
  /** The record holds another refresh token than the one at work. */
  supersededBy(record: OpenRecord, host: RenewalHost): RenewalResult;
  /** There is no token any more. */
  emptied(host: RenewalHost): RenewalResult;
  held(forMs: number): RenewalResult;
  breakerHolds(forMs: number): RenewalResult;
  /**
   * `refresh.unclear: hold`: the second try waits until the token in hand is about to expire; undefined where that
   * is now.
   */
  hold(record: OpenRecord, cause: SidebearerError, host: RenewalHost): Promise<RenewalResult | undefined>;
  /** The provider takes this grant no more: remembered with the record. */
  die(record: OpenRecord, error: SidebearerError, host: RenewalHost): Promise<RenewalResult>;
  /**
   * Takes our intent away, whatever the outcome; never throws.
   * @param known the record as it was read last; undefined: read it
   */
  withdrawIntent(known: OpenRecord | undefined): Promise<void>;
}

export interface RenewalEndsOptions {
  readonly credential: string;
  readonly records: Records;
  readonly judge: RecordJudge;
  readonly clock: Clock;
  readonly observer: CredentialObserver;
  /** 16 random bytes of this process, base64url. */
  readonly owner: string;
  readonly leaseMs: number;
}

/** Between two tries to write a hold, ms. */
const HOLD_RETRY_MS = 1_000;

export function createRenewalEnds(options: RenewalEndsOptions): RenewalEnds {
  const { credential, records, judge, clock, observer, owner, leaseMs } = options;

  /**
   * Commits what goes with the refresh token in `record`, whoever else writes meanwhile. Undefined: it is done; else
   * the record that holds another refresh token by now.
   */
  async function amend(record: OpenRecord, change: (now: OpenRecord) => RecordChange): Promise<OpenRecord | undefined> {
    let now = record;
    for (let round = 0; round < COMMIT_ROUNDS; round += 1) {
      if ((await records.commit(records.prepare(now, change(now)))) !== undefined) return undefined;
      now = await records.read();
      if (now.tokens?.refreshToken !== record.tokens?.refreshToken) return now;
    }
    throw outrun(credential);
  }

  /** Ours, and not one that holds everyone back on purpose. */
  function isWithdrawable({ stored }: OpenRecord): boolean {
    return stored?.intent?.owner === owner && stored.intent.holdUntil === undefined;
  }

  const ends: RenewalEnds = {
    adopt(record, host) {
      const token = judge.usableOf(record);
      if (token === undefined) return 'none';
      host.publish(token, true);
      return host.isEnough(token) ? 'enough' : 'not enough';
    },

    supersededBy(record, host) {
      if (record.tokens === undefined) return ends.emptied(host);
      return ends.adopt(record, host) === 'enough' ? { kind: 'adopted' } : { kind: 'superseded' };
    },

    emptied(host) {
      host.drop('grant_absent');
      return { kind: 'absent' };
    },

    held: (forMs) => ({ kind: 'held', error: new SidebearerError('refresh_held', { credential }), forMs }),

    breakerHolds: (forMs) => ({
      kind: 'held',
      error: new SidebearerError('breaker_open', { credential, retryAfterMs: forMs }),
      forMs,
    }),

    async hold(record, cause, host) {
      const holdUntil = (record.tokens?.expiresAtMs ?? 0) - 2 * leaseMs;
      const fingerprint = judge.redeemableFingerprint(record);
      if (fingerprint === undefined) return undefined;
      const intent: Intent = { fingerprint, owner, since: clock.wallMs(), holdUntil };
      if (holdUntil > clock.wallMs()) observer.failed(cause, credential);
      for (let isFirst = true; holdUntil > clock.wallMs() && (isFirst || !host.stopping.aborted); isFirst = false) {
        try {
          const superseding = await amend(record, () => ({ intent }));
          if (superseding !== undefined) return ends.supersededBy(superseding, host);
          return ends.held(holdUntil - clock.wallMs());
        } catch {
          // The lease goes on meanwhile, so that nobody sends before they can know. Each failed write was counted.
          await sleep(clock, HOLD_RETRY_MS, host.stopping);
        }
      }
      return undefined;
    },

    async die(record, error, host) {
      const dead = { fingerprint: judge.redeemableFingerprint(record) ?? '', code: error.code, at: clock.wallMs() };
      try {
        // `unclear` stays: a holder that was frozen may come with the same answer later, and must give the same name.
        const superseding = await amend(record, () => ({ dead, intent: undefined }));
        if (superseding !== undefined) return ends.supersededBy(superseding, host);
      } catch (thrown) {
        // It is dead all the same; what cannot be written is asked for once more after a restart.
        observer.failed(toSidebearerError(thrown), credential);
      }
      return { kind: 'dead', error };
    },

    async withdrawIntent(known) {
      try {
        const record = known ?? (await records.read());
        if (!isWithdrawable(record)) return;
        await amend(record, (now) => (isWithdrawable(now) ? { ...judge.unclearEnd(now), intent: undefined } : {}));
      } catch {
        // Others wait for it once, then replace it. The failed write is counted where it happened.
      }
    },
  };
  return ends;
}
