// A request's body on its way from the client to the attempt of the moment, with the copy from which a later attempt
// starts over. It keeps every attempt's bytes whole and in order, and reads no more than is wanted.
import type { Attempt, ClientMessage } from './message.ts';
import { BodyCopy, type ReplayMemory } from './replay.ts';

export class BodyFlow {
  readonly #client: ClientMessage;
  readonly #copy: BodyCopy;
  #attempt: Attempt | undefined = undefined;
  /** Chunks of the copy that the attempt has got. */
  #fed = 0;
  /** The client has sent all of it. */
  #isComplete = false;
  /** The attempt has got all of it. */
  #isDelivered = false;
  #isWanted = false;
  /** No attempt will follow: the copy goes as soon as this one has got what it holds. */
  #isLast = false;

  constructor(client: ClientMessage, memory: ReplayMemory, maxCopyBytes: number) {
    this.#client = client;
    this.#copy = new BodyCopy(memory, maxCopyBytes);
  }

  /** All that was read from the client is still at hand. */
  get isRepeatable(): boolean {
    return this.#copy.isWhole;
  }

  /** Starts over with a new attempt, which says when it wants the first byte. */
  begin(attempt: Attempt): void {
    this.#client.pauseBody();
    this.#attempt = attempt;
    this.#fed = 0;
    this.#isDelivered = false;
    this.#isWanted = false;
  }

  /** A chunk from the client. */
  receive(chunk: Buffer): void {
    this.#copy.keep(chunk);
    this.#fed += 1;
    if (this.#attempt?.write(chunk) === false) {
      this.#isWanted = false;
      this.#client.pauseBody();
    }
  }

  /** The client has sent all of it. */
  complete(): void {
    this.#isComplete = true;
    if (this.#isWanted) this.want();
  }

  /** The attempt takes more: what the copy holds first, then what the client still sends. */
  want(): void {
    this.#isWanted = true;
    const chunks = this.#copy.chunks;
    while (this.#fed < chunks.length) {
      const chunk = chunks[this.#fed];
      this.#fed += 1;
      if (chunk !== undefined && this.#attempt?.write(chunk) === false) {
        this.#isWanted = false;
        return;
      }
    }
    if (this.#isLast) this.#copy.drop();
    if (!this.#isComplete) {
      this.#client.resumeBody();
    } else if (!this.#isDelivered) {
      this.#isDelivered = true;
      this.#attempt?.endBody();
    }
  }

  /** Reads nothing more for now. */
  hold(): void {
    this.#isWanted = false;
    this.#client.pauseBody();
  }

  /** There will be no further attempt. */
  settle(): void {
    this.#isLast = true;
    if (this.#fed >= this.#copy.chunks.length) this.#copy.drop();
  }

  /** Gives the copy's memory back, whatever still wants it. */
  drop(): void {
    this.#copy.drop();
  }
}
