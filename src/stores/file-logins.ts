// Pending logins as files: `logins/<sha256 of the state>`, and beside it `….ended` once it was taken or has expired.
// A tombstone is linked before the payload goes, so that of all processes one takes a login, and never holds a payload.
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Disk } from './disk.ts';
import { judgeLogin, maxPendingLogins, type PendingLogin, type Tombstone, tombstoneMs } from './login-rules.ts';
import type { PendingLogins } from './store.ts';
import { isFields } from './stored-record.ts';

const idPattern = /^[0-9a-f]{64}$/;
const endedSuffix = '.ended';
/** A payload whose taker was killed half way is left to a living one for so long after its expiry. */
const takerGraceMs = 60_000;

export interface FileLoginsOptions {
  /** The folder; it exists. */
  readonly path: string;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly onWarning: (warning: SidebearerError) => void;
}

export function createFileLogins({ path, disk, clock, onWarning }: FileLoginsOptions): PendingLogins {
  const pendingPath = (id: string): string => join(path, id);
  const endedPath = (id: string): string => join(path, id + endedSuffix);
  /** One put at a time in this process: each counts what the one before it left. */
  let lastPut: Promise<unknown> = Promise.resolve();

  const readPending = async (id: string): Promise<PendingLogin | undefined> => {
    const found = await disk.read(pendingPath(id));
    return found === undefined ? undefined : assertPending(found.value, id, pendingPath(id));
  };
  const readEnded = async (id: string): Promise<Tombstone | undefined> => {
    const found = await disk.read(endedPath(id));
    return found === undefined ? undefined : assertTombstone(found.value, id, endedPath(id));
  };

  /** Writes a new file whole and durable; false where there is one already. */
  const create = async (target: string, value: object): Promise<boolean> => {
    const temporary = await disk.writeTemporary(path, `${JSON.stringify(value)}\n`);
    try {
      return await disk.link(temporary, target);
    } finally {
      await disk.tidy(temporary);
    }
  };

  const end = async (id: string, tombstone: Tombstone): Promise<boolean> => {
    const isFirst = await create(endedPath(id), { id, ...tombstone });
    if (isFirst) await disk.sync(path);
    return isFirst;
  };

  const find = async (id: string): Promise<{ pending: PendingLogin | undefined; ended: Tombstone | undefined }> => {
    // The payload first: it goes only after its tombstone stands, so not to see either means that neither was there.
    const pending = await readPending(id);
    return { pending, ended: await readEnded(id) };
  };

  /** Buries what has expired, forgets what was buried 30 min ago, and counts what is pending for the credential. */
  const sweep = async (credential: string): Promise<number> => {
    const nowMs = clock.wallMs();
    const names = (await disk.list(path)) ?? [];
    await disk.tidyTemporaries(path, names, nowMs);
    const ids = new Set(names.map((name) => name.replace(endedSuffix, '')).filter((id) => idPattern.test(id)));
    let count = 0;
    for (const id of ids) {
      try {
        const { pending, ended } = await find(id);
        if (judgeLogin(pending, ended, nowMs).status === 'pending') count += pending?.credential === credential ? 1 : 0;
        else await bury(id, pending, ended, nowMs);
      } catch (thrown) {
        // One file that cannot be read must not end all logins.
        if (!(thrown instanceof SidebearerError) || thrown.row.outcome !== 'rejected') throw thrown;
        onWarning(thrown);
      }
    }
    return count;
  };

  const bury = async (
    id: string,
    pending: PendingLogin | undefined,
    ended: Tombstone | undefined,
    nowMs: number,
  ): Promise<void> => {
    if (pending !== undefined && nowMs >= pending.expiresAtMs + takerGraceMs) {
      const expiresAtMs = pending.expiresAtMs + tombstoneMs;
      if (ended === undefined && nowMs < expiresAtMs) await end(id, { outcome: 'expired', expiresAtMs });
      await disk.tidy(pendingPath(id));
    }
    // The payload goes before its tombstone: a login never comes back to life.
    if (ended !== undefined && nowMs >= ended.expiresAtMs && !(await disk.exists(pendingPath(id)))) {
      await disk.tidy(endedPath(id));
    }
  };

  const put = async (id: string, login: PendingLogin): Promise<void> => {
    const { credential, sealed, expiresAtMs } = login;
    if (!idPattern.test(id)) throw new SidebearerError('internal_error', { reason: 'a login id is SHA-256 in hex' });
    if ((await sweep(credential)) >= maxPendingLogins)
      throw new SidebearerError('logins_pending_limit', { credential });
    const isNew =
      !(await disk.exists(endedPath(id))) && (await create(pendingPath(id), { id, credential, sealed, expiresAtMs }));
    if (!isNew) {
      throw new SidebearerError('store_write_failed', { credential, reason: 'a login with this state exists already' });
    }
    try {
      // Counted again with ours among them: other processes put at the same time, and none may be let through beyond.
      if ((await sweep(credential)) > maxPendingLogins)
        throw new SidebearerError('logins_pending_limit', { credential });
      await disk.sync(path);
    } catch (thrown) {
      // Nobody will finish what nobody was told of; left there, it would count until it expires.
      await disk.tidy(pendingPath(id));
      throw thrown;
    }
  };

  return {
    put(id, login) {
      const mine = lastPut.then(() => put(id, login));
      lastPut = mine.catch(() => {});
      return mine;
    },
    async find(id) {
      if (!idPattern.test(id)) return { status: 'unknown' };
      const { pending, ended } = await find(id);
      return judgeLogin(pending, ended, clock.wallMs());
    },
    async take(id) {
      if (!idPattern.test(id)) return { status: 'unknown' };
      const { pending, ended } = await find(id);
      const nowMs = clock.wallMs();
      const found = judgeLogin(pending, ended, nowMs);
      if (found.status !== 'pending') return found;
      const isFirst = await end(id, { outcome: 'used', expiresAtMs: nowMs + tombstoneMs });
      if (!isFirst) return judgeLogin(undefined, await readEnded(id), nowMs);
      // Both names decide: a taker that was frozen until the tombstone had been forgotten finds the payload gone.
      return (await disk.remove(pendingPath(id))) ? found : { status: 'used' };
    },
  };
}

function assertPending(value: unknown, id: string, path: string): PendingLogin {
  if (!isFields(value) || value['id'] !== id) throw corrupt(path);
  const { credential, sealed, expiresAtMs } = value;
  if (typeof credential !== 'string' || typeof sealed !== 'string' || typeof expiresAtMs !== 'number')
    throw corrupt(path);
  return { credential, sealed, expiresAtMs };
}

function assertTombstone(value: unknown, id: string, path: string): Tombstone {
  if (!isFields(value) || value['id'] !== id) throw corrupt(path);
  const { outcome, expiresAtMs } = value;
  if ((outcome !== 'used' && outcome !== 'expired') || typeof expiresAtMs !== 'number') throw corrupt(path);
  return { outcome, expiresAtMs };
}

function corrupt(path: string): SidebearerError {
  return new SidebearerError('record_corrupt', { path, reason: 'it is not a pending login' });
}
