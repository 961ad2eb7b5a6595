// The OAuth listener: for the admin's browser, through a port-forward. Every request passes the same steps: Host,
// path, method, Origin, endpoint, and every answer, failures included, leaves with the secure headers.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import { sleep } from '../clock.ts';
import type { ManagedCredential } from '../credentials/bearer.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { type BoundAddress, bind, type ListenAddress } from '../listen.ts';
import type { PendingLogins, Sealing } from '../stores/store.ts';
import { createAdminEndpoints, type RekeyResult } from './admin-endpoint.ts';
import { adminChallenge, checkAdminToken } from './admin-token.ts';
import { type Answer, problemAnswer, sendAnswer, serializeAnswer, textAnswer, withHeaders } from './answer.ts';
import { createCallbackEndpoints } from './callback-endpoint.ts';
import type { ConfigurationStatus } from './configuration-status.ts';
import { createDeviceEndpoints } from './device-endpoint.ts';
import { createDeviceLogins } from './device-logins.ts';
import { createFailures } from './failures.ts';
import { GentleServer } from './gentle-server.ts';
import { checkHost, checkOrigin } from './host.ts';
import { textsFor } from './languages.ts';
import { createLogins } from './logins.ts';
import { createLoginsApi } from './logins-api.ts';
import type { LoginObserver } from './observer.ts';
import { createStartEndpoints } from './start-endpoint.ts';
import { createStatusEndpoints } from './status-endpoint.ts';
import { english } from './texts/english.ts';
import { type Route, splitTarget, visitorOf, wantsJson } from './visit.ts';

export interface OAuthServerOptions {
  readonly credentials: ReadonlyMap<string, ManagedCredential>;
  readonly logins: PendingLogins;
  /** @throws store_* where it cannot be written */
  readonly probeStore: () => Promise<void>;
  /** Seals everything stored under the first key. @throws store_*: it cannot be listed */
  readonly rekey: () => AsyncIterable<RekeyResult>;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly observer: LoginObserver;
  readonly version: string;
  /** `admin.token`: what changes something must show it. Asked each time. */
  readonly adminToken?: () => string | undefined;
  readonly random?: (bytes: number) => Buffer;
  /** Sentences of ours for the top of the status page, asked for at each visit. */
  readonly notices?: () => readonly string[];
  /** The store, in words, for the success page (`file /var/lib/sidebearer`). */
  readonly storedIn?: string;
  /** Asked each time; absent: nothing is told of it. */
  readonly configuration?: () => ConfigurationStatus;
  /** The pod's name for the kubectl commands that are shown; default `POD`. */
  readonly podName?: string;
  /** How long a request's head may take to arrive, ms; default 15 s. */
  readonly headerTimeoutMs?: number;
}

export interface OAuthServer {
  /**
   * After a failure it may be called again.
   * @param setting the setting that moves this listener, for the error
   * @throws listen_*
   */
  listen(address: ListenAddress, setting: string): Promise<BoundAddress>;
  /**
   * Takes no new connection; lets the requests at work, logins being redeemed above all, end within `graceMs`
   * (default 35 s); resolves when every connection is closed.
   */
  close(graceMs?: number): Promise<void>;
}

export function createOAuthServer(options: OAuthServerOptions): OAuthServer {
  const { version, credentials, clock, observer, sealing, random, storedIn, podName = 'POD' } = options;
  const logins = createLogins({
    credentials,
    pending: options.logins,
    probeStore: options.probeStore,
    sealing,
    clock,
    observer,
    ...(random === undefined ? {} : { random }),
  });
  const failures = createFailures(version, credentials, logins);
  const status = createStatusEndpoints({
    version,
    clock,
    credentials,
    storedIn,
    notices: options.notices ?? (() => []),
    configuration: options.configuration ?? (() => undefined),
  });
  let boundPort: number | undefined;
  const start = createStartEndpoints({
    version,
    credentials,
    logins,
    failures,
    observer,
    podName,
    boundPort: () => boundPort,
  });
  const { callback, complete } = createCallbackEndpoints({ version, clock, logins, failures, storedIn });
  const admin = createAdminEndpoints({ clock, credentials, failures, observer, rekey: options.rekey });
  const deviceLogins = createDeviceLogins({
    credentials,
    clock,
    observer,
    ...(random === undefined ? {} : { random }),
  });
  const device = createDeviceEndpoints({
    version,
    clock,
    credentials,
    logins: deviceLogins,
    failures,
    observer,
    storedIn,
  });
  const loginsApi = createLoginsApi({ logins, failures, observer });

  const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
    ['/', { GET: status.page }],
    ['/events', { GET: status.live.endpoint }],
    ['/status.json', { GET: status.json }],
    ['/oauth/start', { GET: start.show, POST: start.begin }],
    ['/oauth/callback', { GET: callback }],
    ['/auth/callback', { GET: callback }],
    ['/oauth/complete', { POST: complete }],
    ['/oauth/device', { GET: device.show, POST: device.act }],
    ['/oauth/refresh', { POST: admin.refresh }],
    ['/oauth/resume', { POST: admin.resume }],
    ['/oauth/logout', { POST: admin.logout }],
    ['/oauth/import', { POST: admin.import }],
    ['/oauth/rekey', { POST: admin.rekey }],
    ['/api/logins', { POST: loginsApi.begin }],
    // Another Codex CLI asks whoever holds its port to let go; pending logins stay as they are.
    ['/cancel', { GET: () => textAnswer(200, english.cancel) }],
  ]);

  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const visitor = visitorOf(request);
    const texts = await textsFor(request.headers['accept-language']);
    let further: Record<string, string> = {};
    try {
      const host = checkHost(request, () => redirectUris(credentials));
      const { path, query } = splitTarget(request.url ?? '');
      const route = routes.get(path) ?? loginsApi.find(path);
      if (route === undefined) throw new SidebearerError('page_unknown');
      const { method } = request;
      const endpoint = endpointOf(route, method);
      if (endpoint === undefined) {
        further = { allow: allowed(route) };
        throw new SidebearerError('page_method_unknown');
      }
      if (method === 'POST' || method === 'DELETE') {
        checkOrigin(request);
        further = { 'www-authenticate': adminChallenge };
        const adminToken = options.adminToken?.();
        if (adminToken !== undefined) checkAdminToken(request, adminToken);
        further = {};
      }
      return await endpoint({ request, host, query, visitor, texts, wantsJson: wantsJson(request) });
    } catch (thrown) {
      const error = toSidebearerError(thrown);
      observer.refused(error, visitor);
      const failure = failures(error, { texts, wantsJson: wantsJson(request) });
      return withHeaders(failure, further);
    }
  };

  // A login that is being redeemed belongs to nobody: the browser may leave, and stopping waits for it.
  const atWork = new Set<Promise<void>>();
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const work = answer(request)
      .then((value) => sendAnswer(request, response, value, !server.listening))
      .catch((thrown: unknown) => {
        const error = toSidebearerError(thrown);
        observer.refused(error, visitorOf(request));
        sendAnswer(request, response, problemAnswer(error), true);
      })
      .finally(() => atWork.delete(work));
    atWork.add(work);
  };

  const headerTimeoutMs = options.headerTimeoutMs ?? 15_000;
  const server = new GentleServer({
    clock,
    headerTimeoutMs,
    requestTimeoutMs: headerTimeoutMs * 2,
    idleTimeoutMs: 10_000,
    lingerMs: 3_000,
    // A browser sends us the cookies of everything else that runs on localhost.
    maxHeaderBytes: 64 * 1024,
    maxConnections: 512,
    serve,
    refuse: (error, address) => {
      observer.refused(error, { address, userAgent: '' });
      return serializeAnswer(problemAnswer(error));
    },
  });

  return {
    async listen(address, setting) {
      const bound = await bind(server, address, setting);
      boundPort = 'port' in bound.address ? bound.address.port : undefined;
      return bound;
    },

    async close(graceMs = 35_000) {
      logins.close();
      status.live.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const grace = new AbortController();
      const settled = Promise.all([closed, deviceLogins.close(), ...atWork]).then(() => undefined);
      await Promise.race([settled, sleep(clock, graceMs, grace.signal)]);
      grace.abort();
      server.endAll();
      await closed;
    },
  };
}

function endpointOf(route: Route, method: string | undefined): Route[keyof Route] {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return route.GET;
    case 'POST':
    case 'DELETE':
      return route[method];
    default:
      return undefined;
  }
}

function allowed({ GET, POST, DELETE }: Route): string {
  const methods = [GET && 'GET, HEAD', POST && 'POST', DELETE && 'DELETE'];
  return methods.filter((each) => each !== undefined).join(', ');
}

function* redirectUris(credentials: ReadonlyMap<string, ManagedCredential>): Generator<string> {
  for (const { login } of credentials.values()) if (login !== undefined) yield login.redirectUri;
}
