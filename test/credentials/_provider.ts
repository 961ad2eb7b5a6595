// An identity provider inside the test: it rotates refresh tokens, kills the family at the first reuse, counts what
// it is sent, and follows a script of slowness, failures and lost answers.
import { type Clock, sleep } from '../../src/clock.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { type ErrorDetails, SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { Account, Bound, Grant, Provider, TokenAnswer, TokenCall } from '../../src/providers/provider.ts';

export const bound: Bound = { issuer: 'https://idp.example', clientId: 'client' };
export const alice: Account = { issuer: 'https://idp.example', id: 'alice', userId: 'alice' };

/** What one call meets. */
export interface Step {
  /** The call fails with this, and nothing happens at the provider. */
  readonly fails?: ErrorCode;
  readonly details?: ErrorDetails;
  /** The provider rotates, and its answer is lost. */
  readonly losesAnswer?: boolean;
  /** The answer without its access token, with `warnings`. */
  readonly withoutAccessToken?: boolean;
  readonly answerMs?: number;
}

export type ProviderEvent =
  | {
      readonly kind: 'rotated';
      readonly from: string;
      readonly to: string;
      readonly by: Clock;
      readonly isLost: boolean;
    }
  | { readonly kind: 'reused'; readonly token: string }
  /** An attempt began, whatever becomes of it. */
  | { readonly kind: 'called'; readonly by: Clock };

interface Family {
  current: string;
  isAlive: boolean;
  issued: number;
}

export interface TestProvider {
  /** For the coming calls, in order; `always` serves when it is empty. */
  readonly steps: Step[];
  always: Step;
  /** Before the first byte may be sent, and from it to the answer, ms. */
  connectMs: number;
  answerMs: number;
  lifeMs: number | undefined;
  /** False: the refresh token is never replaced. */
  rotates: boolean;
  /** Refresh tokens in the order in which they were sent. */
  readonly redeems: string[];
  /** Attempts, those with nothing sent included. */
  readonly calls: number;
  /** As the provider sees it: from the first byte to its answer, whether or not the caller still lives. */
  readonly inFlight: number;
  readonly mostInFlight: number;
  readonly reuses: number;
  readonly revoked: string[];
  /** Revocations fail with this, and nothing is revoked. */
  failsRevocation: ErrorCode | undefined;
  /** Told of each attempt, rotation and reuse as it happens; `by` is the clock of the process that sent it. */
  watcher: ((event: ProviderEvent) => void) | undefined;
  /** A login at the provider: a family of its own. */
  login(account?: Account): TokenAnswer;
  /** A family that begins with this refresh token. */
  plant(refreshToken: string): void;
  isAlive(refreshToken: string): boolean;
  /** Every refresh token that was ever given or planted. */
  readonly issued: readonly string[];
  /** The last of its family. */
  isCurrent(refreshToken: string): boolean;
  /** Wall ms at which this access token ends; undefined: it was never issued, or has no end. */
  expiryOf(accessToken: string): number | undefined;
  /** The provider as one process sees it. `resumed` resolves while that process runs. */
  client(clock: Clock, resumed: () => Promise<void>, grant?: Grant): Provider;
}

export function createTestProvider(serverClock: Clock): TestProvider {
  const families = new Map<string, Family>();
  const steps: Step[] = [];
  const redeems: string[] = [];
  const revoked: string[] = [];
  const expiries = new Map<string, number>();
  let calls = 0;
  let inFlight = 0;
  let mostInFlight = 0;
  let reuses = 0;
  let logins = 0;
  let access = 0;

  function issue(family: Family, prefix: string): string {
    family.issued += 1;
    family.current = `${prefix}/${family.issued}`;
    families.set(family.current, family);
    return family.current;
  }

  function answer(refreshToken: string | undefined, sentAtMs: number): TokenAnswer {
    access += 1;
    if (provider.lifeMs !== undefined) expiries.set(`access-${access}`, sentAtMs + provider.lifeMs);
    return {
      accessToken: `access-${access}`,
      ...(refreshToken !== undefined && { refreshToken }),
      ...(provider.lifeMs !== undefined && { expiresAtMs: sentAtMs + provider.lifeMs }),
      obtainedAtMs: sentAtMs,
      warnings: [],
    };
  }

  /** One call: what happens at the provider happens whether or not the caller still lives. */
  async function call(
    clock: Clock,
    resumed: () => Promise<void>,
    { mayBegin, timeoutMs }: TokenCall,
    judge: (isLost: boolean) => TokenAnswer,
    sent: () => void,
  ): Promise<TokenAnswer> {
    calls += 1;
    provider.watcher?.({ kind: 'called', by: clock });
    const step = steps.shift() ?? provider.always;
    if (provider.connectMs > 0) await sleep(clock, provider.connectMs);
    await resumed();
    if (!mayBegin()) throw new SidebearerError('lease_lost');
    if (step.fails === 'token_endpoint_unreachable') throw new SidebearerError(step.fails, step.details);
    sent();
    inFlight += 1;
    mostInFlight = Math.max(mostInFlight, inFlight);
    const sentAtMs = clock.wallMs();
    let judged: TokenAnswer | undefined;
    try {
      if (step.fails === undefined) judged = { ...judge(step.losesAnswer === true), obtainedAtMs: sentAtMs };
      if (step.losesAnswer !== true) await pause(serverClock, step.answerMs ?? provider.answerMs);
    } finally {
      inFlight -= 1;
    }
    await resumed();
    if (judged === undefined) throw new SidebearerError(step.fails ?? 'internal_error', step.details);
    if (step.losesAnswer === true) {
      await sleep(clock, timeoutMs);
      await resumed();
      throw new SidebearerError('token_endpoint_no_answer');
    }
    if (step.withoutAccessToken !== true) return judged;
    const { accessToken: _, expiresAtMs: __, ...rest } = judged;
    return { ...rest, warnings: [{ code: 'access_token_malformed', field: 'access_token' }] };
  }

  const provider: TestProvider = {
    steps,
    always: {},
    connectMs: 0,
    answerMs: 0,
    lifeMs: 3_600_000,
    rotates: true,
    redeems,
    get calls() {
      return calls;
    },
    get inFlight() {
      return inFlight;
    },
    get mostInFlight() {
      return mostInFlight;
    },
    get reuses() {
      return reuses;
    },
    revoked,
    failsRevocation: undefined,
    watcher: undefined,
    login(account = alice) {
      logins += 1;
      const family: Family = { current: '', isAlive: true, issued: 0 };
      return { ...answer(issue(family, `login-${logins}`), serverClock.wallMs()), account };
    },
    plant(refreshToken) {
      families.set(refreshToken, { current: refreshToken, isAlive: true, issued: 0 });
    },
    get issued() {
      return [...families.keys()];
    },
    isAlive: (refreshToken) => families.get(refreshToken)?.isAlive === true,
    isCurrent: (refreshToken) => families.get(refreshToken)?.current === refreshToken,
    expiryOf: (accessToken) => expiries.get(accessToken),
    client: (clock, resumed, grant = 'authorization_code') => ({
      kind: 'oidc',
      grant,
      bound,
      endpoint: 'https://idp.example/token',
      refresh(refreshToken, guard) {
        const judge = (isLost: boolean): TokenAnswer => {
          const family = families.get(refreshToken);
          if (family === undefined) throw new SidebearerError('grant_rejected');
          if (!family.isAlive) throw new SidebearerError('grant_revoked');
          if (family.current !== refreshToken) {
            reuses += 1;
            provider.watcher?.({ kind: 'reused', token: refreshToken });
            family.isAlive = false;
            throw new SidebearerError('grant_reused');
          }
          if (!provider.rotates) return answer(undefined, clock.wallMs());
          const to = issue(family, refreshToken.split('/')[0] ?? '');
          provider.watcher?.({ kind: 'rotated', from: refreshToken, to, by: clock, isLost });
          return answer(to, clock.wallMs());
        };
        return call(clock, resumed, guard, judge, () => redeems.push(refreshToken));
      },
      obtain: (guard) =>
        call(
          clock,
          resumed,
          guard,
          () => answer(undefined, clock.wallMs()),
          () => redeems.push(''),
        ),
      async revoke(tokens) {
        const token = tokens.refreshToken ?? tokens.accessToken ?? '';
        if (provider.failsRevocation !== undefined) throw new SidebearerError(provider.failsRevocation);
        revoked.push(token);
        const family = families.get(token);
        if (family !== undefined) family.isAlive = false;
        return 'revoked';
      },
    }),
  };
  return provider;
}

function pause(clock: Clock, ms: number): Promise<void> {
  return ms > 0 ? sleep(clock, ms) : Promise.resolve();
}
