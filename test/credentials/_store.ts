// A store with faults: each process of a test sees the shared one through its own, which can be down, slow, fail
// before or after a write, and let others in between a reading and the commit that follows it.
import { type Clock, sleep } from '../../src/clock.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { Lease, Store, StoredRecord } from '../../src/stores/store.ts';

export type Operation = 'read' | 'commit' | 'lease' | 'renew' | 'release';

export interface FaultyStore extends Store {
  isDown: boolean;
  /** Reading works; every write fails before it takes effect. */
  isReadOnly: boolean;
  /** Leases can be taken and never renewed. */
  isRenewalDown: boolean;
  delayMs: number;
  /** Runs before an operation reaches the store; what it does comes in between. */
  before: ((operation: Operation, record: StoredRecord | undefined) => Promise<void> | void) | undefined;
  /** The coming `times` operations of this kind fail: before they take effect, or after. */
  fail(operation: Operation, when: 'before' | 'after', times?: number): void;
  /** Every record that a commit was called with. */
  readonly commits: StoredRecord[];
  /** Operations in order. */
  readonly log: Operation[];
}

export interface FaultyStoreOptions {
  /** False: this store cannot tell of changes. */
  readonly canWatch?: boolean;
  /** Resolves while the process that uses it runs. */
  readonly resumed: () => Promise<void>;
}

export function createFaultyStore(inner: Store, clock: Clock, options: FaultyStoreOptions): FaultyStore {
  const { resumed, canWatch = true } = options;
  const faults: { operation: Operation; when: 'before' | 'after'; times: number }[] = [];
  const commits: StoredRecord[] = [];
  const log: Operation[] = [];

  function takeFault(operation: Operation, when: 'before' | 'after'): boolean {
    const fault = faults.find((each) => each.operation === operation && each.when === when && each.times > 0);
    if (fault === undefined) return false;
    fault.times -= 1;
    return true;
  }

  async function run<T>(operation: Operation, record: StoredRecord | undefined, act: () => Promise<T>): Promise<T> {
    await resumed();
    log.push(operation);
    if (store.delayMs > 0) await sleep(clock, store.delayMs);
    await store.before?.(operation, record);
    const code = operation === 'commit' ? 'store_write_failed' : 'store_unavailable';
    const isRefused = store.isDown || (store.isReadOnly && operation !== 'read');
    if (isRefused || takeFault(operation, 'before')) throw new SidebearerError(code);
    const result = await act();
    await resumed();
    if (takeFault(operation, 'after')) throw new SidebearerError(code);
    return result;
  }

  function wrapLease(lease: Lease): Lease {
    return {
      get deadlineMs() {
        return lease.deadlineMs;
      },
      renew: () =>
        run('renew', undefined, () => {
          if (store.isRenewalDown) throw new SidebearerError('store_unavailable');
          return lease.renew();
        }),
      release: () => run('release', undefined, () => lease.release()),
    };
  }

  const store: FaultyStore = {
    kind: 'memory',
    isDown: false,
    isReadOnly: false,
    isRenewalDown: false,
    delayMs: 0,
    before: undefined,
    commits,
    log,
    fail: (operation, when, times = 1) => void faults.push({ operation, when, times }),
    read: (credential) => run('read', undefined, () => inner.read(credential)),
    commit(credential, expected, record) {
      commits.push(record);
      return run('commit', record, () => inner.commit(credential, expected, record));
    },
    async lease(credential, owner, ttlMs) {
      const taken = await run('lease', undefined, () => inner.lease(credential, owner, ttlMs));
      return taken.held ? taken : { held: false, lease: wrapLease(taken.lease) };
    },
    ...(canWatch && {
      watch(credential: string, changed: () => void) {
        return inner.watch?.(credential, () => void resumed().then(changed)) ?? { close: () => undefined };
      },
    }),
    list: () => inner.list(),
    probe: () => inner.probe(),
    logins: inner.logins,
    close: async () => undefined,
  };
  return store;
}
