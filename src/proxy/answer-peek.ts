// The start of an answer's body, seen in passing for whoever reads limits from it. It copies references, never bytes,
// and neither delays nor changes what goes to the client.
import type { AnswerWatch, Authorization } from '../credentials/bearer.ts';

/** Errors that tell of limits are short; what is longer is something else. */
const MOST_BYTES = 16 * 1024;

/** @returns undefined where the head has said all */
export function createAnswerPeek(
  answers: AnswerWatch,
  sent: Authorization,
  status: number,
  rawHeaders: readonly string[],
): AnswerPeek | undefined {
  return answers.head(sent, status, rawHeaders) ? new AnswerPeek(answers, sent) : undefined;
}

export class AnswerPeek {
  readonly #answers: AnswerWatch;
  readonly #sent: Authorization;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(answers: AnswerWatch, sent: Authorization) {
    this.#answers = answers;
    this.#sent = sent;
  }

  /** @returns false: it wants no more */
  take(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#bytes > MOST_BYTES) this.#chunks = [];
    else this.#chunks.push(chunk);
    return this.#bytes <= MOST_BYTES;
  }

  /** The body is whole. */
  end(): void {
    if (this.#chunks.length === 0) return;
    const start = Buffer.concat(this.#chunks).toString('utf8');
    this.#chunks = [];
    this.#answers.body(this.#sent, start);
  }
}
