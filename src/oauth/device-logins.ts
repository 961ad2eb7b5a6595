// Logins on another device, from their start to their end: each is polled here, by this process, until the provider
// says how it went, and its tokens are handed to the credential. Whoever holds its handle may look and may cancel; a
// restart forgets them all, and the person starts again. Nobody who leaves ends one.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { ManagedCredential } from '../credentials/bearer.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { DeviceLogin, TokenAnswer } from '../providers/provider.ts';
import { pollDevice } from './device-polling.ts';
import { LOGIN_LIFE_MS } from './login-cookie.ts';
import type { LoginObserver, Visitor } from './observer.ts';
import { assertSameClient } from './same-client.ts';

/** As of logins by the browser. */
const MOST_WAITING = 16;

export interface DeviceLoginsOptions {
  readonly credentials: ReadonlyMap<string, ManagedCredential>;
  readonly clock: Clock;
  readonly observer: LoginObserver;
  readonly random?: (bytes: number) => Buffer;
}

export type DeviceLoginState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'succeeded'; readonly warnings: readonly ErrorCode[] }
  /** device_cancelled, device_denied, device_expired, exchange_*, account_differs, store_*, … */
  | { readonly kind: 'failed'; readonly error: SidebearerError };

/** What its person may see. */
export interface DeviceLoginView {
  readonly credential: string;
  readonly userCode: string;
  /** http or https. */
  readonly verificationUri: string;
  readonly verificationUriComplete?: string;
  /** Wall ms. */
  readonly expiresAtMs: number;
  readonly state: DeviceLoginState;
}

export interface DeviceLogins {
  /** Whether the credential's provider has it, as far as can be told now. @throws credential_unknown */
  isOffered(credential: string): Promise<boolean>;
  /**
   * Begins one, which then goes on by itself.
   * @returns its handle, which is told nowhere else
   * @throws credential_unknown, login_unsupported, logins_pending_limit, and what `DeviceLogin.start` throws
   */
  start(credential: string, visitor: Visitor, options: { replaceAccount: boolean }): Promise<string>;
  /** Ended ones are found for 30 min more. */
  find(handle: string): DeviceLoginView | undefined;
  /** False where it is unknown, has ended, or is just succeeding. Tokens that may still come are not kept. */
  cancel(handle: string): boolean;
  /** No poll begins any more; resolves when those under way, and what they brought, have ended. Never rejects. */
  close(): Promise<void>;
}

interface Entry {
  readonly view: Omit<DeviceLoginView, 'state'>;
  readonly visitor: Visitor;
  readonly replaceAccount: boolean;
  readonly stop: AbortController;
  state: DeviceLoginState;
  /** Its tokens are being made durable: too late to cancel. */
  isKept: boolean;
  /** Monotonic ms, once it has ended. */
  endedAtMs: number;
}

export function createDeviceLogins(options: DeviceLoginsOptions): DeviceLogins {
  const { credentials, clock, observer, random = randomBytes } = options;
  const entries = new Map<string, Entry>();
  const atWork = new Set<Promise<void>>();
  /** Being started, by credential: they count before the provider has answered. */
  const starting = new Map<string, number>();
  let isClosed = false;

  function find(name: string): ManagedCredential {
    const credential = credentials.get(name);
    if (credential === undefined) throw new SidebearerError('credential_unknown');
    return credential;
  }

  function forget(): void {
    for (const [handle, { endedAtMs }] of entries) {
      if (clock.monotonicMs() - endedAtMs > LOGIN_LIFE_MS) entries.delete(handle);
    }
  }

  function waitingFor(name: string): number {
    let waiting = starting.get(name) ?? 0;
    for (const { view, state } of entries.values()) {
      if (view.credential === name && state.kind === 'waiting') waiting += 1;
    }
    return waiting;
  }

  function end(entry: Entry, state: DeviceLoginState): void {
    if (entry.state.kind !== 'waiting') return;
    entry.state = state;
    entry.endedAtMs = clock.monotonicMs();
    const { view, visitor } = entry;
    if (state.kind === 'failed') observer.loginFailed(state.error, visitor, view.credential, 'device_code');
  }

  async function keep(
    entry: Entry,
    credential: ManagedCredential,
    device: DeviceLogin,
    tokens: TokenAnswer,
  ): Promise<void> {
    // A person said no while the answer was on its way.
    if (entry.state.kind !== 'waiting') return;
    assertSameClient(device.boundTo, credential.device);
    entry.isKept = true;
    await credential.accept(tokens, { replaceAccount: entry.replaceAccount });
    const account = tokens.account ?? credential.status().account;
    observer.loginSucceeded(credential.name, entry.visitor, account, tokens.expiresAtMs, 'device_code');
    const warnings = new Set(tokens.warnings.map(({ code }) => code));
    if (tokens.refreshToken === undefined) warnings.add('no_refresh_token');
    end(entry, { kind: 'succeeded', warnings: [...warnings] });
  }

  async function run(entry: Entry, credential: ManagedCredential, device: DeviceLogin, polled: Promise<TokenAnswer>) {
    try {
      await keep(entry, credential, device, await polled);
    } catch (thrown) {
      end(entry, { kind: 'failed', error: toSidebearerError(thrown) });
    }
  }

  async function begin(
    credential: ManagedCredential,
    device: DeviceLogin,
    visitor: Visitor,
    replaceAccount: boolean,
  ): Promise<string> {
    const authorization = await device.start();
    const handle = random(32).toString('base64url');
    const { userCode, verificationUri, verificationUriComplete, lifeMs } = authorization;
    const entry: Entry = {
      view: {
        credential: credential.name,
        userCode,
        verificationUri,
        ...(verificationUriComplete !== undefined && { verificationUriComplete }),
        expiresAtMs: clock.wallMs() + lifeMs,
      },
      visitor,
      replaceAccount,
      stop: new AbortController(),
      state: { kind: 'waiting' },
      isKept: false,
      endedAtMs: Number.POSITIVE_INFINITY,
    };
    entries.set(handle, entry);
    observer.loginStarted(credential.name, visitor);
    if (isClosed) entry.stop.abort();
    const polled = pollDevice(device, authorization, clock, entry.stop.signal);
    const work: Promise<void> = run(entry, credential, device, polled).finally(() => atWork.delete(work));
    atWork.add(work);
    return handle;
  }

  return {
    isOffered: async (name) => (await find(name).device?.isOffered()) ?? false,

    async start(name, visitor, { replaceAccount }) {
      const credential = find(name);
      const { device } = credential;
      if (device === undefined) throw new SidebearerError('login_unsupported', { credential: name });
      forget();
      if (waitingFor(name) >= MOST_WAITING) throw new SidebearerError('logins_pending_limit', { credential: name });
      starting.set(name, (starting.get(name) ?? 0) + 1);
      try {
        return await begin(credential, device, visitor, replaceAccount);
      } finally {
        starting.set(name, (starting.get(name) ?? 1) - 1);
      }
    },

    find(handle) {
      forget();
      const entry = entries.get(handle);
      return entry === undefined ? undefined : { ...entry.view, state: entry.state };
    },

    cancel(handle) {
      const entry = entries.get(handle);
      if (entry?.state.kind !== 'waiting' || entry.isKept) return false;
      end(entry, {
        kind: 'failed',
        error: new SidebearerError('device_cancelled', { credential: entry.view.credential }),
      });
      entry.stop.abort();
      return true;
    },

    async close() {
      isClosed = true;
      for (const { stop } of entries.values()) stop.abort();
      await Promise.all(atWork);
    },
  };
}
