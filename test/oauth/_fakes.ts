// A running OAuth port on fake credentials: what the tests of this folder share.
import { randomBytes } from 'node:crypto';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../../src/clock.ts';
import type { CredentialStatus, ManagedCredential, Pause, Revocation } from '../../src/credentials/bearer.ts';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { LoginObserver } from '../../src/oauth/observer.ts';
import { createOAuthServer, type OAuthServer, type OAuthServerOptions } from '../../src/oauth/server.ts';
import type { AuthorizationAnswer, AuthorizationCodeLogin, TokenAnswer } from '../../src/providers/provider.ts';
import { createMemoryStore } from '../../src/stores/memory.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';

export const redirectUri = 'http://localhost:1455/oauth/callback';

export function tokenAnswer(change: Partial<TokenAnswer> = {}): TokenAnswer {
  const account = { id: 'acct-1', email: 'ada@example.test', plan: 'pro' };
  return {
    accessToken: 'SECRET-access',
    refreshToken: 'SECRET-refresh',
    expiresAtMs: 1_800_003_600_000,
    obtainedAtMs: 1_800_000_000_000,
    account,
    warnings: [],
    ...change,
  };
}

export function credentialStatus(change: Partial<CredentialStatus> = {}): CredentialStatus {
  return {
    name: 'codex',
    provider: 'codex',
    grant: 'authorization_code',
    state: 'absent',
    usable: false,
    generation: 0,
    isDirty: false,
    waiting: 0,
    breaker: 'closed',
    ...change,
  };
}

export interface FakeCredential extends ManagedCredential {
  readonly exchanges: AuthorizationAnswer[];
  readonly accepted: { readonly tokens: TokenAnswer; readonly replaceAccount: boolean }[];
  readonly requested: { readonly state: string; readonly nonce: string; readonly verifier: string }[];
  /** What the next calls do; replaced by tests. */
  behaviour: {
    authorizationUrl: (state: string) => Promise<URL>;
    exchange: (answer: AuthorizationAnswer) => Promise<TokenAnswer>;
    reach: () => Promise<void>;
    accept: () => Promise<void>;
    status: () => CredentialStatus;
    refresh: () => Promise<'refreshed' | 'adopted' | 'superseded'>;
    resume: () => readonly Pause[];
    logout: () => Promise<Revocation>;
  };
}

export function createFakeCredential(
  name = 'codex',
  options: { redirectUri?: string; hasLogin?: boolean; boundTo?: string } = {},
): FakeCredential {
  const exchanges: AuthorizationAnswer[] = [];
  const accepted: { tokens: TokenAnswer; replaceAccount: boolean }[] = [];
  const requested: { state: string; nonce: string; verifier: string }[] = [];
  const behaviour: FakeCredential['behaviour'] = {
    authorizationUrl: async (state) => new URL(`https://idp.example/authorize?state=${state}`),
    exchange: async () => tokenAnswer(),
    reach: async () => undefined,
    accept: async () => undefined,
    status: () => credentialStatus({ name }),
    refresh: async () => 'refreshed',
    resume: () => ['cooling'],
    logout: async () => ({ outcome: 'revoked' }),
  };
  const login: AuthorizationCodeLogin = {
    redirectUri: options.redirectUri ?? redirectUri,
    ...(options.boundTo !== undefined && { boundTo: options.boundTo }),
    reach: () => behaviour.reach(),
    newVerifier: () => randomBytes(96).toString('base64url'),
    authorizationUrl: (request) => {
      requested.push(request);
      return behaviour.authorizationUrl(request.state);
    },
    exchange: (answer) => {
      exchanges.push(answer);
      return behaviour.exchange(answer);
    },
  };
  return {
    name,
    exchanges,
    accepted,
    requested,
    behaviour,
    login: options.hasLogin === false ? undefined : login,
    injectedNames: ['authorization'],
    authorization: () => undefined,
    wait: () => Promise.reject(new Error('not asked here')),
    renewed: async () => undefined,
    replayed: () => undefined,
    status: () => behaviour.status(),
    refresh: () => behaviour.refresh(),
    resume: () => behaviour.resume(),
    logout: () => behaviour.logout(),
    importTokens: async () => undefined,
    async accept(tokens, { replaceAccount }) {
      await behaviour.accept();
      accepted.push({ tokens, replaceAccount });
      const { account, expiresAtMs } = tokens;
      const told = {
        ...(account === undefined ? {} : { account }),
        ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
      };
      behaviour.status = () => credentialStatus({ name, state: 'fresh', usable: true, generation: 1, ...told });
    },
  };
}

/** One line an event, so that a test can compare a whole history. */
export function createRecordingObserver(): LoginObserver & { readonly events: string[] } {
  const events: string[] = [];
  const add = (what: string, error: SidebearerError | undefined, credential: string | undefined): void => {
    events.push([what, error?.code, credential].filter((part) => part !== undefined).join(' '));
  };
  return {
    events,
    loginStarted: (credential) => add('started', undefined, credential),
    loginSucceeded: (credential) => add('succeeded', undefined, credential),
    loginFailed: (error, _visitor, credential) => add('failed', error, credential),
    refused: (error) => add('refused', error, undefined),
    administered: ({ action, credential, outcome }) => void events.push(`audit ${action} ${credential} ${outcome}`),
    loginExpired: (credential) => add('expired', undefined, credential),
  };
}

export interface Port {
  readonly server: OAuthServer;
  readonly port: number;
  readonly clock: FakeClock;
  readonly events: string[];
  readonly store: ReturnType<typeof createMemoryStore>;
}

/** Starts an OAuth port on loopback; `teardown` is tap's. */
export async function startPort(
  t: { teardown: (end: () => Promise<void>) => void },
  credentials: readonly ManagedCredential[],
  change: Partial<OAuthServerOptions> & { clock?: Clock } = {},
): Promise<Port> {
  const clock = createFakeClock();
  const store = createMemoryStore({ clock });
  const observer = createRecordingObserver();
  const server = createOAuthServer({
    credentials: new Map(credentials.map((credential) => [credential.name, credential])),
    logins: store.logins,
    probeStore: () => store.probe(),
    async *rekey() {
      yield { credential: 'codex', result: 'resealed' as const };
    },
    sealing: createSealing([randomBytes(32)]),
    clock,
    observer,
    version: '1.2.3',
    ...change,
  });
  const { address } = await server.listen({ host: '127.0.0.1', port: 0 }, 'listen.oauth');
  t.teardown(() => server.close(0));
  return { server, port: 'port' in address ? address.port : 0, clock, events: observer.events, store };
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
}

/** One request on a connection of its own. The Host is `localhost` with the real port unless told. */
export function ask(port: number, path: string, { method = 'GET', headers = {}, body }: Ask = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const all = { host: `localhost:${port}`, ...headers };
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers: all, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const { statusCode: status = 0, headers: received } = response;
        resolve({ status, headers: received, body: Buffer.concat(chunks).toString() });
      });
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** A POST as the start page's form sends it. */
export function postForm(port: number, fields: Readonly<Record<string, string>>, headers = {}): Promise<Reply> {
  return ask(port, '/oauth/start', {
    method: 'POST',
    headers: {
      origin: `http://localhost:${port}`,
      'content-type': 'application/x-www-form-urlencoded',
      ...headers,
    },
    body: new URLSearchParams(fields).toString(),
  });
}

export interface Begun {
  readonly state: string;
  /** `name=value` of the login's cookie. */
  readonly cookie: string;
}

/** Starts a login by the form. */
export async function beginLogin(port: number, fields: Readonly<Record<string, string>> = {}): Promise<Begun> {
  const reply = await postForm(port, { credential: 'codex', ...fields });
  const state = new URL(reply.headers.location ?? '').searchParams.get('state') ?? '';
  return { state, cookie: reply.headers['set-cookie']?.[0]?.split(';')[0] ?? '' };
}

/** The browser's return with `parameters` in the query. */
export function comeBack(
  port: number,
  parameters: Readonly<Record<string, string>> | string,
  cookie: string | undefined,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const query = new URLSearchParams(parameters).toString();
  return ask(port, `/oauth/callback?${query}`, {
    headers: { ...(cookie === undefined ? {} : { cookie }), ...headers },
  });
}

/** The code of the failure, as a page or a problem shows it. */
export function codeOf(reply: Reply): string | undefined {
  return /(?:<dt>Code<\/dt><dd><code>|"code": ")([a-z_]+)/.exec(reply.body)?.[1];
}
