// Logins for other consoles: the same as the pages do, as JSON. Who starts one is given a handle, once; whatever else
// is asked about it must show it. docs/openapi.json describes it, and a test holds the answers against that.
import type { IncomingMessage } from 'node:http';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { jsonAnswer, withHeaders } from './answer.ts';
import { readFields } from './body.ts';
import type { Failures } from './failures.ts';
import type { Logins, StartedLogin } from './logins.ts';
import type { LoginObserver } from './observer.ts';
import { readPaste } from './pasted-answer.ts';
import type { Endpoint, Route } from './visit.ts';

export interface LoginsApiOptions {
  readonly logins: Logins;
  readonly failures: Failures;
  readonly observer: LoginObserver;
}

export interface LoginsApi {
  /** `/api/logins` */
  readonly begin: Endpoint;
  /** `/api/logins/ID` and `/api/logins/ID/complete`; undefined for any other path. */
  find(path: string): Route | undefined;
}

export function createLoginsApi({ logins, failures, observer }: LoginsApiOptions): LoginsApi {
  const begin: Endpoint = async ({ request, visitor, texts }) => {
    const fields = await readFields(request);
    const name = fields.get('credential');
    if (name === null) throw new SidebearerError('admin_request_malformed', { reason: 'it names no credential' });
    const { login } = logins.find(name);
    let started: StartedLogin;
    try {
      started = await logins.start(name, visitor, { replaceAccount: fields.get('replace') === 'yes' });
    } catch (thrown) {
      // A login that could not begin is one that failed, not a request that was refused.
      const error = toSidebearerError(thrown);
      observer.loginFailed(error, visitor, name);
      return failures(error, { texts, wantsJson: true, credential: name });
    }
    const { id, handle, expiresAtMs, location, setCookie } = started;
    const { redirectUri } = login;
    const body = { id, handle, credential: name, status: 'pending', url: location.href, redirectUri, expiresAtMs };
    // The cookie is for a page of ours that asks: its browser may then come back by the callback as well.
    return withHeaders(jsonAnswer(201, body), { location: `/api/logins/${id}`, 'set-cookie': setCookie });
  };

  const show = (id: string): Endpoint => {
    return async ({ request }) => {
      const { facts, ...progress } = await logins.progress(id, handleOf(request));
      return jsonAnswer(200, { id, credential: facts.credential, ...progress, expiresAtMs: facts.expiresAtMs });
    };
  };

  const complete = (id: string): Endpoint => {
    return async ({ request, visitor, texts }) => {
      const parameters = readPaste(await readFields(request));
      const end = await logins.finish(parameters, { id, handle: handleOf(request) }, visitor);
      if (end.outcome === 'failed') {
        const { error, credential } = end;
        return failures(error, { texts, wantsJson: true, ...(credential === undefined ? {} : { credential }) });
      }
      return jsonAnswer(200, { id, status: 'succeeded', credential: end.credential.status(), warnings: end.warnings });
    };
  };

  const cancel = (id: string): Endpoint => {
    return async ({ request, visitor }) => {
      const credential = await logins.cancel(id, handleOf(request), visitor);
      observer.administered({ action: 'login_cancel', credential, outcome: 'cancelled' }, visitor);
      return jsonAnswer(200, { id, credential, status: 'failed', code: 'login_cancelled' });
    };
  };

  return {
    begin,
    find(path) {
      const [, id, tail] = /^\/api\/logins\/([0-9a-f]{64})(\/complete)?$/.exec(path) ?? [];
      if (id === undefined) return undefined;
      return tail === undefined ? { GET: show(id), DELETE: cancel(id) } : { POST: complete(id) };
    },
  };
}

function handleOf(request: IncomingMessage): string | undefined {
  const [handle, ...others] = request.headersDistinct['login-handle'] ?? [];
  return others.length > 0 ? undefined : handle;
}
