// A stand-in of the Codex endpoints that takes exactly what OpenAI's own are sent: a parameter that is missing, extra,
// doubled or another is refused, and kept as a complaint for the test to see. It must never be kinder than they are.
import { createHash, createSign, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { bind } from '../../src/listen.ts';
import { assertExactly, Refusal, readExactly } from './_strict-fields.ts';

export const codexClientId = 'app_EMoamEEZ73f0CkXaXp7hrann';
const AUTH = 'https://api.openai.com/auth';

/** Who is at the browser: the claims of the next id token beside the standard ones. */
export type Person = Readonly<Record<string, unknown>>;

export const ada: Person = {
  sub: 'auth0|ada',
  email: 'ada@example.test',
  [AUTH]: {
    chatgpt_account_id: 'account-ada',
    chatgpt_user_id: 'user-ada',
    chatgpt_plan_type: 'pro',
    organizations: [{ id: 'org-ada', is_default: true }],
  },
};

export interface ScriptedAnswer {
  readonly status: number;
  readonly body: unknown;
}

export interface CodexProvider {
  readonly url: string;
  person: Person;
  /** Parameters of the authorize page that are sent only where they are configured. */
  optional: Readonly<Record<string, string>>;
  /** Appended to the state on the way back, as newer pages do. */
  stateSuffix: string;
  /** Why a person who clicks "Deny" is denied. */
  denial: string | undefined;
  /** What each refresh is answered with, the refresh token unspent; undefined: well. */
  refreshAnswer: ScriptedAnswer | undefined;
  /** Left out of the answer to a refresh. */
  withheld: readonly string[];
  lifeSeconds: number;
  /** The code of the device login was typed by the person. */
  isDeviceConfirmed: boolean;
  isDeviceEnabled: boolean;
  /** Every request that was not exactly as it must be. */
  readonly complaints: string[];
  readonly counts: { exchange: number; refresh: number; usercode: number; poll: number };
  readonly revocations: string[];
  /** Of an access token that lives: its account. */
  accountOf(accessToken: string): string | undefined;
  close(): Promise<void>;
}

interface PendingCode {
  readonly challenge: string;
  readonly redirectUri: string;
}

export async function createCodexProvider(registered: readonly string[]): Promise<CodexProvider> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const secret = (prefix: string): string => `${prefix}${randomBytes(32).toString('base64url')}`;
  const questions = new Map<string, URLSearchParams>();
  const codes = new Map<string, PendingCode>();
  const refreshTokens = new Map<string, 'live' | 'spent' | 'revoked'>();
  const accessTokens = new Map<string, string | undefined>();
  const device = { id: secret('device-'), userCode: 'ABCD-12345', code: '', verifier: '' };

  const sign = (claims: Readonly<Record<string, unknown>>): string => {
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = `${part({ alg: 'RS256', kid: 'stand-in', typ: 'JWT' })}.${part(claims)}`;
    return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey).toString('base64url')}`;
  };

  const issue = (): Record<string, unknown> => {
    const iat = Math.floor(Date.now() / 1000);
    const common = { iss: 'https://auth.openai.com', iat, exp: iat + provider.lifeSeconds, ...provider.person };
    const access = sign({ ...common, aud: ['https://api.openai.com/v1'], jti: secret('') });
    const refresh = secret('rt_');
    refreshTokens.set(refresh, 'live');
    const auth = provider.person[AUTH] as { chatgpt_account_id?: string } | undefined;
    accessTokens.set(access, auth?.chatgpt_account_id);
    return {
      access_token: access,
      refresh_token: refresh,
      id_token: sign({ ...common, aud: [codexClientId] }),
      expires_in: provider.lifeSeconds,
    };
  };

  const authorize = (query: URLSearchParams, response: ServerResponse): void => {
    assertExactly('authorize', query, {
      response_type: 'code',
      client_id: codexClientId,
      redirect_uri: (value) => registered.includes(value),
      scope: 'openid email profile offline_access',
      state: (value) => /^[\w-]{43,}$/.test(value),
      code_challenge: (value) => /^[\w-]{43}$/.test(value),
      code_challenge_method: 'S256',
      prompt: 'login',
      id_token_add_organizations: 'true',
      codex_cli_simplified_flow: 'true',
      ...provider.optional,
    });
    const id = secret('');
    questions.set(id, query);
    response.writeHead(302, { location: `/interaction/${id}` }).end();
  };

  const askPerson = (path: string, response: ServerResponse): void => {
    response.writeHead(200, {
      'content-type': 'text/html',
      // As OpenAI's pages do it: whoever opened this window is forgotten.
      'cross-origin-opener-policy': 'same-origin',
      'content-security-policy': `default-src 'none'; form-action 'self' http://localhost:*`,
    });
    response.end(`<!doctype html><html lang="en"><title>Stand-in</title><h1>Stand-in of the Codex login</h1>
<form method="post" action="${path}/continue"><button>Continue</button></form>
<form method="post" action="${path}/deny"><button>Deny</button></form>`);
  };

  const answerQuestion = (path: string, response: ServerResponse): void => {
    const [, , id = '', choice] = path.split('/');
    const query = questions.get(id);
    questions.delete(id);
    if (query === undefined) throw new Refusal(400, 'no such question');
    const back = new URL(query.get('redirect_uri') ?? '');
    if (choice === 'continue') {
      const code = secret('ac_');
      codes.set(code, { challenge: query.get('code_challenge') ?? '', redirectUri: back.href });
      back.searchParams.set('code', code);
      back.searchParams.set('scope', query.get('scope') ?? '');
    } else {
      back.searchParams.set('error', 'access_denied');
      if (provider.denial !== undefined) back.searchParams.set('error_description', provider.denial);
    }
    back.searchParams.set('state', (query.get('state') ?? '') + provider.stateSuffix);
    response.writeHead(302, { location: back.href }).end();
  };

  const exchange = (form: URLSearchParams): ScriptedAnswer => {
    provider.counts.exchange += 1;
    const code = codes.get(form.get('code') ?? '');
    codes.delete(form.get('code') ?? '');
    if (code === undefined) return { status: 400, body: { error: 'invalid_grant' } };
    assertExactly('exchange', form, {
      grant_type: 'authorization_code',
      client_id: codexClientId,
      code: () => true,
      redirect_uri: code.redirectUri,
      code_verifier: (value) =>
        /^[\w-]{128}$/.test(value) && createHash('sha256').update(value).digest('base64url') === code.challenge,
    });
    return { status: 200, body: issue() };
  };

  const refresh = (form: URLSearchParams): ScriptedAnswer => {
    provider.counts.refresh += 1;
    const token = form.get('refresh_token') ?? '';
    assertExactly('refresh', form, {
      grant_type: 'refresh_token',
      client_id: codexClientId,
      refresh_token: (value) => refreshTokens.has(value),
      scope: 'openid profile email',
    });
    if (provider.refreshAnswer !== undefined) return provider.refreshAnswer;
    if (refreshTokens.get(token) !== 'live') {
      return { status: 401, body: { error: { code: 'refresh_token_reused', message: 'already used' } } };
    }
    const issued = issue();
    if (provider.withheld.includes('refresh_token')) refreshTokens.delete(String(issued['refresh_token']));
    else refreshTokens.set(token, 'spent');
    for (const name of provider.withheld) delete issued[name];
    return { status: 200, body: issued };
  };

  const revoke = (fields: URLSearchParams): ScriptedAnswer => {
    const token = fields.get('token') ?? '';
    const isRefreshToken = refreshTokens.has(token);
    assertExactly('revoke', fields, {
      token: () => isRefreshToken || accessTokens.has(token),
      token_type_hint: isRefreshToken ? 'refresh_token' : 'access_token',
      ...(isRefreshToken && { client_id: codexClientId }),
    });
    if (isRefreshToken) refreshTokens.set(token, 'revoked');
    accessTokens.clear();
    provider.revocations.push(fields.get('token_type_hint') ?? '');
    return { status: 200, body: {} };
  };

  const usercode = (fields: URLSearchParams): ScriptedAnswer => {
    provider.counts.usercode += 1;
    assertExactly('usercode', fields, { client_id: codexClientId });
    if (!provider.isDeviceEnabled) return { status: 404, body: {} };
    return { status: 200, body: { device_auth_id: device.id, usercode: device.userCode, interval: '1' } };
  };

  const poll = (fields: URLSearchParams): ScriptedAnswer => {
    provider.counts.poll += 1;
    assertExactly('poll', fields, { device_auth_id: device.id, user_code: device.userCode });
    if (!provider.isDeviceConfirmed) return { status: provider.counts.poll % 2 === 0 ? 404 : 403, body: {} };
    const [code, verifier] = [secret('ac_'), randomBytes(96).toString('base64url')];
    const challenge = createHash('sha256').update(verifier).digest('base64url');
    codes.set(code, { challenge, redirectUri: `${url}/deviceauth/callback` });
    const body = { authorization_code: code, code_verifier: verifier, code_challenge: challenge };
    return { status: 200, body };
  };

  const posts: Readonly<Record<string, { type: 'form' | 'json'; act: (fields: URLSearchParams) => ScriptedAnswer }>> = {
    '/oauth/token': {
      type: 'form',
      act: (form) => (form.get('grant_type') === 'refresh_token' ? refresh(form) : exchange(form)),
    },
    '/oauth/revoke': { type: 'json', act: revoke },
    '/api/accounts/deviceauth/usercode': { type: 'json', act: usercode },
    '/api/accounts/deviceauth/token': { type: 'json', act: poll },
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://stand-in');
    const { method } = request;
    if (method === 'GET' && pathname === '/oauth/authorize') return authorize(searchParams, response);
    if (pathname.startsWith('/interaction/')) {
      return method === 'POST' ? answerQuestion(pathname, response) : askPerson(pathname, response);
    }
    // The sidecar's own look whether it could reach this place.
    if (method === 'HEAD' || method === 'GET') return void response.writeHead(405, { allow: 'POST' }).end();
    const post = posts[pathname];
    if (method !== 'POST' || post === undefined) throw new Refusal(404, `${method} ${request.url}`);
    if (searchParams.size > 0) throw new Refusal(400, `${pathname} has a query`);
    const fields = await readExactly(request, pathname, post.type);
    const { status, body } = post.act(fields);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };

  const server = createServer((request, response) => {
    serve(request, response).catch((thrown: unknown) => {
      const { status, message } = thrown instanceof Refusal ? thrown : new Refusal(500, String(thrown));
      provider.complaints.push(message);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { code: 'stand_in_refused' } }));
    });
  });
  const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'port');

  const provider: CodexProvider = {
    url,
    person: ada,
    optional: {},
    stateSuffix: '',
    denial: undefined,
    refreshAnswer: undefined,
    withheld: [],
    lifeSeconds: 864_000,
    isDeviceConfirmed: false,
    isDeviceEnabled: true,
    complaints: [],
    counts: { exchange: 0, refresh: 0, usercode: 0, poll: 0 },
    revocations: [],
    accountOf: (token) => accessTokens.get(token),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return provider;
}
