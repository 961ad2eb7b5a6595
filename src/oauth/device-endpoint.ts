// `/oauth/device`: a login on another device. POST begins or cancels one; GET shows how it stands. Whose it is tells a
// cookie, or, of a program, the header Login-Handle.
import { parseCookie, stringifySetCookie } from 'cookie';
import type { Clock } from '../clock.ts';
import type { ManagedCredential } from '../credentials/bearer.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { type Answer, jsonAnswer, pageAnswer, redirectAnswer, withHeaders } from './answer.ts';
import { readFields } from './body.ts';
import type { DeviceLogins, DeviceLoginView } from './device-logins.ts';
import type { Failures } from './failures.ts';
import { LOGIN_LIFE_MS } from './login-cookie.ts';
import type { LoginObserver } from './observer.ts';
import { deviceStartPage, deviceWaitPage } from './pages/device-page.ts';
import { asksToReplace } from './pages/login-form.ts';
import { countdownScript, deviceScript } from './pages/scripts.ts';
import { successPage } from './pages/success-page.ts';
import type { Endpoint, Visit } from './visit.ts';

export interface DeviceEndpointOptions {
  readonly version: string;
  readonly clock: Clock;
  readonly credentials: ReadonlyMap<string, ManagedCredential>;
  readonly logins: DeviceLogins;
  readonly failures: Failures;
  readonly observer: LoginObserver;
  /** The store, in words. */
  readonly storedIn: string | undefined;
}

const COOKIE = 'sidebearer-device';

export function createDeviceEndpoints(options: DeviceEndpointOptions): {
  readonly show: Endpoint;
  readonly act: Endpoint;
} {
  const { version, clock, credentials, logins, failures, observer, storedIn } = options;

  const show: Endpoint = (visit) => {
    const { texts, wantsJson, query } = visit;
    const name = query.get('credential');
    if (name !== null) return ask(texts, name);
    const handle = handleOf(visit);
    const login = handle === undefined ? undefined : logins.find(handle);
    if (login === undefined) {
      if (!wantsJson) return redirectAnswer(303, '/');
      throw new SidebearerError(handle === undefined ? 'login_handle_missing' : 'state_unknown');
    }
    if (wantsJson) return jsonAnswer(200, describe(login));
    const { state, credential } = login;
    if (state.kind === 'failed') return failures(state.error, { texts, wantsJson, credential });
    const nowMs = clock.wallMs();
    if (state.kind === 'waiting') {
      return pageAnswer(200, deviceWaitPage({ texts, version, nowMs, login }), { script: deviceScript });
    }
    const status = credentials.get(credential)?.status();
    if (status === undefined) return redirectAnswer(303, '/');
    const view = { texts, version, nowMs, status, storedIn, warnings: state.warnings };
    return pageAnswer(200, successPage(view), { script: countdownScript });
  };

  const ask = (texts: Visit['texts'], name: string): Answer => {
    const credential = credentials.get(name);
    if (credential === undefined) throw new SidebearerError('credential_unknown');
    if (credential.device === undefined) throw new SidebearerError('login_unsupported', { credential: name });
    const status = credential.status();
    const view = { texts, version, credential: name, asksToReplace: asksToReplace(status), account: status.account };
    return pageAnswer(200, deviceStartPage(view));
  };

  const begin = async (visit: Visit, name: string, replaceAccount: boolean): Promise<Answer> => {
    const { texts, wantsJson, visitor } = visit;
    try {
      const handle = await logins.start(name, visitor, { replaceAccount });
      const login = logins.find(handle);
      if (wantsJson && login !== undefined) return jsonAnswer(201, { handle, ...describe(login) });
      return withHeaders(redirectAnswer(303, '/oauth/device'), { 'set-cookie': cookie(handle, isHttps(visit)) });
    } catch (thrown) {
      const error = toSidebearerError(thrown);
      observer.loginFailed(error, visitor, name, 'device_code');
      return failures(error, { texts, wantsJson, credential: name });
    }
  };

  const act: Endpoint = async (visit) => {
    const fields = await readFields(visit.request);
    if (fields.get('cancel') === 'yes') {
      const handle = handleOf(visit);
      if (handle === undefined) throw new SidebearerError('login_handle_missing');
      logins.cancel(handle);
      return visit.wantsJson ? show(visit) : redirectAnswer(303, '/oauth/device');
    }
    const name = fields.get('credential');
    if (name === null) throw new SidebearerError('admin_request_malformed', { reason: 'it names no credential' });
    return begin(visit, name, fields.get('replace') === 'yes');
  };

  return { show, act };
}

function describe({
  credential,
  userCode,
  verificationUri,
  verificationUriComplete,
  expiresAtMs,
  state,
}: DeviceLoginView) {
  return {
    credential,
    userCode,
    verificationUri,
    ...(verificationUriComplete !== undefined && { verificationUriComplete }),
    expiresAt: new Date(expiresAtMs).toISOString(),
    state: state.kind,
    ...(state.kind === 'failed' && { code: state.error.code, next: state.error.next }),
  };
}

function handleOf({ request }: Visit): string | undefined {
  const [shown] = request.headersDistinct['login-handle'] ?? [];
  return shown ?? parseCookie(request.headers.cookie ?? '')[COOKIE];
}

/** TLS may end before us: the browser's own word for where it is. */
function isHttps({ request }: Visit): boolean {
  return request.headers.origin?.startsWith('https://') === true;
}

/** Nothing sends a browser back here from elsewhere: Strict will do. */
function cookie(handle: string, secure: boolean): string {
  const maxAge = LOGIN_LIFE_MS / 1000;
  return stringifySetCookie({
    name: COOKIE,
    value: handle,
    maxAge,
    path: '/oauth/device',
    httpOnly: true,
    sameSite: 'strict',
    secure,
  });
}
