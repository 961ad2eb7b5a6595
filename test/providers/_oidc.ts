// The real oidc-provider in this process, on loopback, and a person who logs in there by plain requests.
import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { Agent, type Dispatcher, fetch } from 'undici';
import type { Certificate } from './_certificate.ts';

export const redirectUri = 'http://localhost:1455/oauth/callback';

/** As much of the package as is used here; it ships no types. */
export interface OidcProvider {
  callback(): RequestListener;
  registerGrantType(name: string, handler: (context: TokenContext) => Promise<void>, parameters: string[]): void;
}

/** Koa's context at the token endpoint. */
export interface TokenContext {
  status: number;
  body: unknown;
  readonly oidc: {
    readonly client: { readonly clientId: string };
    readonly params: Readonly<Record<string, string | undefined>>;
  };
}
type OidcProviderClass = new (issuer: string, configuration: object) => OidcProvider;

export interface RealOidc {
  readonly issuer: string;
  /** Requests by method and path, in order. */
  readonly requests: readonly string[];
  /** Takes the browser's part: logs in, consents, and returns the parameters of the callback. */
  logIn(authorizationUrl: URL, decision?: Decision): Promise<URLSearchParams>;
  /** The person on the other device: opens the address with the code in it, logs in, and consents or refuses. */
  confirm(verificationUriComplete: string, decision?: Decision): Promise<void>;
  /** Requests that came by the endpoints for clients with certificates. */
  readonly mtlsRequests: readonly string[];
  close(): Promise<void>;
  open(): Promise<void>;
}

/** One for all providers of a test file: making it is most of what a provider costs. */
const { privateKey: signingKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

export type Decision = 'consent' | 'refuse';

export interface RealOidcAdditions {
  /** https, with endpoints of their own for clients that show a certificate of this authority. */
  readonly tls?: Certificate & { readonly ca: string };
  readonly clients?: readonly object[];
  readonly features?: object;
  /** Further settings of the provider. */
  readonly settings?: object;
  readonly prepare?: (provider: OidcProvider) => void;
}

export async function createRealOidc(t: Test, accessTokenLifeS = 60, more: RealOidcAdditions = {}): Promise<RealOidc> {
  const requests: string[] = [];
  const mtlsRequests: string[] = [];
  let serve: RequestListener = () => undefined;
  const { tls } = more;
  const recording =
    (log: string[]): RequestListener =>
    (request, response) => {
      log.push(`${request.method} ${request.url?.split('?')[0]}`);
      serve(request, response);
    };
  const server: Server =
    tls === undefined ? createServer(recording(requests)) : createTlsServer(tls, recording(requests));
  let aliases: object = {};
  let dispatcher: Dispatcher | undefined;
  if (tls !== undefined) {
    const options = { ...tls, requestCert: true, rejectUnauthorized: false };
    const mtls = createTlsServer(options, recording(mtlsRequests));
    await new Promise<void>((resolve) => mtls.listen(0, '127.0.0.1', resolve));
    t.teardown(() => void mtls.close());
    const origin = `https://127.0.0.1:${(mtls.address() as AddressInfo).port}`;
    aliases = {
      mtls_endpoint_aliases: {
        token_endpoint: `${origin}/token`,
        revocation_endpoint: `${origin}/token/revocation`,
        device_authorization_endpoint: `${origin}/device/auth`,
      },
    };
    const agent = new Agent({ connect: { ca: tls.ca } });
    t.teardown(() => agent.destroy());
    dispatcher = agent;
  }
  const listen = (port: number): Promise<void> => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  t.teardown(() => (server.listening ? close() : undefined));

  const issuer = `http${tls === undefined ? '' : 's'}://127.0.0.1:${port}`;
  // Not a literal: the package has no types to resolve.
  const packageName: string = 'oidc-provider';
  const { default: Provider } = (await import(packageName)) as { default: OidcProviderClass };
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'sidecar',
        client_secret: 'cs-SECRET',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [redirectUri],
      },
      {
        client_id: 'machine',
        client_secret: 'ms-SECRET',
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
        scope: 'api:read',
      },
      ...(more.clients ?? []),
    ],
    jwks: { keys: [{ ...signingKey.export({ format: 'jwk' }), use: 'sig', kid: 'k1' }] },
    cookies: { keys: ['only a test'] },
    claims: { openid: ['sub'], email: ['email'] },
    scopes: ['openid', 'offline_access', 'email', 'api:read'],
    conformIdTokenClaims: false,
    rotateRefreshToken: true,
    issueRefreshToken: (_context: unknown, _client: unknown, code: { scopes: Set<string> }) =>
      code.scopes.has('offline_access'),
    findAccount: (_context: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org` }),
    }),
    features: {
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: true },
      ...(tls !== undefined && { mTLS: mtlsFeature }),
      ...more.features,
    },
    discovery: aliases,
    ttl: { AccessToken: accessTokenLifeS, ClientCredentials: accessTokenLifeS, RefreshToken: 86_400, Grant: 86_400 },
    ...more.settings,
  });
  more.prepare?.(provider);
  serve = provider.callback();
  const person = (start: URL, decision: Decision = 'consent') => walk(start, decision, dispatcher);
  return {
    issuer,
    requests,
    mtlsRequests,
    async logIn(url, decision) {
      const { callback, page } = await person(url, decision);
      if (callback === undefined) throw new Error(`the login has no end: ${page}`);
      return callback;
    },
    async confirm(url, decision) {
      await person(new URL(url), decision);
    },
    close,
    open: () => listen(port),
  };
}

/** The certificate is the connection's, as it stands here without a proxy in front. */
const mtlsFeature = {
  enabled: true,
  tlsClientAuth: true,
  selfSignedTlsClientAuth: true,
  getCertificate: ({ req }: { req: IncomingMessage }) => (req.socket as TLSSocket).getPeerX509Certificate()?.toString(),
  certificateAuthorized: ({ req }: { req: IncomingMessage }) => (req.socket as TLSSocket).authorized,
  certificateSubjectMatches: ({ req }: { req: IncomingMessage }, property: string, expected: string) =>
    property === 'tls_client_auth_san_dns' &&
    (req.socket as TLSSocket).getPeerX509Certificate()?.subjectAltName === `DNS:${expected}`,
};

/**
 * Follows redirects with cookies and fills in the forms of devInteractions until the callback is reached, or a page
 * without a form.
 */
async function walk(
  start: URL,
  decision: Decision,
  dispatcher: Dispatcher | undefined,
): Promise<{ callback: URLSearchParams | undefined; page: string }> {
  const cookies = new Map<string, string>();
  let url = start;
  let form: URLSearchParams | undefined;
  for (let step = 0; step < 20; step += 1) {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form !== undefined && { method: 'POST', body: form }),
      ...(dispatcher !== undefined && { dispatcher }),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      cookies.set(name, value);
    }
    const page = await response.text();
    const location = response.headers.get('location');
    if (location !== null) {
      url = new URL(location, url);
      form = undefined;
      if (url.href.startsWith(redirectUri)) return { callback: url.searchParams, page };
      continue;
    }
    const action = /action="([^"]+)"/.exec(page)?.[1];
    if (action === undefined) {
      if (response.status !== 200) throw new Error(`the provider answers ${response.status}: ${page}`);
      return { callback: undefined, page };
    }
    const hidden = [...page.matchAll(/type="hidden" name="([^"]+)" value="([^"]*)"/g)];
    form = new URLSearchParams(hidden.map(([, name = '', value = '']): [string, string] => [name, value]));
    const abort = /href="([^"]+\/abort)"/.exec(page)?.[1];
    if (form.get('prompt') === 'consent' && decision === 'refuse' && abort !== undefined) {
      url = new URL(abort, url);
      form = undefined;
      continue;
    }
    url = new URL(action, url);
    if (form.get('prompt') !== null) {
      form.set('login', 'person');
      form.set('password', 'x');
    }
  }
  throw new Error('the login has no end');
}
