// A grant that redeems no refresh token (client_credentials, token_exchange, jwt_bearer): it can burn nothing, so there
// is no lease, no intent and no record; the token lives in memory alone and is obtained again whenever it is needed.
// It is never absent and never dead: what it is obtained with may be good again at any time.
import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { Provider } from '../providers/provider.ts';
import { type AttemptPolicy, runAttempts } from './attempts.ts';
import type { Breaker } from './breaker.ts';
import type { CredentialMemory } from './memory.ts';
import type { CredentialObserver } from './observer.ts';
import type { Reading, RenewalHost, RenewalResult, TokenSource } from './renewal.ts';
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
  readonly memory: CredentialMemory;
}

/** The token in the file, by a digest: what was judged is remembered, the token itself never is. */
interface Subject {
  readonly text: string | undefined;
  readonly digest: string;
}

export function createObtainedGrant(options: ObtainedGrantOptions): TokenSource {
  const { credential, provider, breaker, clock, random, observer, memory } = options;
  /** Of the subject token with which the last renewal was turned down, by the provider or for want of it. */
  let turnedDown: string | undefined;

  async function readSubject(): Promise<Subject> {
    const text = await provider.subject?.read();
    return { text, digest: text === undefined ? '' : createHash('sha256').update(text).digest('base64') };
  }

  async function obtain(host: RenewalHost): Promise<RenewalResult> {
    let subject: Subject;
    try {
      // Ahead of the breaker: the endpoint has no part in what is missing here.
      subject = await readSubject();
    } catch (thrown) {
      turnedDown = '';
      return { kind: 'failed', error: toSidebearerError(thrown) };
    }
    const result = await runAttempts(
      options.attempts,
      {
        clock,
        breaker,
        stopping: host.stopping,
        random,
        spends: false,
        isEarly: host.isEarly,
        requested: (result) => observer.tokenRequested(credential, provider.grant, result),
      },
      async () => {
        // Renewed while we backed off; one that cannot be read now was good a moment ago.
        subject = await readSubject().catch(() => subject);
        return true;
      },
      () => provider.obtain({ timeoutMs: options.timeoutMs, mayBegin: () => !host.stopping.aborted }, subject.text),
    );
    if (result.kind === 'ended') return { kind: 'stopped' };
    if (result.kind === 'failed') {
      const { error } = result;
      if (error.code === 'lease_lost') return { kind: 'stopped' };
      if (error.code === 'breaker_open') return { kind: 'held', error, forMs: error.details.retryAfterMs ?? 0 };
      // An outage says nothing about the subject token: another one would meet it, too.
      if (error.row.outcome === 'rejected') turnedDown = subject.digest;
      return { kind: 'failed', error };
    }
    for (const { code, field } of result.answer.warnings) {
      observer.failed(new SidebearerError(code, { credential, reason: `the field is ${field}` }), credential);
    }
    if (result.answer.accessToken === undefined) {
      return { kind: 'failed', error: new SidebearerError('access_token_malformed', { credential }) };
    }
    const generation = memory.nextGeneration();
    // A refresh token beside it would never be used: it is not kept, nor is its end told.
    const { refreshToken: _, grantExpiresAtMs: __, account, ...answer } = result.answer;
    host.publish(
      { generation, tokens: mergeAnswer(undefined, answer), ...(account !== undefined && { account }) },
      true,
    );
    return { kind: 'refreshed' };
  }

  return {
    provider: provider.kind,
    grant: provider.grant,
    login: undefined,
    get breaker() {
      return breaker.state;
    },

    async read(): Promise<Reading> {
      if (turnedDown === undefined) return { kind: 'grant' };
      // Any change in the folder leads here; only another token in the file is worth a call.
      const subject = await readSubject().catch(() => undefined);
      return { kind: 'grant', isChanged: subject !== undefined && subject.digest !== turnedDown };
    },

    follow: (changed) => provider.subject?.watch(changed) ?? { close: () => undefined },

    async renew(host) {
      turnedDown = undefined;
      const place = await breaker.enter(host.isUrgent, host.stopping);
      try {
        return await obtain(host);
      } finally {
        place.leave();
      }
    },

    accept: () => Promise.reject(new SidebearerError('login_unsupported', { credential })),
    logout: () => Promise.reject(new SidebearerError('login_unsupported', { credential })),
  };
}
