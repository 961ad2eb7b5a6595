// The Codex preset against a stand-in that is stricter than the provider: a parameter more or less is refused.
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { type CodexOptions, createCodexProvider } from '../../src/providers/codex.ts';
import type { AuthorizationCodeLogin, Provider } from '../../src/providers/provider.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { codexAt, patient, scripted, unsignedJwt } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, jsonOf, type Reply, type SeenRequest } from './_scripted-endpoint.ts';

const DAY_MS = 86_400_000;
const clientId = 'app_EMoamEEZ73f0CkXaXp7hrann';
const redirectUri = 'http://localhost:1455/auth/callback';
const auth = 'https://api.openai.com/auth';
const idToken = unsignedJwt({
  iss: 'https://auth.openai.com',
  aud: [clientId],
  sub: 'auth0|person',
  email: 'person@example.org',
  [auth]: { chatgpt_account_id: 'account-1', chatgpt_plan_type: 'plus', chatgpt_user_id: 'user-1' },
});
const tokens = { access_token: 'at2', refresh_token: 'rt2', id_token: idToken, expires_in: 864_000 };

const names = (entries: object): string => Object.keys(entries).sort().join(' ');

/** Refuses, as a provider would, whatever is not exactly what the Codex CLI sends. */
function strictCodex(request: SeenRequest): Reply {
  const { method, target, headers, form } = request;
  const refuse = (why: string): Reply => jsonOf(400, { error: { code: why } });
  if (method !== 'POST') return refuse('method');
  if (headers['accept'] !== 'application/json') return refuse('accept');
  if (headers['authorization'] !== undefined) return refuse('authorization');
  if (target === '/oauth/revoke') {
    if (headers['content-type'] !== 'application/json') return refuse('content_type');
    return answerOf(200, '');
  }
  if (target !== '/oauth/token') return refuse('path');
  if (!headers['content-type']?.startsWith('application/x-www-form-urlencoded')) return refuse('content_type');
  if (form['client_id'] !== clientId) return refuse('client_id');
  if (form['grant_type'] === 'authorization_code') {
    if (names(form) !== 'client_id code code_verifier grant_type redirect_uri') return refuse('parameters');
    if (form['redirect_uri'] !== redirectUri) return refuse('redirect_uri');
    if (!/^[\w-]{128}$/.test(form['code_verifier'] ?? '')) return refuse('code_verifier');
    return form['code'] === 'good' ? jsonOf(200, tokens) : jsonOf(400, { error: 'invalid_grant' });
  }
  if (form['grant_type'] !== 'refresh_token') return refuse('grant_type');
  if (names(form) !== 'client_id grant_type refresh_token scope') return refuse('parameters');
  if (form['scope'] !== 'openid profile email') return refuse('scope');
  return form['refresh_token'] === 'rt1'
    ? jsonOf(200, tokens)
    : jsonOf(401, { error: { code: 'refresh_token_reused' } });
}

function loginOf(provider: Provider): AuthorizationCodeLogin {
  if (provider.login === undefined) throw new Error('a login is expected');
  return provider.login;
}

function exchange(provider: Provider, code = 'good'): ReturnType<AuthorizationCodeLogin['exchange']> {
  const login = loginOf(provider);
  const verifier = login.newVerifier();
  const parameters = new URLSearchParams({ code, state: 's', scope: 'openid' });
  return login.exchange({ state: 's', nonce: 'n', verifier, parameters });
}

async function authorizeParameters(options: Partial<CodexOptions> = {}): Promise<Record<string, string>> {
  const provider = createCodexProvider(options, { clock: systemClock });
  const url = await loginOf(provider).authorizationUrl({
    state: 'the-state',
    nonce: 'n',
    verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
  });
  return { url: `${url.origin}${url.pathname}`, ...Object.fromEntries(url.searchParams) };
}

/** The challenge is that of the verifier in RFC 7636, appendix B. */
const authorize = {
  url: 'https://auth.openai.com/oauth/authorize',
  response_type: 'code',
  client_id: clientId,
  redirect_uri: redirectUri,
  scope: 'openid email profile offline_access',
  state: 'the-state',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  code_challenge_method: 'S256',
  prompt: 'login',
  id_token_add_organizations: 'true',
  codex_cli_simplified_flow: 'true',
};

t.test('the authorize URL has exactly the parameters that the Codex CLI sends', async (t) => {
  t.strictSame(await authorizeParameters(), authorize);
});

t.test('originator and allowed workspaces are sent only where they are configured', async (t) => {
  const sent = await authorizeParameters({ originator: 'codex_cli_rs', allowedWorkspaces: ['a', 'b'] });
  t.match(sent, { originator: 'codex_cli_rs', allowed_workspace_id: 'a,b' });
  t.equal(names(sent), names({ ...authorize, originator: '', allowed_workspace_id: '' }));
});

t.test('every value of the preset can be overridden', async (t) => {
  const sent = await authorizeParameters({
    authorizeUrl: 'https://idp.example/authorize',
    clientId: 'other',
    redirectUri: 'http://localhost:1457/auth/callback',
    scope: 'openid api.connectors.read',
    authorizeParams: { prompt: '', extra: '1' },
  });
  t.match(sent, {
    url: 'https://idp.example/authorize',
    client_id: 'other',
    redirect_uri: 'http://localhost:1457/auth/callback',
    scope: 'openid api.connectors.read',
    extra: '1',
  });
  t.notOk('prompt' in sent);
});

t.test('the preset names its endpoint, what its tokens are bound to, and refreshes 5 days early', async (t) => {
  const provider = createCodexProvider({}, { clock: systemClock });
  t.match(provider, { kind: 'codex', grant: 'authorization_code', leadMs: 5 * DAY_MS });
  t.equal(provider.endpoint, 'https://auth.openai.com/oauth/token');
  t.strictSame(provider.bound, { tokenUrl: 'https://auth.openai.com/oauth/token', clientId });
  t.equal(createCodexProvider({ grant: 'refresh_token' }, { clock: systemClock }).login, undefined);
});

t.test('a strict stand-in accepts the exchange, and the account comes from the id token', async (t) => {
  const endpoint = await scripted(t, { reply: strictCodex });
  const answer = await exchange(codexAt(endpoint.origin));
  t.match(answer, { accessToken: 'at2', refreshToken: 'rt2', idToken, warnings: [] });
  t.strictSame(answer.account, {
    issuer: 'https://auth.openai.com',
    id: 'account-1',
    userId: 'user-1',
    email: 'person@example.org',
    plan: 'plus',
  });
  t.equal(answer.expiresAtMs, answer.obtainedAtMs + 10 * DAY_MS);
});

t.test('a strict stand-in accepts the refresh', async (t) => {
  const endpoint = await scripted(t, { reply: strictCodex });
  const provider = codexAt(endpoint.origin);
  t.match(await provider.refresh('rt1', patient), {
    accessToken: 'at2',
    refreshToken: 'rt2',
    account: { id: 'account-1' },
  });
  const spent = await rejectionOf(t, provider.refresh('rt0-SECRET', patient));
  t.equal(spent.code, 'grant_reused');
  holdsNone(t, spent, ['rt0-SECRET']);
});

t.test('a code that the provider refuses is code_rejected', async (t) => {
  const endpoint = await scripted(t, { reply: strictCodex });
  const error = await rejectionOf(t, exchange(codexAt(endpoint.origin), 'stale-SECRET'));
  t.equal(error.code, 'code_rejected');
  holdsNone(t, error, ['stale-SECRET']);
});

t.test('in a login a 401 concerns the client, not a grant: exchange_failed', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(401, { error: { code: 'token_expired' } }) });
  t.equal((await rejectionOf(t, exchange(codexAt(endpoint.origin)))).code, 'exchange_failed');
});

t.test('a refresh that answers with little keeps what was there: absent fields stay absent', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, { access_token: 'at2', expires_in: 60 }) });
  const answer = await codexAt(endpoint.origin).refresh('rt1', patient);
  t.strictSame(Object.keys(answer).sort(), ['accessToken', 'expiresAtMs', 'obtainedAtMs', 'warnings']);
});

const wall = 1_800_000_000_000;
const jwtOf = (exp: unknown): string => unsignedJwt({ exp });
const lives: readonly (readonly [string, object, number | undefined])[] = [
  ['expires_in', { access_token: jwtOf(wall / 1_000 + 50), expires_in: 100 }, wall + 100_000],
  ["the access token's exp where expires_in is absent", { access_token: jwtOf(wall / 1_000 + 50) }, wall + 50_000],
  [
    "the access token's exp where expires_in is odd",
    { access_token: jwtOf(wall / 1_000 + 50), expires_in: -1 },
    wall + 50_000,
  ],
  ['8 days where neither is told', { access_token: 'opaque' }, wall + 8 * DAY_MS],
  ['8 days where exp is a text', { access_token: jwtOf('soon') }, wall + 8 * DAY_MS],
  ['8 days where exp is past already', { access_token: jwtOf(1_000) }, wall + 8 * DAY_MS],
  ['unknown where there is no access token', { refresh_token: 'rt2' }, undefined],
];

for (const [title, answer, expected] of lives) {
  t.test(`the expiry is ${title}`, async (t) => {
    const endpoint = await scripted(t, { reply: () => jsonOf(200, answer) });
    const provider = codexAt(endpoint.origin, {}, { clock: createFakeClock(wall) });
    t.equal((await provider.refresh('rt1', patient)).expiresAtMs, expected);
  });
}

async function loginWith(t: Test, answer: object, options: Partial<CodexOptions> = {}): Promise<ErrorCode> {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, { ...tokens, ...answer }) });
  return (await rejectionOf(t, exchange(codexAt(endpoint.origin, options)))).code;
}

t.test('a login without an account is account_missing', async (t) => {
  t.equal(await loginWith(t, { id_token: unsignedJwt({ sub: 'person' }) }), 'account_missing');
  t.equal(await loginWith(t, { id_token: unsignedJwt({ [auth]: { chatgpt_account_id: 7 } }) }), 'account_missing');
  t.equal(await loginWith(t, { id_token: 'not a jwt' }), 'account_missing');
  t.equal(await loginWith(t, { id_token: undefined }), 'account_missing');
  t.equal(await loginWith(t, { id_token: null }), 'account_missing');
});

t.test('a login to a workspace that is not allowed is workspace_restriction', async (t) => {
  t.equal(await loginWith(t, {}, { allowedWorkspaces: ['account-2', 'account-3'] }), 'workspace_restriction');
});

t.test('a login to an allowed workspace goes through', async (t) => {
  const endpoint = await scripted(t, { reply: strictCodex });
  const answer = await exchange(codexAt(endpoint.origin, { allowedWorkspaces: ['account-0', 'account-1'] }));
  t.equal(answer.account?.id, 'account-1');
});

t.test('a refresh whose id token cannot be read keeps its tokens', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, { ...tokens, id_token: 'x.y.z' }) });
  const answer = await codexAt(endpoint.origin).refresh('rt1', patient);
  t.match(answer, { accessToken: 'at2', refreshToken: 'rt2' });
  t.equal(answer.account, undefined);
});

t.test('a revocation is JSON, of the refresh token first, and names the client only beside it', async (t) => {
  const endpoint = await scripted(t, { reply: strictCodex });
  const provider = codexAt(endpoint.origin);
  await provider.revoke?.({ refreshToken: 'rt1', accessToken: 'at1' });
  await provider.revoke?.({ accessToken: 'at1' });
  await provider.revoke?.({});
  t.strictSame(
    endpoint.requests.map(({ body }) => JSON.parse(body) as unknown),
    [
      { token: 'rt1', token_type_hint: 'refresh_token', client_id: clientId },
      { token: 'at1', token_type_hint: 'access_token' },
    ],
  );
});

t.test('a revocation that fails says so without the token', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(500, { error: 'rt-SECRET' }) });
  const error = await rejectionOf(t, Promise.resolve(codexAt(endpoint.origin).revoke?.({ refreshToken: 'rt-SECRET' })));
  t.equal(error.code, 'token_endpoint_failing');
  holdsNone(t, error, ['rt-SECRET']);
});

t.test('a token URL over http beyond loopback is config_value_invalid', async (t) => {
  const options = { tokenUrl: 'http://idp.example/token' };
  t.throws(() => createCodexProvider(options, { clock: systemClock }), { code: 'config_value_invalid' });
  t.doesNotThrow(() => createCodexProvider({ ...options, allowHttp: true }, { clock: systemClock }));
});
