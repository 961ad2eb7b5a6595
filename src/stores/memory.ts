// The store that forgets: records, leases and pending logins in this process alone, for demos and tests.
// The same promises as the others, durability apart; it never hands out an object that it keeps.
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { createLeases } from './leases.ts';
import { judgeLogin, maxPendingLogins, type PendingLogin, type Tombstone, tombstoneMs } from './login-rules.ts';
import { ABSENT, type PendingLogins, type Store, type StoredRecord } from './store.ts';

export interface MemoryStoreOptions {
  readonly clock: Clock;
}

/** A store that lives and dies with the process. */
export function createMemoryStore({ clock }: MemoryStoreOptions): Store {
  const records = new Map<string, { readonly version: number; readonly record: StoredRecord }>();
  const leases = new Map<string, { readonly counter: string; readonly owner: string | undefined }>();
  const watchers = new Map<string, Set<() => void>>();

  const lease = createLeases(
    {
      read: async (credential) => leases.get(credential) ?? { counter: '0', owner: undefined },
      async swap(credential, expected, owner) {
        const counter = leases.get(credential)?.counter ?? '0';
        if (counter !== expected) return false;
        leases.set(credential, { counter: String(Number(counter) + 1), owner });
        return true;
      },
    },
    clock,
  );

  return {
    kind: 'memory',
    async read(credential) {
      const found = records.get(credential);
      if (found === undefined) return { version: ABSENT, record: undefined };
      return { version: String(found.version), record: structuredClone(found.record) };
    },
    async commit(credential, expected, record) {
      const found = records.get(credential);
      const version = found?.version ?? 0;
      if (String(version) !== expected) {
        if (found?.record.writeId === record.writeId) return { committed: true, version: String(version) };
        return { committed: false, conflict: true };
      }
      records.set(credential, { version: version + 1, record: structuredClone(record) });
      // On a later turn: whoever commits has its answer before anyone reacts to it.
      for (const changed of watchers.get(credential) ?? [])
        setImmediate(() => watchers.get(credential)?.has(changed) && changed());
      return { committed: true, version: String(version + 1) };
    },
    lease,
    watch(credential, changed) {
      const all = watchers.get(credential) ?? new Set();
      watchers.set(credential, all);
      // Its own function each time, so that one callback given twice is two watches.
      const call = (): void => changed();
      all.add(call);
      return { close: () => void all.delete(call) };
    },
    list: async () => [...records.keys()],
    probe: async () => {},
    logins: createMemoryLogins(clock),
    async close() {
      watchers.clear();
    },
  };
}

function createMemoryLogins(clock: Clock): PendingLogins {
  const pending = new Map<string, PendingLogin>();
  const tombstones = new Map<string, Tombstone>();

  const sweep = (nowMs: number): void => {
    for (const [id, login] of pending) {
      if (nowMs < login.expiresAtMs) continue;
      pending.delete(id);
      tombstones.set(id, { outcome: 'expired', expiresAtMs: login.expiresAtMs + tombstoneMs });
    }
    for (const [id, tombstone] of tombstones) if (nowMs >= tombstone.expiresAtMs) tombstones.delete(id);
  };
  const find = (id: string, nowMs: number) => judgeLogin(pending.get(id), tombstones.get(id), nowMs);

  return {
    async put(id, login) {
      sweep(clock.wallMs());
      const { credential, sealed, expiresAtMs } = login;
      if (pending.has(id) || tombstones.has(id)) {
        throw new SidebearerError('store_write_failed', {
          credential,
          reason: 'a login with this state exists already',
        });
      }
      const others = [...pending.values()].filter((other) => other.credential === credential);
      if (others.length >= maxPendingLogins) throw new SidebearerError('logins_pending_limit', { credential });
      pending.set(id, { credential, sealed, expiresAtMs });
    },
    find: async (id) => find(id, clock.wallMs()),
    async take(id) {
      const nowMs = clock.wallMs();
      const found = find(id, nowMs);
      if (found.status === 'pending') {
        pending.delete(id);
        tombstones.set(id, { outcome: 'used', expiresAtMs: nowMs + tombstoneMs });
      }
      return found;
    },
  };
}
