// A provider whose documents and id tokens a test writes: what discovery and the id token's checks let through.
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import t, { type Test } from 'tap';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { createOidcProvider, type OidcOptions } from '../../src/providers/oidc.ts';
import type { AuthorizationCodeLogin, Provider } from '../../src/providers/provider.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { patient, scripted, unsignedJwt } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, jsonOf, type Reply, type ScriptedEndpoint } from './_scripted-endpoint.ts';

const { privateKey, publicKey } = await generateKeyPair('RS256');
const stranger = await generateKeyPair('RS256');
const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', use: 'sig' }] };
const now = (): number => Math.floor(Date.now() / 1_000);

interface Setting {
  /** Over the discovery document; undefined takes a field out. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly discovery?: (origin: string) => Reply;
  readonly jwks?: Reply;
  readonly idToken?: (issuer: string) => Promise<unknown> | unknown;
  readonly answer?: Readonly<Record<string, unknown>>;
  readonly options?: Partial<OidcOptions>;
  readonly clock?: Clock;
}

interface Play {
  readonly endpoint: ScriptedEndpoint;
  readonly provider: Provider & { readonly login: AuthorizationCodeLogin };
  exchange(): ReturnType<AuthorizationCodeLogin['exchange']>;
}

async function play(t: Test, setting: Setting = {}): Promise<Play> {
  let idToken: unknown;
  const endpoint = await scripted(t, {
    reply({ target }) {
      if (target.startsWith('/.well-known/')) return setting.discovery?.(endpoint.origin) ?? metadata();
      if (target === '/jwks') return setting.jwks ?? jsonOf(200, jwks);
      return jsonOf(200, {
        access_token: 'at',
        expires_in: null,
        refresh_token: 'rt',
        id_token: idToken,
        ...setting.answer,
      });
    },
  });
  const metadata = (): Reply =>
    jsonOf(200, {
      issuer: endpoint.origin,
      authorization_endpoint: `${endpoint.origin}/authorize`,
      token_endpoint: `${endpoint.origin}/token`,
      jwks_uri: `${endpoint.origin}/jwks`,
      ...setting.metadata,
    });
  idToken = await (setting.idToken === undefined
    ? signed(claimsOf(endpoint.origin))
    : setting.idToken(endpoint.origin));
  const provider = createOidcProvider(
    { issuer: endpoint.origin, clientId: 'client', ...setting.options },
    { clock: setting.clock ?? systemClock },
  );
  const { login } = provider;
  if (login === undefined) throw new Error('a login is expected');
  return {
    endpoint,
    provider: { ...provider, login },
    exchange: () =>
      login.exchange({
        state: 's',
        nonce: 'the-nonce',
        verifier: login.newVerifier(),
        parameters: new URLSearchParams({ code: 'c' }),
      }),
  };
}

function claimsOf(iss: string): JWTPayload {
  return { iss, aud: 'client', sub: 'person', nonce: 'the-nonce', iat: now(), exp: now() + 600, email: 'p@x.example' };
}

function signed(claims: JWTPayload, key = privateKey, header: object = { kid: 'k1' }): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', ...header }).sign(key);
}

const without = (claims: JWTPayload, name: string): JWTPayload => ({ ...claims, [name]: undefined });

// --- id token -----------------------------------------------------------------------------------------------------

t.test('a login with a good id token goes through, however odd the rest of the answer', async (t) => {
  const { exchange } = await play(t, { answer: { token_type: undefined, scope: ['openid'] } });
  const answer = await exchange();
  t.match(answer, { accessToken: 'at', refreshToken: 'rt', account: { id: 'person', email: 'p@x.example' } });
  t.strictSame(answer.warnings.map(({ field }) => field).sort(), ['expires_in', 'scope']);
});

t.test('an id token for several audiences that names us as its party goes through', async (t) => {
  const { exchange } = await play(t, {
    idToken: (iss) => signed({ ...claimsOf(iss), aud: ['client', 'other'], azp: 'client' }),
  });
  t.equal((await exchange()).account?.id, 'person');
});

const forged: readonly (readonly [string, NonNullable<Setting['idToken']>, RegExp])[] = [
  ['no id token', () => undefined, /holds none/],
  ['null for one', () => null, /holds none/],
  ['text for one', () => 'SECRET text', /malformed/],
  ['an encrypted one', () => 'a.b.c.d.e', /not supported/],
  ['another issuer', (iss) => signed({ ...claimsOf(iss), iss: 'https://evil.example' }), /issuer/],
  ['another audience', (iss) => signed({ ...claimsOf(iss), aud: 'other' }), /another client/],
  ['an audience too many', (iss) => signed({ ...claimsOf(iss), aud: ['client', 'other'] }), /another client/],
  ['another party', (iss) => signed({ ...claimsOf(iss), aud: ['client', 'o'], azp: 'o' }), /another client/],
  ['another nonce', (iss) => signed({ ...claimsOf(iss), nonce: 'SECRET' }), /nonce/],
  ['no nonce', (iss) => signed(without(claimsOf(iss), 'nonce')), /malformed|nonce/],
  ['no subject', (iss) => signed(without(claimsOf(iss), 'sub')), /malformed/],
  ['its life behind it', (iss) => signed({ ...claimsOf(iss), exp: now() - 60 }), /expired/],
  ['its life before it', (iss) => signed({ ...claimsOf(iss), nbf: now() + 600 }), /expired or is not valid yet/],
  ["a stranger's signature", (iss) => signed(claimsOf(iss), stranger.privateKey), /signature/],
  ['an unknown key', (iss) => signed(claimsOf(iss), privateKey, { kid: 'k2' }), /no key/],
  ['a signature of no worth', (iss) => unsignedJwt(claimsOf(iss)), /no key|signature/],
  [
    'no signature',
    (iss) => `${btoa('{"alg":"none"}')}.${Buffer.from(JSON.stringify(claimsOf(iss))).toString('base64url')}.`,
    /malformed/,
  ],
];

for (const [title, idToken, reason] of forged) {
  t.test(`a login whose answer has ${title} is id_token_invalid`, async (t) => {
    const { exchange } = await play(t, { idToken });
    const error = await rejectionOf(t, exchange());
    t.equal(error.code, 'id_token_invalid');
    t.match(error.details.reason, reason);
    holdsNone(t, error, ['SECRET', 'the-nonce', 'p@x.example', 'evil.example']);
  });
}

t.test("the id token is judged by the clock that is passed in, not by the machine's", async (t) => {
  const { exchange } = await play(t, { clock: createFakeClock(Date.now() + 3_600_000) });
  t.equal((await rejectionOf(t, exchange())).code, 'id_token_invalid');
});

const keys: readonly (readonly [string, Reply, ErrorCode])[] = [
  ['that answer 503', answerOf(503, ''), 'provider_unreachable'],
  ['that answer 404', answerOf(404, ''), 'provider_metadata_invalid'],
  ['that never answer', { end: 'reset' }, 'provider_unreachable'],
  ['that are HTML', answerOf(200, '<h1>'), 'id_token_invalid'],
];

for (const [title, reply, code] of keys) {
  t.test(`a login with keys ${title} is ${code}`, async (t) => {
    const { exchange } = await play(t, { jwks: reply });
    t.equal((await rejectionOf(t, exchange())).code, code);
  });
}

// --- refresh ------------------------------------------------------------------------------------------------------

const refreshed: readonly (readonly [string, NonNullable<Setting['idToken']>])[] = [
  ['of another issuer', (iss) => signed({ ...claimsOf(iss), iss: 'https://evil.example' })],
  ['for another audience', (iss) => signed({ ...claimsOf(iss), aud: ['other'] })],
  ['without a subject', (iss) => signed(without(claimsOf(iss), 'sub'))],
  ['that is no JWT', () => 'x'],
  ['that is null', () => null],
  ['that is a number', () => 7],
];

for (const [title, idToken] of refreshed) {
  t.test(`a refresh with an id token ${title} keeps its tokens and warns: token_answer_odd`, async (t) => {
    const { provider } = await play(t, { idToken, answer: { expires_in: 60 } });
    const answer = await provider.refresh('rt0', patient);
    t.match(answer, { accessToken: 'at', refreshToken: 'rt' });
    t.equal(answer.account, undefined);
    t.equal(answer.idToken, undefined);
    t.strictSame(answer.warnings, [{ code: 'token_answer_odd', field: 'id_token' }]);
  });
}

t.test('a refresh with an id token that has expired takes its claims, and never asks for keys', async (t) => {
  const { provider, endpoint } = await play(t, {
    idToken: (iss) => signed({ ...claimsOf(iss), exp: 1 }),
    jwks: { end: 'reset' },
  });
  const answer = await provider.refresh('rt0', patient);
  t.equal(answer.account?.email, 'p@x.example');
  t.strictSame(
    endpoint.requests.map(({ target }) => target),
    ['/.well-known/openid-configuration', '/token'],
  );
});

// --- discovery ----------------------------------------------------------------------------------------------------

const documents: readonly (readonly [string, Setting, ErrorCode])[] = [
  ['another issuer', { metadata: { issuer: 'https://evil.example' } }, 'provider_metadata_invalid'],
  ['no issuer', { metadata: { issuer: undefined } }, 'provider_metadata_invalid'],
  ['an issuer that is no URL', { metadata: { issuer: 'idp' } }, 'provider_metadata_invalid'],
  ['no token endpoint', { metadata: { token_endpoint: undefined } }, 'provider_metadata_invalid'],
  ['no authorization endpoint', { metadata: { authorization_endpoint: undefined } }, 'provider_metadata_invalid'],
  ['no keys', { metadata: { jwks_uri: undefined } }, 'provider_metadata_invalid'],
  [
    'a token endpoint in the clear',
    { metadata: { token_endpoint: 'http://idp.example/t' } },
    'provider_metadata_invalid',
  ],
  ['keys in the clear', { metadata: { jwks_uri: 'http://idp.example/k' } }, 'provider_metadata_invalid'],
  ['a revocation endpoint of an odd type', { metadata: { revocation_endpoint: 7 } }, 'provider_metadata_invalid'],
  ['HTML', { discovery: () => answerOf(200, '<h1>') }, 'provider_metadata_invalid'],
  ['an array', { discovery: () => answerOf(200, '[]') }, 'provider_metadata_invalid'],
  ['404', { discovery: () => answerOf(404, '') }, 'provider_metadata_invalid'],
  [
    'a redirect',
    { discovery: (origin) => answerOf(302, '', { location: `${origin}/jwks` }) },
    'provider_metadata_invalid',
  ],
  ['503', { discovery: () => answerOf(503, '') }, 'provider_unreachable'],
  ['429', { discovery: () => answerOf(429, '') }, 'provider_unreachable'],
  ['a reset', { discovery: () => ({ end: 'reset' }) }, 'provider_unreachable'],
];

for (const [title, setting, code] of documents) {
  t.test(
    `a discovery document with ${title} is ${code} before the browser leaves; to a refresh it is token_endpoint_unreachable`,
    async (t) => {
      const { provider, endpoint } = await play(t, setting);
      const request = { state: 's', nonce: 'n', verifier: 'v'.repeat(43) };
      t.equal((await rejectionOf(t, provider.login.authorizationUrl(request))).code, code);
      const error = await rejectionOf(t, provider.refresh('rt-SECRET', patient));
      t.equal(error.code, 'token_endpoint_unreachable');
      t.ok(error.details.reason ?? error.details.status);
      holdsNone(t, error, ['rt-SECRET']);
      t.notOk(endpoint.requests.some(({ target }) => target === '/token'));
      t.equal(endpoint.requests.length, 2, 'it is read again at the next use');
    },
  );
}

t.test('endpoints of the configuration win over those of the document', async (t) => {
  const { provider } = await play(t, {
    options: { authorizeUrl: 'https://login.example/authorize', tokenUrl: 'https://t.example/t' },
  });
  const url = await provider.login.authorizationUrl({ state: 's', nonce: 'n', verifier: 'v'.repeat(43) });
  t.equal(url.host, 'login.example');
  t.equal(provider.endpoint, 'https://t.example/t');
  t.equal(provider.bound.tokenUrl, 'https://t.example/t');
});

t.test('calls that need the document at once read it once', async (t) => {
  const { provider, endpoint } = await play(t);
  await Promise.all([1, 2, 3].map(() => provider.refresh('rt0', patient)));
  t.equal(endpoint.requests.filter(({ target }) => target.startsWith('/.well-known/')).length, 1);
});

t.test('discovery gets no longer than the attempt', async (t) => {
  const clock = createFakeClock();
  const { provider, endpoint } = await play(t, { discovery: () => ({ end: 'silence' }), clock });
  const refreshing = rejectionOf(t, provider.refresh('rt0', { timeoutMs: 4_000, mayBegin: () => true }));
  await endpoint.seen(1);
  await clock.advance(4_000);
  t.equal((await refreshing).code, 'token_endpoint_unreachable');
});

t.test('the time that discovery took is not there for the token request any more', async (t) => {
  const delaysMs: number[] = [];
  const { provider, endpoint } = await play(t, {
    clock: {
      ...systemClock,
      monotonicMs: () => (endpoint.requests.length === 0 ? 0 : 3_000),
      after(delayMs, fire) {
        delaysMs.push(delayMs);
        return systemClock.after(delayMs, fire);
      },
    },
  });
  await provider.refresh('rt0', { timeoutMs: 4_000, mayBegin: () => true });
  t.strictSame(delaysMs, [4_000, 1_000]);
});

t.test('the nonce is sent with the authorize URL', async (t) => {
  const { provider } = await play(t);
  const url = await provider.login.authorizationUrl({ state: 's', nonce: 'the-nonce', verifier: 'v'.repeat(43) });
  t.equal(url.searchParams.get('nonce'), 'the-nonce');
});

t.test('where the document names no revocation endpoint, revoking does nothing', async (t) => {
  const { provider, endpoint } = await play(t);
  await provider.revoke?.({ refreshToken: 'rt' });
  t.equal(endpoint.requests.length, 1);
});

t.test('a login scope without openid, and an issuer in the clear, are config_value_invalid', async (t) => {
  const make = (options: Partial<OidcOptions>) => (): Provider =>
    createOidcProvider({ issuer: 'https://idp.example', clientId: 'client', ...options }, { clock: systemClock });
  t.throws(make({ scope: 'email openidx' }), { code: 'config_value_invalid', details: { setting: 'scope' } });
  t.throws(make({ issuer: 'http://idp.example' }), { code: 'config_value_invalid', details: { setting: 'issuer' } });
  t.throws(make({ issuer: '' }), { code: 'config_value_missing', details: { setting: 'issuer' } });
  t.doesNotThrow(make({ scope: 'api', grant: 'client_credentials', clientSecret: 's' }));
});
