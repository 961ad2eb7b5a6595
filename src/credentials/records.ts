// Records as the refresher thinks of them: tokens open on this side, sealed on the store's.
// A write names only what it changes; everything else in the record stays as the store has it.
import { randomBytes } from 'node:crypto';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Account, Bound } from '../providers/provider.ts';
import {
  type Death,
  type Intent,
  RECORD_FORMAT,
  type Sealing,
  type Store,
  type StoredRecord,
  type Version,
} from '../stores/store.ts';
import { fingerprint } from './fingerprint.ts';
import type { CredentialObserver } from './observer.ts';
import type { TokenSet } from './token-set.ts';

/** What may stand in a header after the scheme. */
const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/** A record as it was read: the state that the next commit is based on. */
export interface OpenRecord {
  readonly version: Version;
  readonly stored: StoredRecord | undefined;
  readonly tokens: TokenSet | undefined;
}

/** What one commit changes; a key that is absent stays, `undefined` removes. */
export interface RecordChange {
  /** New tokens, or `undefined` for none; moves the generation. */
  readonly tokens?: TokenSet | undefined;
  readonly account?: Account | undefined;
  readonly intent?: Intent | undefined;
  readonly dead?: Death | undefined;
  readonly unclear?: { readonly fingerprint: string } | undefined;
  readonly seed?: { readonly fingerprint: string };
  readonly bound?: Bound;
}

export interface Records {
  /** @throws store_unavailable, record_* */
  read(): Promise<OpenRecord>;
  /** The new state, or undefined at a conflict. @throws store_write_failed, store_unavailable, record_* */
  commit(prepared: PreparedCommit): Promise<OpenRecord | undefined>;
  /** A commit that can be sent again and is then recognised as the same one. */
  prepare(base: OpenRecord, change: RecordChange | ((salt: string) => RecordChange)): PreparedCommit;
  /** Fingerprint of a refresh token under the record's salt; undefined where there is no record to hold a salt. */
  fingerprintOf(record: OpenRecord, refreshToken: string | undefined): string | undefined;
  /** Whether the stored tokens belong to where the configuration would send them. */
  isBoundHere(record: OpenRecord): boolean;
}

export interface PreparedCommit {
  readonly base: OpenRecord;
  readonly stored: StoredRecord;
  readonly tokens: TokenSet | undefined;
}

export interface RecordsOptions {
  readonly credential: string;
  readonly bound: Bound;
  readonly store: Store;
  readonly sealing: Sealing;
  readonly observer: CredentialObserver;
}

/** Rounds of a commit against other writers before giving up. */
export const COMMIT_ROUNDS = 20;

/** The end of a commit that lost all its rounds. */
export function outrun(credential: string): SidebearerError {
  return new SidebearerError('store_write_failed', { credential, reason: 'other writers were always first' });
}

/** The records of one credential. */
export function createRecords(options: RecordsOptions): Records {
  const { credential, store, sealing, observer } = options;

  return {
    async read() {
      const { version, record } = await store.read(credential);
      if (record?.sealed === undefined) return { version, stored: record, tokens: undefined };
      const tokens = parseTokens(sealing.open(record.sealed, sealContext({ ...record, credential })), credential);
      if (tokens.accessToken === undefined || VISIBLE_ASCII.test(tokens.accessToken)) {
        return { version, stored: record, tokens };
      }
      // Whoever wrote it, it is none: left in, requests would go out without any token. The refresh token may be good.
      observer.failed(new SidebearerError('access_token_malformed', { credential }), credential);
      const { accessToken: _, expiresAtMs: __, ...others } = tokens;
      return { version, stored: record, tokens: others };
    },

    prepare(base, changeOrMake) {
      const before = base.stored;
      const {
        sealed: _sealed,
        account: _account,
        intent: _intent,
        dead: _dead,
        unclear: _unclear,
        seed: _seed,
        ...others
      } = before ?? {};
      const salt = before?.salt ?? randomBytes(16).toString('base64');
      const change = typeof changeOrMake === 'function' ? changeOrMake(salt) : changeOrMake;
      const movesTokens = 'tokens' in change;
      const tokens = movesTokens ? change.tokens : base.tokens;
      const header = {
        format: RECORD_FORMAT,
        credential,
        version: (before?.version ?? 0) + 1,
        generation: (before?.generation ?? 0) + (movesTokens ? 1 : 0),
        writeId: randomBytes(12).toString('base64url'),
        bound: change.bound ?? before?.bound ?? options.bound,
        salt,
      };
      // An older format, or another binding, is another seal context: what goes with it must be sealed anew.
      const mustSeal = movesTokens || before === undefined || sealContext(header) !== sealContext(before);
      const sealed = !mustSeal
        ? before.sealed
        : tokens === undefined
          ? undefined
          : sealing.seal(JSON.stringify(tokens), sealContext(header));
      const account = 'account' in change ? change.account : before?.account;
      const intent = 'intent' in change ? change.intent : before?.intent;
      const dead = 'dead' in change ? change.dead : before?.dead;
      const unclear = 'unclear' in change ? change.unclear : before?.unclear;
      const seed = change.seed ?? before?.seed;
      return {
        base,
        tokens,
        stored: {
          // An operator's edit, and whatever a later version of this format may add.
          ...others,
          ...header,
          ...(sealed !== undefined && { sealed }),
          ...(account !== undefined && { account }),
          ...(intent !== undefined && { intent }),
          ...(dead !== undefined && { dead }),
          ...(unclear !== undefined && { unclear }),
          ...(seed !== undefined && { seed }),
          operator: before?.operator ?? { disabled: false, note: '' },
        },
      };
    },

    async commit({ base, stored, tokens }) {
      try {
        const result = await store.commit(credential, base.version, stored);
        observer.storeWritten(credential, result.committed ? 'committed' : 'conflict');
        return result.committed ? { version: result.version, stored, tokens } : undefined;
      } catch (thrown) {
        observer.storeWritten(credential, 'failed');
        throw toSidebearerError(thrown);
      }
    },

    fingerprintOf(record, refreshToken) {
      if (record.stored === undefined || refreshToken === undefined) return undefined;
      return fingerprint(record.stored.salt, refreshToken);
    },

    isBoundHere({ stored }) {
      if (stored === undefined) return true;
      const { bound } = stored;
      return (
        bound.issuer === options.bound.issuer &&
        bound.tokenUrl === options.bound.tokenUrl &&
        bound.clientId === options.bound.clientId
      );
    },
  };
}

/** What a seal is bound to: tokens moved into another record, binding or generation do not open. */
export function sealContext(record: Pick<StoredRecord, 'format' | 'credential' | 'bound' | 'generation'>): string {
  const { issuer, tokenUrl, clientId } = record.bound;
  return JSON.stringify([
    record.format,
    record.credential,
    issuer ?? null,
    tokenUrl ?? null,
    clientId,
    record.generation,
  ]);
}

function parseTokens(text: string, credential: string): TokenSet {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SidebearerError('record_corrupt', { credential });
  }
  if (typeof value !== 'object' || value === null || !('obtainedAtMs' in value)) {
    throw new SidebearerError('record_corrupt', { credential });
  }
  const isTokens = Object.entries(value).every(
    ([key, entry]) => typeof entry === (key.endsWith('Ms') ? 'number' : 'string'),
  );
  if (!isTokens) throw new SidebearerError('record_corrupt', { credential });
  return value as TokenSet;
}
