// A grant that redeems no refresh token (client_credentials): it can burn nothing, so there is no lease, no intent
// and no record; the token lives in memory alone and is obtained again whenever it is needed.
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Provider } from '../providers/provider.ts';
import { type AttemptPolicy, runAttempts } from './attempts.ts';
import type { Breaker } from './breaker.ts';
import type { CredentialObserver } from './observer.ts';
import type { TokenSource } from './renewal.ts';
import { mergeAnswer } from './token-set.ts';

export interface ObtainedGrantOptions {
  readonly credential: string;
  readonly provider: Provider;
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: CredentialObserver;
  readonly timeoutMs: number;
  readonly attempts: AttemptPolicy;
}

export function createObtainedGrant(options: ObtainedGrantOptions): TokenSource {
  const { credential, provider, breaker, clock, random, observer } = options;
  let generation = 0;
  return {
    provider: provider.kind,
    grant: provider.grant,
    login: undefined,
    get breaker() {
      return breaker.state;
    },
    read: () => Promise.resolve({ kind: 'grant' }),
    follow: () => ({ close: () => undefined }),

    async renew(host) {
      const place = await breaker.enter(host.isUrgent, host.stopping);
      const mayBegin = (): boolean => !host.stopping.aborted;
      const result = await runAttempts(
        options.attempts,
        {
          clock,
          breaker,
          stopping: host.stopping,
          random,
          spends: false,
          requested: (result) => observer.tokenRequested(credential, 'client_credentials', result),
        },
        () => Promise.resolve(true),
        () => provider.obtain({ timeoutMs: options.timeoutMs, mayBegin }),
      );
      place.leave();
      if (result.kind === 'ended') return { kind: 'stopped' };
      if (result.kind === 'failed') {
        const { error } = result;
        if (error.code === 'lease_lost') return { kind: 'stopped' };
        if (error.code !== 'breaker_open') return { kind: 'failed', error };
        return { kind: 'held', error, forMs: error.details.retryAfterMs ?? 0 };
      }
      for (const { code, field } of result.answer.warnings) {
        observer.failed(new SidebearerError(code, { credential, reason: `the field is ${field}` }), credential);
      }
      if (result.answer.accessToken === undefined) {
        return { kind: 'failed', error: new SidebearerError('access_token_malformed', { credential }) };
      }
      generation += 1;
      const { account } = result.answer;
      host.publish(
        { generation, tokens: mergeAnswer(undefined, result.answer), ...(account !== undefined && { account }) },
        true,
      );
      return { kind: 'refreshed' };
    },

    accept: () => Promise.reject(new SidebearerError('login_unsupported', { credential })),
    logout: () => Promise.reject(new SidebearerError('login_unsupported', { credential })),
  };
}
