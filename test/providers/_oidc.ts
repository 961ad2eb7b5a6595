// The real oidc-provider in this process, on loopback, and a person who logs in there by plain requests.
import { generateKeyPairSync } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

export const redirectUri = 'http://localhost:1455/oauth/callback';

/** As much of the package as is used here; it ships no types. */
interface OidcProvider {
  callback(): RequestListener;
}
type OidcProviderClass = new (issuer: string, configuration: object) => OidcProvider;

export interface RealOidc {
  readonly issuer: string;
  /** Requests by method and path, in order. */
  readonly requests: readonly string[];
  /** Takes the browser's part: logs in, consents, and returns the parameters of the callback. */
  logIn(authorizationUrl: URL, decision?: 'consent' | 'refuse'): Promise<URLSearchParams>;
  close(): Promise<void>;
  open(): Promise<void>;
}

export async function createRealOidc(t: Test, accessTokenLifeS = 60): Promise<RealOidc> {
  const requests: string[] = [];
  let serve: RequestListener = () => undefined;
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url?.split('?')[0]}`);
    serve(request, response);
  });
  const listen = (port: number): Promise<void> => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  t.teardown(() => (server.listening ? close() : undefined));

  const issuer = `http://127.0.0.1:${port}`;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
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
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: 'k1' }] },
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
    },
    ttl: { AccessToken: accessTokenLifeS, ClientCredentials: accessTokenLifeS, RefreshToken: 86_400, Grant: 86_400 },
  });
  serve = provider.callback();
  return {
    issuer,
    requests,
    logIn: (url, decision) => walk(url, decision ?? 'consent'),
    close,
    open: () => listen(port),
  };
}

/** Follows redirects with cookies and fills in the forms of devInteractions until the callback is reached. */
async function walk(start: URL, decision: 'consent' | 'refuse'): Promise<URLSearchParams> {
  const cookies = new Map<string, string>();
  let url = start;
  let form: URLSearchParams | undefined;
  for (let step = 0; step < 12; step += 1) {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form !== undefined && { method: 'POST', body: form }),
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
      if (url.href.startsWith(redirectUri)) return url.searchParams;
      continue;
    }
    const action = /action="([^"]+)"/.exec(page)?.[1];
    const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1];
    if (action === undefined || prompt === undefined)
      throw new Error(`the provider answers ${response.status}: ${page}`);
    const abort = /href="([^"]+\/abort)"/.exec(page)?.[1];
    if (prompt === 'consent' && decision === 'refuse' && abort !== undefined) {
      url = new URL(abort, url);
      form = undefined;
      continue;
    }
    url = new URL(action, url);
    form = new URLSearchParams({ prompt, login: 'person', password: 'x' });
  }
  throw new Error('the login has no end');
}
