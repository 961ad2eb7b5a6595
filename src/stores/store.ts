// The store's contract: where records, leases and pending logins live. Types only.
// Implementations are chosen in sidecar.ts and pass one shared contract suite (test/stores/_contract.ts).
import type { ErrorCode } from '../errors/catalogue.ts';
import type { Account, Bound } from '../providers/provider.ts';

/** A version as its store writes it; compared for equality only. An absent record has `ABSENT`. */
export type Version = string;

/** The version of a record that was never written: it can be leased and committed against. */
export const ABSENT: Version = '0';

/** The format of records that this version writes: older ones are upgraded on write, newer ones refused. */
export const RECORD_FORMAT = 1;

/**
 * A record as it is stored: JSON, the tokens sealed, the rest readable. A store treats it as a whole and never
 * looks inside but for `writeId`.
 */
export interface StoredRecord {
  readonly format: number;
  readonly credential: string;
  /** Counts the writes of this record, from 1. */
  readonly version: number;
  /** Counts the token sets; moves only when the tokens change (a logout counts). */
  readonly generation: number;
  /** Random, new with every commit: who meets a conflict and finds its own has won. */
  readonly writeId: string;
  readonly bound: Bound;
  /** 16 random bytes, base64; made with the record, never changed: the salt of every fingerprint in it. */
  readonly salt: string;
  /** The sealed tokens, or, where plaintext was asked for by name, their JSON. */
  readonly sealed?: string;
  readonly account?: Account;
  readonly intent?: Intent;
  readonly dead?: Death;
  /** A refresh token that was sent without a clear end. Void where the fingerprint is not the stored one's. */
  readonly unclear?: { readonly fingerprint: string };
  readonly seed?: { readonly fingerprint: string };
  readonly operator: { readonly disabled: boolean; readonly note: string };
}

/** A redeem that is about to be sent, or was. */
export interface Intent {
  /** Fingerprint of the refresh token that is redeemed. */
  readonly fingerprint: string;
  /** 16 random bytes of the process, base64url; another life is another owner. */
  readonly owner: string;
  /** Wall time, ms. */
  readonly since: number;
  /** With `refresh.unclear: hold`: wall time, ms, before which nobody sends. */
  readonly holdUntil?: number;
}

/** A grant that the provider declared gone. Void where the fingerprint is not the stored refresh token's. */
export interface Death {
  readonly fingerprint: string;
  readonly code: ErrorCode;
  /** Wall time, ms. */
  readonly at: number;
}

export type ReadResult =
  | { readonly version: Version; readonly record: StoredRecord }
  | { readonly version: Version; readonly record: undefined };

export type CommitResult =
  | { readonly committed: true; readonly version: Version }
  | { readonly committed: false; readonly conflict: true };

/** The right to redeem, for a while. */
export interface Lease {
  /** Monotonic ms at which it ends unless renewed: the moment the last successful request was sent + ttl. */
  readonly deadlineMs: number;
  /** Moves the deadline; false when another owner holds it now. */
  renew(): Promise<boolean>;
  /** Gives it up; does nothing where another owner holds it. */
  release(): Promise<void>;
}

export type LeaseResult =
  | { readonly held: false; readonly lease: Lease }
  | { readonly held: true; readonly owner: string };

export interface Store {
  readonly kind: 'memory' | 'file' | 'redis' | 'kubernetes';

  /**
   * The current record.
   * @throws store_unavailable, record_corrupt, store_permissions_open
   */
  read(credential: string): Promise<ReadResult>;

  /**
   * Compare-and-swap: writes `record` only where the stored version still is `expected`. Durable when it returns.
   * A conflict that turns out to be one's own write (same `writeId`) is reported as committed.
   * @throws store_write_failed, store_unavailable: it may or may not have been written
   */
  commit(credential: string, expected: Version, record: StoredRecord): Promise<CommitResult>;

  /**
   * Takes the lease where it is free, ours already, or stale: its counter has not moved for a whole `ttlMs` on this
   * process's own monotonic clock, over repeated calls. Never waits.
   * @throws store_unavailable, store_write_failed
   */
  lease(credential: string, owner: string, ttlMs: number): Promise<LeaseResult>;

  /** Calls `changed` after each commit by anyone, where the store can tell; several events may come as one. */
  watch?(credential: string, changed: () => void): { close(): void };

  /** Names of the credentials that have a record. */
  list(): Promise<string[]>;

  /** Writes and deletes a scratch object. @throws store_write_failed, store_unavailable */
  probe(): Promise<void>;

  readonly logins: PendingLogins;

  close(): Promise<void>;
}

export type FoundLogin =
  | { readonly status: 'pending'; readonly credential: string; readonly sealed: string; readonly expiresAtMs: number }
  | { readonly status: 'used' | 'expired' | 'unknown' };

/**
 * Logins that were started and not yet finished: objects of their own, never inside the record. Ended ones stay as
 * tombstones (hash, outcome, expiry) for 30 min so that used, expired and unknown are told apart.
 */
export interface PendingLogins {
  /** @param id SHA-256 of the state, hex. @throws logins_pending_limit where 16 are pending for the credential */
  put(id: string, login: { credential: string; sealed: string; expiresAtMs: number }): Promise<void>;
  /** Looks without consuming. */
  find(id: string): Promise<FoundLogin>;
  /** Consumes it: of all callers, in all processes, one gets `pending`; the others `used`. */
  take(id: string): Promise<FoundLogin>;
}

/** Seals and opens small secrets; `context` is authenticated with them and must be given again to open. */
export interface Sealing {
  seal(plaintext: string, context: string): string;
  /** @throws record_unopenable where no key opens it or the context differs */
  open(sealed: string, context: string): string;
  /**
   * The same secret sealed under the first key; undefined where it is already.
   * @throws record_unopenable
   */
  reseal(sealed: string, context: string): string | undefined;
}
