// Reads what is stored of one credential, and again after each change: one reading at a time, none lost. What a
// reading says is taken only where nothing has overtaken it since it began; else it is made good later.
import type { Clock, Timer } from '../clock.ts';
import { type SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Reading, TokenSource } from './renewal.ts';

/** Who the readings are for. Nothing here throws. */
export interface Reader {
  /** A renewal, which reads by itself, is at work: of a reading only a tombstone counts, the rest is read after it. */
  isBusy(): boolean;
  take(reading: Reading): void;
  /** A tombstone, while busy: a logout elsewhere does not wait for a renewal here, which may take its time. */
  emptied(reading: Reading & { readonly kind: 'empty' }): void;
  /** @returns true: nothing else would look again, so look again by yourself */
  unreadable(error: SidebearerError): boolean;
}

export interface Readings {
  /** Follows this source from now on; what was read of another before is not taken. */
  follow(source: Pick<TokenSource, 'read' | 'follow'>): void;
  /** Reads; a call that comes during a reading is made good after it. Never rejects. */
  again(): Promise<void>;
  /** A reading that was made elsewhere has failed. */
  failed(error: SidebearerError): void;
  /** What is being read is older than what is known now: it is not taken, and read again. */
  overtake(): void;
  /** A turn for each overtaking. */
  readonly turn: number;
  /** There is something to read, when the reader is not busy any more. */
  owe(): void;
  /** The reader is not busy any more: reads what is owed. */
  settle(): void;
  close(): void;
}

/** What could not be read is looked for again after this, doubling, ms. */
const FIRST_LOOK_AGAIN_MS = 1_000;
const LAST_LOOK_AGAIN_MS = 30_000;

export function createReadings(reader: Reader, clock: Clock): Readings {
  let source: Pick<TokenSource, 'read' | 'follow'> | undefined;
  let following: { close(): void } | undefined;
  let reading: Promise<void> | undefined;
  let isOwed = false;
  let turn = 0;
  let lookingAgain: Timer | undefined;
  let lookAgainMs = FIRST_LOOK_AGAIN_MS;

  async function again(): Promise<void> {
    if (source === undefined) return;
    if (reading !== undefined) {
      isOwed = true;
      return;
    }
    isOwed = false;
    reading = read(source);
    await reading;
    reading = undefined;
    if (isOwed && !reader.isBusy()) await again();
  }

  async function read(from: Pick<TokenSource, 'read'>): Promise<void> {
    const begun = turn;
    let found: Reading;
    try {
      found = await from.read();
    } catch (thrown) {
      return failed(toSidebearerError(thrown));
    }
    lookAgainMs = FIRST_LOOK_AGAIN_MS;
    if (turn === begun && !reader.isBusy()) return reader.take(found);
    isOwed = true;
    if (turn === begun && found.kind === 'empty') reader.emptied(found);
  }

  function failed(error: SidebearerError): void {
    if (!reader.unreadable(error)) return;
    lookingAgain?.cancel();
    lookingAgain = clock.after(lookAgainMs, () => void again(), { background: true });
    lookAgainMs = Math.min(lookAgainMs * 2, LAST_LOOK_AGAIN_MS);
  }

  return {
    follow(next) {
      source = next;
      turn += 1;
      lookAgainMs = FIRST_LOOK_AGAIN_MS;
      lookingAgain?.cancel();
      following?.close();
      following = next.follow(() => void again());
    },
    again,
    failed,
    overtake() {
      turn += 1;
    },
    get turn() {
      return turn;
    },
    owe() {
      isOwed = true;
    },
    settle() {
      if (isOwed) void again();
    },
    close() {
      following?.close();
      lookingAgain?.cancel();
    },
  };
}
