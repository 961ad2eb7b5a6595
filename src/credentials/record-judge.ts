// What a stored record says to a rotating grant: whose token it holds, whether it is dead, who announced a redeem of
// it, whether one ended without a clear answer, whether the configured seed is new to it.
// It never reads, writes, sends or waits.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Intent } from '../stores/store.ts';
import type { CredentialMemory } from './memory.ts';
import type { OpenRecord, RecordChange, Records } from './records.ts';
import type { Reading } from './renewal.ts';
import type { CurrentToken } from './token-set.ts';

export interface RecordJudge {
  /** The token in it, wherever the record is bound. */
  currentOf(record: OpenRecord): CurrentToken | undefined;
  /** The token in it that may be used here: a record that is bound elsewhere is nobody's. */
  usableOf(record: OpenRecord): CurrentToken | undefined;
  /** A configured refresh token that this record has never held. */
  newSeed(record: OpenRecord): string | undefined;
  /** Why nothing in it may be sent. */
  deathOf(record: OpenRecord): SidebearerError | undefined;
  redeemableFingerprint(record: OpenRecord): string | undefined;
  /** A redeem of the very token that is stored, announced and not ended. */
  liveIntent(record: OpenRecord): Intent | undefined;
  /** Kept with the record, so that whoever meets the consequence, in whatever process, can tell the cause. */
  unclearEnd(record: OpenRecord): RecordChange;
  hadUnclearEnd(record: OpenRecord): boolean;
  /** All of it, for the credential. */
  reading(record: OpenRecord): Reading;
}

export interface RecordJudgeOptions {
  readonly credential: string;
  readonly records: Pick<Records, 'fingerprintOf' | 'isBoundHere'>;
  /** `refreshToken` of the configuration: the first one only. */
  readonly seed: string | undefined;
  readonly memory: CredentialMemory;
}

export function createRecordJudge({ credential, records, seed, memory }: RecordJudgeOptions): RecordJudge {
  const judge: RecordJudge = {
    currentOf({ stored, tokens }) {
      if (stored === undefined || tokens === undefined) return undefined;
      const { generation, account } = stored;
      return { generation, tokens, ...(account !== undefined && { account }) };
    },

    usableOf: (record) => (records.isBoundHere(record) ? judge.currentOf(record) : undefined),

    newSeed(record) {
      if (seed === undefined) return undefined;
      if (record.stored?.seed === undefined) return seed;
      return record.stored.seed.fingerprint === records.fingerprintOf(record, seed) ? undefined : seed;
    },

    deathOf(record) {
      if (record.tokens !== undefined && !records.isBoundHere(record)) {
        return new SidebearerError('record_bound_elsewhere', { credential });
      }
      const dead = record.stored?.dead;
      if (dead === undefined || dead.fingerprint !== judge.redeemableFingerprint(record)) return undefined;
      return new SidebearerError(dead.code, { credential });
    },

    redeemableFingerprint: (record) => records.fingerprintOf(record, record.tokens?.refreshToken),

    liveIntent(record) {
      const intent = record.stored?.intent;
      return intent !== undefined && intent.fingerprint === judge.redeemableFingerprint(record) ? intent : undefined;
    },

    unclearEnd(record) {
      const remembered = memory.unclearFingerprint;
      if (remembered === undefined || remembered !== judge.redeemableFingerprint(record)) return {};
      return { unclear: { fingerprint: remembered } };
    },

    hadUnclearEnd(record) {
      const ours = judge.redeemableFingerprint(record);
      return ours !== undefined && (ours === memory.unclearFingerprint || ours === record.stored?.unclear?.fingerprint);
    },

    reading(record) {
      if (judge.newSeed(record) !== undefined) return { kind: 'grant', isNew: true };
      const death = judge.deathOf(record);
      const token = judge.usableOf(record);
      if (death !== undefined) return { kind: 'dead', error: death, token };
      if (token === undefined) return { kind: 'empty', code: 'grant_absent' };
      return token.tokens.accessToken === undefined ? { kind: 'grant' } : { kind: 'token', token };
    },
  };
  return judge;
}
