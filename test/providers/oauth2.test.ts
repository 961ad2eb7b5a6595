import t from 'tap';
import { Agent, buildConnector } from 'undici';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import type { OAuth2Options } from '../../src/providers/oauth2.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { oauth2At, patient, scripted, unsignedJwt } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, createScriptedEndpoint, jsonOf, type Reply, type SeenRequest } from './_scripted-endpoint.ts';

const tokens = { access_token: 'at', token_type: 'Bearer', expires_in: 3600, refresh_token: 'rt2' };
const state = 'the-state';
const nonce = 'the-nonce';
const code = 'code-SECRET-0123456789';
const secrets = [code, 'cs-SECRET', 'rt-SECRET', 'DESCRIBED'];

function loginOf(provider: Provider): NonNullable<Provider['login']> {
  if (provider.login === undefined) throw new Error('a login is expected');
  return provider.login;
}

function exchange(
  provider: Provider,
  parameters: Record<string, string> = { code, state },
): ReturnType<Provider['obtain']> {
  const login = loginOf(provider);
  const verifier = login.newVerifier();
  return login.exchange({ state, nonce, verifier, parameters: new URLSearchParams(parameters) });
}

// --- refresh ------------------------------------------------------------------------------------------------------

const refreshForm = { grant_type: 'refresh_token', refresh_token: 'rt1' };
const authentications: readonly (readonly [string, Partial<OAuth2Options>, object, string | undefined])[] = [
  ['no secret', {}, { ...refreshForm, client_id: 'client' }, undefined],
  ['a secret', { clientSecret: 'cs' }, refreshForm, `Basic ${btoa('client:cs')}`],
  [
    'a secret of odd characters',
    { clientSecret: 'c:s %+é' },
    refreshForm,
    `Basic ${btoa('client:c%3As+%25%2B%C3%A9')}`,
  ],
  [
    'clientAuth post',
    { clientSecret: 'cs', clientAuth: 'post' },
    { ...refreshForm, client_id: 'client', client_secret: 'cs' },
    undefined,
  ],
  ['clientAuth none', { clientSecret: 'cs', clientAuth: 'none' }, { ...refreshForm, client_id: 'client' }, undefined],
  [
    'tokenParams',
    { tokenParams: { audience: 'https://api.example', grant_type: 'x', refresh_token: 'y', client_id: 'z' } },
    { ...refreshForm, client_id: 'client', audience: 'https://api.example' },
    undefined,
  ],
];

for (const [title, options, form, authorization] of authentications) {
  t.test(`a refresh with ${title} sends exactly its parameters`, async (t) => {
    const clock = createFakeClock();
    const endpoint = await scripted(t, { reply: () => jsonOf(200, tokens) });
    const answer = await oauth2At(endpoint.origin, options, { clock }).refresh('rt1', patient);
    t.strictSame(answer, {
      accessToken: 'at',
      refreshToken: 'rt2',
      expiresAtMs: clock.wallMs() + 3_600_000,
      obtainedAtMs: clock.wallMs(),
      warnings: [],
    });
    const [request] = endpoint.requests;
    t.strictSame(request?.form, form);
    t.match(request, { method: 'POST', target: '/token', headers: { accept: 'application/json' } });
    t.equal(request?.headers['authorization'], authorization);
  });
}

t.test('an id token that cannot be read costs a refresh nothing', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, { ...tokens, id_token: 'not a jwt' }) });
  const answer = await oauth2At(endpoint.origin).refresh('rt1', patient);
  t.match(answer, { accessToken: 'at', refreshToken: 'rt2' });
  t.equal(answer.account, undefined);
});

// --- client credentials -------------------------------------------------------------------------------------------

t.test('client_credentials sends scope and tokenParams, and has no login', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, tokens) });
  const provider = oauth2At(endpoint.origin, {
    grant: 'client_credentials',
    clientSecret: 'cs',
    tokenParams: { audience: 'https://api.example' },
    authorizeUrl: undefined,
  });
  t.equal(provider.login, undefined);
  t.match(await provider.obtain(patient), { accessToken: 'at' });
  t.strictSame(endpoint.requests[0]?.form, {
    grant_type: 'client_credentials',
    scope: 'read',
    audience: 'https://api.example',
  });
});

t.test('obtaining without a person is grant_absent where the grant needs one, and nothing is sent', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, tokens) });
  for (const grant of ['authorization_code', 'refresh_token'] as const) {
    t.equal((await rejectionOf(t, oauth2At(endpoint.origin, { grant }).obtain(patient))).code, 'grant_absent');
  }
  t.equal(endpoint.connections, 0);
});

// --- authorize ----------------------------------------------------------------------------------------------------

t.test(
  'the authorize URL carries PKCE and state, keeps its own query, and no setting replaces the protocol',
  async (t) => {
    const provider = oauth2At('http://127.0.0.1:9', {
      authorizeUrl: 'https://idp.example/authorize?policy=p1',
      redirectUri: 'http://localhost:1455/oauth/callback',
      authorizeParams: { prompt: 'login', state: 'theirs', code_challenge_method: 'plain', empty: '' },
    });
    const url = await loginOf(provider).authorizationUrl({
      state,
      nonce,
      verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
    });
    t.equal(`${url.origin}${url.pathname}`, 'https://idp.example/authorize');
    t.strictSame(Object.fromEntries(url.searchParams), {
      policy: 'p1',
      response_type: 'code',
      client_id: 'client',
      redirect_uri: 'http://localhost:1455/oauth/callback',
      scope: 'read',
      state,
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
      prompt: 'login',
    });
  },
);

t.test('a verifier is 128 characters, and another one each time', async (t) => {
  const login = loginOf(oauth2At('http://127.0.0.1:9'));
  const verifiers = new Set(Array.from({ length: 50 }, () => login.newVerifier()));
  t.equal(verifiers.size, 50);
  for (const verifier of verifiers) t.match(verifier, /^[\w-]{128}$/);
});

// --- exchange -----------------------------------------------------------------------------------------------------

t.test('an exchange sends exactly its parameters and tells the account', async (t) => {
  const id_token = unsignedJwt({ sub: 'person', iss: 'https://idp.example', email: 'p@example.org', aud: ['x'] });
  const endpoint = await scripted(t, { reply: () => jsonOf(201, { ...tokens, token_type: undefined, id_token }) });
  const provider = oauth2At(endpoint.origin, { tokenParams: { resource: 'https://api.example', code: 'theirs' } });
  const login = loginOf(provider);
  const verifier = login.newVerifier();
  const parameters = new URLSearchParams({ code, state, iss: 'https://whoever.example', session_state: 'x' });
  const answer = await login.exchange({ state, nonce, verifier, parameters });
  t.strictSame(endpoint.requests[0]?.form, {
    grant_type: 'authorization_code',
    client_id: 'client',
    code,
    redirect_uri: 'http://localhost:1455/oauth/callback',
    code_verifier: verifier,
    resource: 'https://api.example',
  });
  t.match(answer, { accessToken: 'at', refreshToken: 'rt2', idToken: id_token });
  t.strictSame(answer.account, { id: 'person', issuer: 'https://idp.example', email: 'p@example.org' });
});

const described = { error_description: `DESCRIBED ${code}` };
const exchangeRows: readonly (readonly [string, Reply, ErrorCode, object])[] = [
  ['400 invalid_grant', jsonOf(400, { error: 'invalid_grant', ...described }), 'code_rejected', { status: 400 }],
  [
    '400 invalid_request',
    jsonOf(400, { error: 'invalid_request' }),
    'exchange_failed',
    { providerCode: 'invalid_request' },
  ],
  [
    '401 invalid_client',
    jsonOf(401, { error: 'invalid_client' }),
    'exchange_failed',
    { providerCode: 'invalid_client' },
  ],
  ['403', answerOf(403, `DESCRIBED ${code}`), 'exchange_failed', { status: 403 }],
  [
    '403 unsupported_country_region_territory',
    jsonOf(403, { error: { code: 'unsupported_country_region_territory' } }),
    'exchange_failed',
    { reason: /country/ },
  ],
  ['a redirect', answerOf(302, '', { location: 'http://127.0.0.1:9/' }), 'exchange_failed', { reason: /redirects/ }],
  ['429', answerOf(429, '', { 'retry-after': '3' }), 'exchange_busy', { retryAfterMs: 3_000 }],
  ['408', answerOf(408, ''), 'exchange_busy', { status: 408 }],
  ['500', answerOf(500, `DESCRIBED ${code}`), 'exchange_busy', { status: 500 }],
  ['200 with nothing', answerOf(200, ''), 'exchange_malformed', { status: 200 }],
  ['200 with HTML', answerOf(200, '<h1>DESCRIBED</h1>'), 'exchange_malformed', {}],
  ['a refresh token alone', jsonOf(200, { refresh_token: 'rt-SECRET' }), 'exchange_malformed', {}],
  ['an access token of two words', jsonOf(200, { access_token: 'DESCRIBED two' }), 'access_token_malformed', {}],
  [
    'an access token of two words and a refresh token',
    jsonOf(200, { access_token: 'DESCRIBED two', refresh_token: 'rt-SECRET' }),
    'access_token_malformed',
    {},
  ],
  ['a reset', { end: 'reset' }, 'exchange_no_answer', {}],
  ['a code that repeats ours', jsonOf(400, { error: code }), 'exchange_failed', { providerCode: undefined }],
];

for (const [title, reply, expected, details] of exchangeRows) {
  t.test(`an exchange answered with ${title} is ${expected}, and the code is not sent again`, async (t) => {
    const endpoint = await scripted(t, { reply: () => reply });
    const error = await rejectionOf(t, exchange(oauth2At(endpoint.origin, { clientSecret: 'cs-SECRET' })));
    t.equal(error.code, expected);
    t.match(error.details, details);
    holdsNone(t, error, secrets);
    t.equal(endpoint.connections, 1);
  });
}

t.test('an exchange that gets no answer within 30 s is exchange_no_answer', async (t) => {
  const clock = createFakeClock();
  const endpoint = await scripted(t, { reply: () => ({ end: 'silence' }) });
  const exchanging = rejectionOf(t, exchange(oauth2At(endpoint.origin, {}, { clock })));
  await endpoint.seen(1);
  await clock.advance(30_000);
  t.equal((await exchanging).code, 'exchange_no_answer');
});

/** Refuses the first connections as a network does, then lets them through. */
function failingDials(count: number): { dispatcher: Agent; dials: () => number } {
  const dial = buildConnector({});
  let dials = 0;
  const connect: buildConnector.connector = (options, done) => {
    dials += 1;
    if (dials > count) return dial(options, done);
    done(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }), null);
  };
  return { dispatcher: new Agent({ connect }), dials: () => dials };
}

t.test('an exchange whose connection was never made is tried once more', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, tokens) });
  const { dispatcher, dials } = failingDials(1);
  t.teardown(() => dispatcher.destroy());
  t.match(await exchange(oauth2At(endpoint.origin, {}, { dispatcher })), { accessToken: 'at' });
  t.equal(dials(), 2);
  t.equal(endpoint.requests.length, 1);
});

t.test('an exchange that cannot be connected twice is exchange_unreachable', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, tokens) });
  const { dispatcher, dials } = failingDials(9);
  t.teardown(() => dispatcher.destroy());
  const error = await rejectionOf(t, exchange(oauth2At(endpoint.origin, {}, { dispatcher })));
  t.equal(error.code, 'exchange_unreachable');
  t.equal(error.details.systemCode, 'ECONNREFUSED');
  holdsNone(t, error, secrets);
  t.equal(dials(), 2);
});

const callbacks: readonly (readonly [string, string, ErrorCode])[] = [
  ['error=access_denied', 'error=access_denied&code=c', 'authorize_denied'],
  ['error=server_error', 'error=server_error', 'authorize_failed'],
  ['no code', 'state=s', 'code_missing'],
  ['an empty code', 'code=', 'code_missing'],
  ['two codes', 'code=a&code=b', 'code_missing'],
];

for (const [title, query, expected] of callbacks) {
  t.test(`a callback with ${title} is ${expected}, and nothing is sent`, async (t) => {
    const endpoint = await scripted(t, { reply: () => jsonOf(200, tokens) });
    const login = loginOf(oauth2At(endpoint.origin));
    const answer = { state, nonce, verifier: login.newVerifier(), parameters: new URLSearchParams(query) };
    t.equal((await rejectionOf(t, login.exchange(answer))).code, expected);
    t.equal(endpoint.connections, 0);
  });
}

// --- revocation ---------------------------------------------------------------------------------------------------

t.test('a revocation names the refresh token first, by RFC 7009', async (t) => {
  const endpoint = await scripted(t, { reply: () => answerOf(200, '') });
  const provider = oauth2At(endpoint.origin, { revokeUrl: `${endpoint.origin}/revoke` });
  await provider.revoke?.({ refreshToken: 'rt1', accessToken: 'at1' });
  await provider.revoke?.({ accessToken: 'at1' });
  await provider.revoke?.({});
  const forms = endpoint.requests.map(({ target, form }: SeenRequest) => [target, form]);
  t.strictSame(forms, [
    ['/revoke', { client_id: 'client', token: 'rt1', token_type_hint: 'refresh_token' }],
    ['/revoke', { client_id: 'client', token: 'at1', token_type_hint: 'access_token' }],
  ]);
});

t.test('a revocation that is refused tells so without the token, and 10 s of silence end it', async (t) => {
  const clock = createFakeClock();
  const endpoint = await scripted(t, {
    reply: (_request, index) => (index === 0 ? jsonOf(400, { error: 'rt-SECRET' }) : { end: 'silence' }),
  });
  const provider = oauth2At(endpoint.origin, { revokeUrl: `${endpoint.origin}/revoke` }, { clock });
  const refused = await rejectionOf(t, Promise.resolve(provider.revoke?.({ refreshToken: 'rt-SECRET' })));
  t.equal(refused.code, 'token_endpoint_refused');
  holdsNone(t, refused, secrets);
  const silent = rejectionOf(t, Promise.resolve(provider.revoke?.({ refreshToken: 'rt-SECRET' })));
  await endpoint.seen(2);
  await clock.advance(10_000);
  t.equal((await silent).code, 'token_endpoint_no_answer');
});

t.test('without revokeUrl there is nothing to revoke with', async (t) => {
  t.equal(oauth2At('http://127.0.0.1:9').revoke, undefined);
});

// --- settings -----------------------------------------------------------------------------------------------------

const mistakes: readonly (readonly [string, Partial<OAuth2Options>, ErrorCode, string])[] = [
  ['plain http beyond loopback', { tokenUrl: 'http://idp.example/token' }, 'config_value_invalid', 'tokenUrl'],
  [
    'a host that only begins like loopback',
    { tokenUrl: 'http://127.0.0.1.example/' },
    'config_value_invalid',
    'tokenUrl',
  ],
  ['a password in a URL', { tokenUrl: 'https://a:b@idp.example/token' }, 'config_value_invalid', 'tokenUrl'],
  ['another scheme', { tokenUrl: 'ftp://idp.example/token' }, 'config_value_invalid', 'tokenUrl'],
  ['no URL', { tokenUrl: 'idp.example/token' }, 'config_value_invalid', 'tokenUrl'],
  ['an authorize URL over http', { authorizeUrl: 'http://idp.example/a' }, 'config_value_invalid', 'authorizeUrl'],
  ['a revoke URL over http', { revokeUrl: 'http://idp.example/a' }, 'config_value_invalid', 'revokeUrl'],
  ['no authorize URL for a login', { authorizeUrl: undefined }, 'config_value_missing', 'authorizeUrl'],
  ['no clientId', { clientId: '' }, 'config_value_missing', 'clientId'],
  ['clientAuth without a secret', { clientAuth: 'post' }, 'config_value_missing', 'clientSecret'],
];

for (const [title, options, expected, setting] of mistakes) {
  t.test(`${title} is ${expected} and names ${setting}`, async (t) => {
    t.throws(() => oauth2At('https://idp.example', options), { code: expected, details: { setting } });
  });
}

t.test('plain http serves on loopback, and elsewhere where allowHttp says so', async (t) => {
  for (const origin of ['http://localhost:1', 'http://127.9.9.9', 'http://[::1]:1', 'https://idp.example']) {
    t.equal(oauth2At(origin).endpoint, `${origin}/token`);
  }
  t.equal(oauth2At('http://idp.example', { allowHttp: true }).endpoint, 'http://idp.example/token');
});

t.test('a provider tells what a stored token is bound to', async (t) => {
  const provider = oauth2At('https://idp.example', { tokenUrl: 'https://idp.example/token?tenant=1' });
  t.match(provider, { kind: 'oauth2', grant: 'authorization_code', endpoint: 'https://idp.example/token' });
  t.strictSame(provider.bound, { tokenUrl: 'https://idp.example/token?tenant=1', clientId: 'client' });
  t.equal(provider.leadMs, undefined);
});

t.test('an endpoint that went away is token_endpoint_unreachable', async (t) => {
  const endpoint = await createScriptedEndpoint({});
  await endpoint.close();
  const error = await rejectionOf(t, oauth2At(endpoint.origin).refresh('rt-SECRET', patient));
  t.equal(error.code, 'token_endpoint_unreachable');
  holdsNone(t, error, secrets);
});
