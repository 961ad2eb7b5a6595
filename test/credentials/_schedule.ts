// What happens to the processes of a simulation, as data: fast-check makes it, shrinks it and prints it.
import fc from 'fast-check';

export type Fault =
  /** SIGKILL, and a new life after `spanMs`. */
  | 'kill'
  /** SIGSTOP, and SIGCONT after `spanMs`: up to four leases. */
  | 'freeze'
  /** SIGTERM, and a new life after `spanMs`, whether or not the old one has ended by then. */
  | 'stop'
  /** The store answers nobody for `spanMs`. */
  | 'store outage'
  /** The store is read and not written, by one process. */
  | 'store read-only'
  /** Nobody can connect to the provider, or it answers 503, for `spanMs`. */
  | 'provider unreachable'
  | 'provider failing'
  /** The provider works, and its next answer is lost. */
  | 'answer lost'
  /** A person edits the record, logs in (elsewhere, or at one of the processes), logs out. */
  | 'edit'
  | 'login elsewhere'
  | 'login here'
  | 'logout'
  /** The upstream takes the current access token no longer. */
  | 'access token revoked'
  /** Other settings under the credential, with whatever is at work; or it is taken out, and is back after `spanMs`. */
  | 'reload'
  | 'taken out';

export interface Happening {
  /** Since the one before, ms. */
  readonly pauseMs: number;
  readonly fault: Fault;
  /** Index of a process. */
  readonly who: number;
  /** 0 to 1 of what this fault may last. */
  readonly span: number;
}

export interface FaultSchedule {
  /** For the small things: delays, jitter, single errors of the store. */
  readonly seed: number;
  /** The store: one cell in memory, or the file store's folders, where every step on the disk may be the last. */
  readonly store: 'memory' | 'file';
  readonly unclear: 'retry' | 'hold';
  readonly processes: number;
  readonly happenings: readonly Happening[];
}

const weights: Readonly<Record<Fault, number>> = {
  kill: 26,
  freeze: 30,
  stop: 5,
  'store outage': 12,
  'store read-only': 3,
  'provider unreachable': 5,
  'provider failing': 5,
  'answer lost': 1,
  edit: 12,
  'login elsewhere': 1,
  'login here': 1,
  logout: 1,
  'access token revoked': 4,
  reload: 10,
  'taken out': 3,
};

const fault: fc.Arbitrary<Fault> = fc.oneof(
  ...Object.entries(weights).map(([name, weight]) => ({ weight, arbitrary: fc.constant(name as Fault) })),
);

const happening: fc.Arbitrary<Happening> = fc.record({
  pauseMs: fc.integer({ min: 0, max: 24_000 }),
  fault,
  who: fc.nat(4),
  span: fc.integer({ min: 0, max: 1_000 }).map((thousandths) => thousandths / 1_000),
});

/** Evenly: fast-check would rather have every freeze last no time at all. */
export const schedules: fc.Arbitrary<FaultSchedule> = fc.noBias(
  fc.record({
    seed: fc.nat(),
    store: fc.constantFrom('memory', 'memory', 'file'),
    unclear: fc.constantFrom('retry', 'retry', 'retry', 'hold'),
    processes: fc.integer({ min: 2, max: 5 }),
    happenings: fc.array(happening, { minLength: 12, maxLength: 40, size: 'max' }),
  }),
);
