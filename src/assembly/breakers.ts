// The breakers of a process: one for each token endpoint and egress, shared by all credentials that go there.
import type { CredentialConfig } from '../config/schema.ts';
import { type Breaker, createBreaker } from '../credentials/breaker.ts';
import type { Means } from './token-source.ts';

/** One breaker for each token endpoint and egress: the first credential that names them sets its numbers. */
export function breakerOf(
  endpoint: string,
  egress: string,
  { breaker }: Exclude<CredentialConfig, { provider: 'file' }>,
  { breakers, clock, observers }: Means,
): Breaker {
  const key = `${endpoint} ${egress}`;
  const known = breakers.get(key);
  if (known !== undefined) return known;
  const created = createBreaker(
    { failures: breaker.failures, windowMs: breaker.window, resetAfterMs: breaker.resetAfter },
    clock,
    (state) => observers.credentials.breakerChanged(endpoint, egress, state),
  );
  breakers.set(key, created);
  observers.credentials.breakerChanged(endpoint, egress, created.state);
  return created;
}
