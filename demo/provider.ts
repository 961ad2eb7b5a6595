// An identity provider for the demo and the system tests: oidc-provider, on loopback, in memory, with rotating
// refresh tokens of which a reused one revokes the whole grant. Anyone who can reach it is logged in: never expose it.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import Provider from 'oidc-provider';
import { bind } from '../src/listen.ts';
import { errorPage, loginPage } from './provider-pages.ts';
import { ProviderStorage } from './provider-storage.ts';
import { createTokenGate, type TokenHooks } from './token-gate.ts';

export const demoClient = { id: 'sidebearer-demo', email: 'demo@example.test', accountId: 'demo-account' } as const;
/** For client_credentials. */
export const demoMachine = { id: 'sidebearer-machine', secret: 'demo-machine-secret' } as const;

export interface DemoProviderOptions extends TokenHooks {
  /** 0: a free one. */
  readonly port: number;
  /** Default: loopback. Another one only where nobody else can reach it. */
  readonly host?: string;
  /** Life of an access token, at least 1 s. */
  readonly accessTokenSeconds: number;
  /** Life of a refresh token; default 14 days. */
  readonly refreshTokenSeconds?: number;
  /** Whether a refresh gives a new refresh token; default true. */
  readonly rotate?: boolean;
  /** Loopback ones match with any port. */
  readonly redirectUris?: readonly string[];
  /** The setting or variable that moves the port, for the error where it is busy. */
  readonly portSetting?: string;
}

export interface DemoProvider {
  readonly issuer: string;
  /** Calls to the token endpoint by grant type. */
  readonly counts: { readonly tokenRequests: Readonly<Record<string, number>> };
  /** May be set and deleted at any time. */
  readonly hooks: TokenHooks;
  /** Life of the access tokens from now on. */
  accessTokenSeconds: number;
  /** Whether an access token is known and neither expired nor revoked. */
  introspect(accessToken: string): Promise<boolean>;
  revokeAccessToken(accessToken: string): Promise<void>;
  /** All access tokens of now; refresh tokens stay. */
  revokeAccessTokens(): void;
  /** All grants with all that was given under them. */
  revokeGrants(): void;
  /** Connections are cut, new ones refused; what was issued stays. */
  stop(): Promise<void>;
  /** Back on the same port. */
  start(): Promise<void>;
  close(): Promise<void>;
}

const DAY_SECONDS = 86_400;
const scopes = ['openid', 'offline_access', 'email', 'profile'];

/** @throws listen_port_busy and its like */
export async function createDemoProvider(options: DemoProviderOptions): Promise<DemoProvider> {
  let answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.end();
  let server: Server;
  const listen = async (port: number): Promise<string> => {
    server = createServer((request, response) => answer(request, response));
    return (await bind(server, { host: options.host ?? '127.0.0.1', port }, options.portSetting ?? 'port')).url;
  };
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      if (!server.listening) return resolve();
      server.close(() => resolve());
      server.closeAllConnections();
    });

  // The issuer is the address: it is known only once the port is.
  const issuer = await listen(options.port);
  const storage = new ProviderStorage();
  const hooks: TokenHooks = {
    ...(options.beforeToken !== undefined && { beforeToken: options.beforeToken }),
    ...(options.afterToken !== undefined && { afterToken: options.afterToken }),
  };
  const gate = createTokenGate(hooks);
  const life = { accessTokenSeconds: options.accessTokenSeconds };
  const provider = new Provider(issuer, configurationOf(options, storage, life));
  // Koa would print each client's error; faults of the provider itself are ours to see.
  provider.silent = true;
  provider.on('server_error', (_, error) => console.error(`demo provider: ${error.stack}`));
  provider.use(gate.middleware);
  const callback = provider.callback();
  answer = (request, response) => {
    const interaction = /^\/interaction\/([\w-]+)(?:\/(continue|deny))?$/.exec(request.url ?? '');
    if (interaction === null) void callback(request, response);
    else void interact(provider, request, response, interaction[2]).catch((error) => refuse(response, error));
  };

  return {
    issuer,
    counts: { tokenRequests: gate.counts },
    hooks,
    get accessTokenSeconds() {
      return life.accessTokenSeconds;
    },
    set accessTokenSeconds(seconds) {
      life.accessTokenSeconds = seconds;
    },
    async introspect(accessToken) {
      const models = [provider.AccessToken, provider.ClientCredentials];
      // The storage knows the end to the millisecond; the library counts in whole seconds, up to one too early.
      const found = await Promise.all(models.map((model) => model.find(accessToken, { ignoreExpiration: true })));
      return found.some((token) => token !== undefined);
    },
    async revokeAccessToken(accessToken) {
      await (await provider.AccessToken.find(accessToken))?.destroy();
    },
    revokeAccessTokens: () => storage.remove(({ model }) => /^(AccessToken|ClientCredentials)$/.test(model)),
    revokeGrants: () => storage.remove(({ model, payload }) => model === 'Grant' || payload.grantId !== undefined),
    stop,
    start: async () => void (await listen(Number(new URL(issuer).port))),
    close: stop,
  };
}

/** GET asks; POST is the one click, which is login and consent together. */
async function interact(
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
  choice: string | undefined,
): Promise<void> {
  const { uid, params } = await provider.interactionDetails(request, response);
  const clientId = String(params['client_id']);
  if (request.method !== 'POST' || choice === undefined) {
    const html = loginPage({ email: demoClient.email, client: clientId, path: `/interaction/${uid}` });
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }).end(html);
    return;
  }
  request.resume();
  const finish = (result: Readonly<Record<string, unknown>>) =>
    provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  if (choice === 'deny') return finish({ error: 'access_denied', error_description: 'The demo user said no' });
  const grant = new provider.Grant({ accountId: demoClient.accountId, clientId });
  grant.addOIDCScope(String(params['scope']));
  await finish({ login: { accountId: demoClient.accountId }, consent: { grantId: await grant.save() } });
}

function refuse(response: ServerResponse, error: unknown): void {
  const description = error instanceof Error ? error.message : 'Start the login again.';
  response.writeHead(400, { 'content-type': 'text/html; charset=utf-8' }).end(errorPage('login_unknown', description));
}

/** Everything that oidc-provider would otherwise print a notice about is said. */
function configurationOf(
  options: DemoProviderOptions,
  storage: ProviderStorage,
  life: { readonly accessTokenSeconds: number },
): Record<string, unknown> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { refreshTokenSeconds = 14 * DAY_SECONDS, rotate = true } = options;
  const redirectUris = options.redirectUris ?? [
    'http://localhost:1455/oauth/callback',
    'http://127.0.0.1:1455/oauth/callback',
    'http://localhost:1455/auth/callback',
  ];
  return {
    adapter: (model: string) => storage.adapter(model),
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'demo' }] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    clients: [
      {
        client_id: demoClient.id,
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: redirectUris,
      },
      {
        client_id: demoMachine.id,
        client_secret: demoMachine.secret,
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
      },
    ],
    responseTypes: ['code'],
    scopes,
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    // The page of the sidecar shows who is logged in without a call to userinfo.
    conformIdTokenClaims: false,
    findAccount: (_: unknown, accountId: string) => ({
      accountId,
      claims: () => ({ sub: accountId, email: demoClient.email, email_verified: true, name: 'Demo' }),
    }),
    interactions: { url: (_: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    rotateRefreshToken: rotate,
    expiresWithSession: () => false,
    clientBasedCORS: () => false,
    ttl: {
      AccessToken: () => life.accessTokenSeconds,
      ClientCredentials: () => life.accessTokenSeconds,
      AuthorizationCode: 60,
      IdToken: 3_600,
      RefreshToken: refreshTokenSeconds,
      Interaction: 3_600,
      Session: DAY_SECONDS,
      Grant: 14 * DAY_SECONDS,
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      rpInitiatedLogout: { enabled: false },
      revocation: { enabled: true, allowedPolicy: () => true },
      introspection: { enabled: true, allowedPolicy: () => true },
    },
    renderError: (context: { type: string; body: string }, out: { error: string; error_description?: string }) => {
      context.type = 'html';
      context.body = errorPage(out.error, out.error_description ?? '');
    },
  };
}
