// Logins by authorization code: how one starts and how one ends. The order at the end is the defence: state known,
// cookie there, cookie right, then the pending login is taken, and only then the provider's answer is looked at.
// Before the take nothing is consumed: a page that knows no state can end nobody's login.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { ManagedCredential } from '../credentials/bearer.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { AuthorizationCodeLogin } from '../providers/provider.ts';
import type { FoundLogin, PendingLogins, Sealing } from '../stores/store.ts';
import {
  clearLoginCookie,
  hashLoginCookie,
  LOGIN_LIFE_MS,
  loginCookieMatches,
  readLoginCookie,
  setLoginCookie,
} from './login-cookie.ts';
import { createLoginDeadlines } from './login-deadlines.ts';
import { createLoginWork, type LoginFacts, type LoginProgress, type LoginTask } from './login-work.ts';
import type { LoginObserver, Visitor } from './observer.ts';
import { loginId, openPendingLogin, type PendingLogin, sealPendingLogin } from './pending-login.ts';
import { assertSameClient } from './same-client.ts';
import { createWatchedLogins, type Watcher } from './watched-logins.ts';

export interface LoginsOptions {
  readonly credentials: ReadonlyMap<string, ManagedCredential>;
  readonly pending: PendingLogins;
  /** @throws store_* where it cannot be written */
  readonly probeStore: () => Promise<void>;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly observer: LoginObserver;
  readonly random?: (bytes: number) => Buffer;
}

/** What shows that it is the one who started a login: a browser its cookies, a program the handle it was given. */
export type Proof =
  /** The request's `Cookie`, as it came, and the path that it came to; a paste came to none. */
  | { readonly cookies: string | undefined; readonly path?: string }
  /** The login that is meant, and its handle. */
  | { readonly id: string; readonly handle: string | undefined };

export interface StartedLogin {
  readonly id: string;
  /** The value of the cookie, for a program that keeps it in the browser's place. */
  readonly handle: string;
  readonly expiresAtMs: number;
  readonly location: URL;
  readonly setCookie: string;
}

/** How a login ended. `setCookie`, where present, takes the browser's cookie away: the state is spent. */
export type LoginEnd =
  | {
      readonly outcome: 'succeeded';
      readonly credential: ManagedCredential;
      readonly warnings: readonly ErrorCode[];
      readonly setCookie: string;
    }
  | {
      readonly outcome: 'failed';
      readonly error: SidebearerError;
      readonly credential?: string;
      /** The provider's `error_description`, foreign text; only of an answer whose state was good. */
      readonly description?: string;
      readonly setCookie?: string;
    };

export interface Logins {
  /** @throws credential_unknown, login_unsupported */
  find(credential: string): { readonly credential: ManagedCredential; readonly login: AuthorizationCodeLogin };
  /**
   * Where a login of this credential will redirect to; asks the provider where that must be discovered.
   * @throws credential_unknown, login_unsupported, provider_unreachable, provider_metadata_invalid
   */
  preview(credential: string): Promise<URL>;
  /**
   * What would only fail at the end of the login: that its tokens can be fetched and stored.
   * @throws credential_unknown, login_unsupported, provider_*, egress_*, store_*
   */
  rehearse(credential: string): Promise<void>;
  /** The origin of the last preview or start, without asking anybody. */
  knownOrigin(credential: string): string | undefined;
  /**
   * @param options.watcher the login that hears of this one's end: it was started by a program that sent the browser
   *   here. One that is not pending any more, or another credential's, is passed over.
   * @throws credential_unknown, login_unsupported, provider_*, logins_pending_limit, store_*
   */
  start(
    credential: string,
    visitor: Visitor,
    options: { readonly replaceAccount: boolean; readonly watcher?: string | undefined },
  ): Promise<StartedLogin>;
  /**
   * Never throws, and no departure ends it: once the code is being redeemed, the browser may leave.
   */
  finish(parameters: URLSearchParams, proof: Proof, visitor: Visitor): Promise<LoginEnd>;
  /** @throws login_handle_*, state_*: unknown, or finished elsewhere or too long ago */
  progress(id: string, handle: string | undefined): Promise<LoginProgress & { readonly facts: LoginFacts }>;
  /**
   * Ends a login that was not finished. It wins over a callback as long as no token is being stored.
   * @returns the credential
   * @throws login_handle_*, state_*
   */
  cancel(id: string, handle: string | undefined, visitor: Visitor): Promise<string>;
  close(): void;
}

export function createLogins(options: LoginsOptions): Logins {
  const { credentials, pending, sealing, clock, observer } = options;
  const random = options.random ?? randomBytes;
  const secret = (): string => random(32).toString('base64url');
  const origins = new Map<string, string>();
  const deadlines = createLoginDeadlines(
    clock,
    async (id) => (await pending.find(id)).status === 'used',
    (credential) => observer.loginExpired(credential),
  );

  const find: Logins['find'] = (name) => {
    const credential = credentials.get(name);
    if (credential === undefined) throw new SidebearerError('credential_unknown');
    if (credential.login === undefined) throw new SidebearerError('login_unsupported', { credential: name });
    return { credential, login: credential.login };
  };

  const work = createLoginWork(clock);
  const watched = createWatchedLogins(clock);

  const findWatcher = async (id: string | undefined, credential: string): Promise<Watched | undefined> => {
    const found = id === undefined ? undefined : await pending.find(id);
    if (id === undefined || found?.status !== 'pending') return undefined;
    const login = openPendingLogin(sealing, id, found.sealed);
    const { cookieHash, expiresAtMs, replaceAccount } = login;
    if (login.credential !== credential || expiresAtMs <= clock.wallMs()) return undefined;
    return { id, facts: { credential, cookieHash, expiresAtMs }, replaceAccount };
  };

  /** Whoever waits for this login hears of its end, and its own, which nobody will finish, is over. */
  const tellWatcher = async (id: string, how: LoginProgress): Promise<void> => {
    const watcher = watched.watcherOf(id);
    if (watcher === undefined) return;
    watched.end(id);
    work.open(watcher.id, watcher.facts).end(how);
    deadlines.end(watcher.id);
    // Left there it only runs out.
    await pending.take(watcher.id).catch(() => undefined);
  };

  /** Everything before the take: whose login this is, and that whoever asks may finish it. */
  const identify = async (id: string, proof: Proof): Promise<PendingLogin> => {
    const found = assertPending(await pending.find(id));
    const login = openPendingLogin(sealing, id, found.sealed);
    if (login.expiresAtMs <= clock.wallMs()) throw new SidebearerError('state_expired');
    const watcher = watched.watcherOf(id);
    if ('id' in proof && watcher?.id === proof.id) assertProof(watcher.id, watcher.facts, proof);
    else assertProof(id, login, proof);
    // Of providers that do not name themselves, their own redirect URIs tell answers apart (RFC 9700, 4.4.2.2). A proxy in
    // front of us may have taken the beginning of the path away.
    if ('path' in proof && !new URL(login.redirectUri).pathname.endsWith(proof.path)) {
      const reason = 'it came to another redirect URI than that of this login';
      throw new SidebearerError('callback_issuer_mismatch', { credential: login.credential, reason });
    }
    return login;
  };

  /** The task at work here, or what the store has. @throws login_handle_*, state_* */
  const look = async (id: string, handle: string | undefined): Promise<LoginTask | PendingLogin> => {
    const known = work.find(id);
    if (known !== undefined) assertProof(id, known.facts, { id, handle });
    return known ?? (await identify(id, { id, handle }));
  };

  return {
    find,

    async preview(name) {
      const { login } = find(name);
      const throwaway = { state: secret(), nonce: secret(), verifier: login.newVerifier() };
      const { origin } = await login.authorizationUrl(throwaway);
      origins.set(name, origin);
      return new URL(origin);
    },

    async rehearse(name) {
      await Promise.all([find(name).login.reach(), options.probeStore()]);
    },

    knownOrigin: (name) => origins.get(name),

    async start(name, visitor, { replaceAccount: isReplacing, watcher: watcherId }) {
      const { login } = find(name);
      const watcher = await findWatcher(watcherId, name);
      const replaceAccount = isReplacing || watcher?.replaceAccount === true;
      const [state, nonce, cookie] = [secret(), secret(), secret()];
      const verifier = login.newVerifier();
      // First, so that a provider that cannot be reached leaves nothing pending.
      const location = await login.authorizationUrl({ state, nonce, verifier });
      origins.set(name, location.origin);
      const id = loginId(state);
      const { redirectUri } = login;
      const expiresAtMs = clock.wallMs() + LOGIN_LIFE_MS;
      const cookieHash = hashLoginCookie(cookie);
      const { boundTo } = login;
      const content = {
        ...{ credential: name, verifier, nonce, redirectUri, cookieHash, replaceAccount, expiresAtMs },
        ...(boundTo !== undefined && { boundTo }),
      };
      await pending.put(id, { credential: name, sealed: sealPendingLogin(sealing, id, content), expiresAtMs });
      deadlines.begin(id, name, expiresAtMs);
      if (watcher !== undefined) watched.begin(id, watcher);
      observer.loginStarted(name, visitor);
      const setCookie = setLoginCookie(id, cookie, isHttps(redirectUri));
      return { location, setCookie, id, handle: cookie, expiresAtMs };
    },

    async finish(parameters, proof, visitor) {
      let credentialName: string | undefined;
      let setCookie: string | undefined;
      let task: LoginTask | undefined;
      let taken = '';
      try {
        const state = readState(parameters);
        const id = loginId(state);
        if ('id' in proof && proof.id !== id && proof.id !== watched.watcherOf(id)?.id) {
          throw new SidebearerError('state_unknown', { reason: 'it is of another login' });
        }
        const login = await identify(id, proof);
        credentialName = login.credential;
        const found = find(login.credential);
        if (found.login.redirectUri !== login.redirectUri) {
          throw new SidebearerError('state_unknown', { reason: 'the redirect URI was changed since it was started' });
        }
        assertSameClient(login.boundTo, found.login);
        task = await take(id, login);
        taken = id;
        setCookie = clearLoginCookie(id, isHttps(login.redirectUri));
        deadlines.end(id);

        const { nonce, verifier } = login;
        const { boundTo } = found.login;
        const answer = { state, nonce, verifier, parameters: withState(parameters, state) };
        const tokens = await found.login.exchange(answer);
        assertSameClient(boundTo, found.credential.login);
        task.beginStoring();
        await found.credential.accept(tokens, { replaceAccount: login.replaceAccount });

        const account = tokens.account ?? found.credential.status().account;
        observer.loginSucceeded(login.credential, visitor, account, tokens.expiresAtMs);
        const warnings = new Set(tokens.warnings.map((warning) => warning.code));
        if (tokens.refreshToken === undefined) warnings.add('no_refresh_token');
        task.end({ status: 'succeeded' });
        await tellWatcher(id, { status: 'succeeded' });
        return { outcome: 'succeeded', credential: found.credential, warnings: [...warnings], setCookie };
      } catch (thrown) {
        const error = toSidebearerError(thrown);
        credentialName ??= error.details.credential;
        const how = { status: 'failed', code: error.code } as const;
        task?.end(how);
        if (taken !== '') await tellWatcher(taken, how);
        observer.loginFailed(error, visitor, credentialName);
        const description = setCookie === undefined ? undefined : descriptionOf(parameters);
        return {
          outcome: 'failed',
          error,
          ...(credentialName === undefined ? {} : { credential: credentialName }),
          ...(setCookie === undefined ? {} : { setCookie }),
          ...(description === undefined ? {} : { description }),
        };
      }
    },

    async progress(id, handle) {
      const found = await look(id, handle);
      return 'facts' in found ? { ...found.progress, facts: found.facts } : { status: 'pending', facts: found };
    },

    async cancel(id, handle, visitor) {
      const found = await look(id, handle);
      const facts = 'facts' in found ? found.facts : found;
      for (const each of watched.watchedBy(id)) {
        await pending.take(each);
        deadlines.end(each);
        // One whose tokens are being stored tells so below: its watcher has succeeded then.
        if (await work.open(each, facts).cancel()) watched.end(each);
      }
      // Taken in any case: a callback that is just about to take it must not, and one that failed to must not again.
      const isTaken = (await pending.take(id)).status === 'pending';
      const task = work.find(id) ?? ('facts' in found ? found : isTaken ? work.open(id, found) : undefined);
      // Finished by another replica, or too late.
      if (task === undefined || !(await task.cancel())) throw new SidebearerError('state_used');
      deadlines.end(id);
      const { credential } = task.facts;
      // One that was being exchanged ends by itself, and is told there.
      if (isTaken) observer.loginFailed(new SidebearerError('login_cancelled', { credential }), visitor, credential);
      return credential;
    },

    close: () => deadlines.close(),
  };

  async function take(id: string, login: PendingLogin): Promise<LoginTask> {
    const task = work.open(id, login);
    task.join();
    try {
      assertPending(await pending.take(id));
    } catch (thrown) {
      if (task.notTaken()) work.forget(id);
      throw thrown;
    }
    task.taken();
    return task;
  }
}

interface Watched extends Watcher {
  readonly replaceAccount: boolean;
}

/** @throws login_cookie_*, login_handle_* */
function assertProof(id: string, { credential, cookieHash }: LoginFacts, proof: Proof): void {
  const [value, missing, wrong] =
    'id' in proof
      ? ([proof.handle, 'login_handle_missing', 'login_handle_wrong'] as const)
      : ([readLoginCookie(proof.cookies, id), 'login_cookie_missing', 'login_cookie_mismatch'] as const);
  if (value === undefined) throw new SidebearerError(missing, { credential });
  if (!loginCookieMatches(value, cookieHash)) throw new SidebearerError(wrong, { credential });
}

/** @throws state_missing, state_unknown */
function readState(parameters: URLSearchParams): string {
  const [state, ...others] = parameters.getAll('state');
  if (others.length > 0) throw new SidebearerError('state_unknown', { reason: 'it came more than once' });
  // OpenAI's pages may append this to the state that they were given.
  const bare = state?.replace(/\.onboarding_entrypoint=.*$/s, '') ?? '';
  if (bare === '') throw new SidebearerError('state_missing');
  return bare;
}

/** The provider's sentence beside an `error`, unless it repeats what only this browser should know. */
function descriptionOf(parameters: URLSearchParams): string | undefined {
  const description = parameters.get('error_description');
  if (description === null || !parameters.has('error')) return undefined;
  const secrets = [...parameters.getAll('state'), ...parameters.getAll('code')];
  return secrets.some((secret) => secret !== '' && description.includes(secret)) ? undefined : description;
}

function withState(parameters: URLSearchParams, state: string): URLSearchParams {
  const copy = new URLSearchParams(parameters);
  copy.set('state', state);
  return copy;
}

/** @throws state_used, state_expired, state_unknown */
function assertPending(found: FoundLogin): FoundLogin & { status: 'pending' } {
  switch (found.status) {
    case 'pending':
      return found;
    case 'used':
      throw new SidebearerError('state_used');
    case 'expired':
      throw new SidebearerError('state_expired');
    case 'unknown':
      throw new SidebearerError('state_unknown');
  }
}

function isHttps(redirectUri: string): boolean {
  return new URL(redirectUri).protocol === 'https:';
}
