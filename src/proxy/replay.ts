// The bounded copy of a request's body from which a 401 may be replayed, and the memory that all copies share. A copy
// that would grow beyond either bound is dropped whole: the request then goes on, but cannot be repeated.

/** What all copies together may hold. */
export interface ReplayMemory {
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** @param maxBytes asked at each piece: a reload may change it */
export function createReplayMemory(maxBytes: () => number): ReplayMemory {
  let taken = 0;
  return {
    take(bytes) {
      if (taken + bytes > maxBytes()) return false;
      taken += bytes;
      return true;
    },
    give(bytes) {
      taken -= bytes;
    },
  };
}

/** Everything of the body that was received so far, or nothing. */
export class BodyCopy {
  readonly #memory: ReplayMemory;
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #isWhole = true;

  constructor(memory: ReplayMemory, maxBytes: number) {
    this.#memory = memory;
    this.#maxBytes = maxBytes;
  }

  /** It holds all that was ever given to it. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  keep(chunk: Buffer): void {
    if (!this.#isWhole) return;
    if (this.#bytes + chunk.length > this.#maxBytes || !this.#memory.take(chunk.length)) {
      this.drop();
      return;
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Gives the memory back; nothing can be replayed from here on. */
  drop(): void {
    this.#isWhole = false;
    this.#memory.give(this.#bytes);
    this.#bytes = 0;
    this.#chunks = [];
  }
}
