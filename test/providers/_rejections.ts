// What a test asks of an error: its code, and that no known secret shows in it however deep one looks.
import { inspect } from 'node:util';
import type { Test } from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';

/** The SidebearerError that a promise rejects with; anything else fails the test. */
export async function rejectionOf(t: Test, promise: Promise<unknown>): Promise<SidebearerError> {
  const thrown = await promise.then(
    () => new Error('it did not reject'),
    (error: unknown) => error,
  );
  if (thrown instanceof SidebearerError) return thrown;
  t.fail('a SidebearerError is expected', { found: thrown });
  throw thrown;
}

export function holdsNone(t: Test, error: SidebearerError, secrets: readonly string[]): void {
  const shown = `${inspect(error, { depth: Infinity, showHidden: true, getters: true })}\n${error.stack}`;
  const found = secrets.filter((secret) => shown.includes(secret));
  t.strictSame(found, [], `${error.code} shows no secret`);
}
