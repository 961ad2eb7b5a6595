// The `oidc` provider against the real oidc-provider: login, refresh, rotation, revocation, client credentials.
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createOidcProvider, type OidcOptions } from '../../src/providers/oidc.ts';
import type { AuthorizationCodeLogin, Provider, TokenAnswer } from '../../src/providers/provider.ts';
import { createRealOidc, type RealOidc, redirectUri } from './_oidc.ts';
import { patient } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';

const scope = 'openid email offline_access';
const secrets = ['cs-SECRET', 'ms-SECRET'];

function sidecarAt(issuer: string, options: Partial<OidcOptions> = {}): Provider & { login: AuthorizationCodeLogin } {
  const provider = createOidcProvider(
    { issuer, clientId: 'sidecar', clientSecret: 'cs-SECRET', scope, ...options },
    { clock: systemClock },
  );
  if (provider.login === undefined) throw new Error('a login is expected');
  return { ...provider, login: provider.login };
}

async function comeBack(oidc: RealOidc, provider: { login: AuthorizationCodeLogin }) {
  const request = { state: 'the-state', nonce: 'the-nonce', verifier: provider.login.newVerifier() };
  const parameters = await oidc.logIn(await provider.login.authorizationUrl(request));
  return { ...request, parameters };
}

async function logIn(oidc: RealOidc, provider: { login: AuthorizationCodeLogin }): Promise<TokenAnswer> {
  return provider.login.exchange(await comeBack(oidc, provider));
}

t.test(
  'a login gives tokens and the account; the refresh token rotates; its reuse ends the grant: grant_rejected',
  async (t) => {
    const oidc = await createRealOidc(t);
    const provider = sidecarAt(oidc.issuer);
    t.strictSame(oidc.requests, [], 'nothing is asked before it is needed');

    const first = await logIn(oidc, provider);
    t.strictSame(first.account, { issuer: oidc.issuer, id: 'person', email: 'person@example.org' });
    t.equal(first.expiresAtMs, first.obtainedAtMs + 60_000);
    t.strictSame(first.warnings, []);
    t.type(first.refreshToken, 'string');

    const second = await provider.refresh(first.refreshToken ?? '', patient);
    t.strictSame(second.account, first.account);
    t.type(second.accessToken, 'string');
    t.not(second.accessToken, first.accessToken);
    t.not(second.refreshToken, first.refreshToken);
    t.strictSame(second.warnings, []);

    const spent = first.refreshToken ?? '';
    const reused = await rejectionOf(t, provider.refresh(spent, patient));
    t.equal(reused.code, 'grant_rejected');
    t.match(reused.details, { status: 400, providerCode: 'invalid_grant' });
    holdsNone(t, reused, [...secrets, spent]);
    t.equal(oidc.requests.filter((line) => line.includes('.well-known')).length, 1, 'discovery is read once');
    t.equal(oidc.requests.filter((line) => line === 'GET /jwks').length, 1, 'the keys are read once');
  },
);

t.test('a revoked refresh token is grant_rejected', async (t) => {
  const oidc = await createRealOidc(t);
  const provider = sidecarAt(oidc.issuer);
  const { refreshToken = '' } = await logIn(oidc, provider);
  await provider.revoke?.({ refreshToken });
  t.equal((await rejectionOf(t, provider.refresh(refreshToken, patient))).code, 'grant_rejected');
});

t.test('offline_access asks for consent, unless the configuration says otherwise', async (t) => {
  const oidc = await createRealOidc(t);
  const request = { state: 's', nonce: 'n', verifier: 'v'.repeat(43) };
  const promptOf = async (options: Partial<OidcOptions>): Promise<string | null> =>
    (await sidecarAt(oidc.issuer, options).login.authorizationUrl(request)).searchParams.get('prompt');
  t.equal(await promptOf({}), 'consent');
  t.equal(await promptOf({ scope: undefined }), 'consent');
  t.equal(await promptOf({ authorizeParams: { prompt: 'login consent' } }), 'login consent');
  t.equal(await promptOf({ authorizeParams: { prompt: '' } }), null);
  t.equal(await promptOf({ scope: 'openid' }), null);
});

t.test('a login without offline_access yields no refresh token', async (t) => {
  const oidc = await createRealOidc(t);
  const answer = await logIn(oidc, sidecarAt(oidc.issuer, { scope: 'openid email' }));
  t.type(answer.accessToken, 'string');
  t.equal(answer.refreshToken, undefined);
});

t.test('a person who refuses is authorize_denied', async (t) => {
  const oidc = await createRealOidc(t);
  const { login } = sidecarAt(oidc.issuer);
  const request = { state: 's', nonce: 'n', verifier: login.newVerifier() };
  const parameters = await oidc.logIn(await login.authorizationUrl(request), 'refuse');
  t.equal((await rejectionOf(t, login.exchange({ ...request, parameters }))).code, 'authorize_denied');
});

t.test('a code is good for one exchange: code_rejected', async (t) => {
  const oidc = await createRealOidc(t);
  const provider = sidecarAt(oidc.issuer);
  const answer = await comeBack(oidc, provider);
  await provider.login.exchange(answer);
  const error = await rejectionOf(t, provider.login.exchange(answer));
  t.equal(error.code, 'code_rejected');
  holdsNone(t, error, [...secrets, answer.parameters.get('code') ?? '', answer.verifier]);
});

t.test('another verifier is code_rejected', async (t) => {
  const oidc = await createRealOidc(t);
  const provider = sidecarAt(oidc.issuer);
  const answer = { ...(await comeBack(oidc, provider)), verifier: provider.login.newVerifier() };
  t.equal((await rejectionOf(t, provider.login.exchange(answer))).code, 'code_rejected');
});

t.test('another nonce is id_token_invalid', async (t) => {
  const oidc = await createRealOidc(t);
  const provider = sidecarAt(oidc.issuer);
  const answer = { ...(await comeBack(oidc, provider)), nonce: 'another' };
  const error = await rejectionOf(t, provider.login.exchange(answer));
  t.equal(error.code, 'id_token_invalid');
  t.match(error.details.reason, /nonce/);
});

t.test(
  'a callback of another issuer, of two, or of none is callback_issuer_mismatch, and the code is not sent',
  async (t) => {
    const oidc = await createRealOidc(t);
    const provider = sidecarAt(oidc.issuer);
    const answer = await comeBack(oidc, provider);
    t.equal(answer.parameters.get('iss'), oidc.issuer);
    for (const named of [['https://evil.example'], [], [oidc.issuer, 'https://evil.example'], [`${oidc.issuer}/`]]) {
      const parameters = new URLSearchParams({ code: answer.parameters.get('code') ?? '' });
      for (const iss of named) parameters.append('iss', iss);
      const error = await rejectionOf(t, provider.login.exchange({ ...answer, parameters }));
      t.equal(error.code, 'callback_issuer_mismatch');
    }
    t.notOk(oidc.requests.includes('POST /token'));
  },
);

t.test('a wrong client secret is client_rejected in a refresh and exchange_failed in a login', async (t) => {
  const oidc = await createRealOidc(t);
  const { refreshToken = '' } = await logIn(oidc, sidecarAt(oidc.issuer));
  const wrong = sidecarAt(oidc.issuer, { clientSecret: 'wrong-SECRET' });
  const refused = await rejectionOf(t, wrong.refresh(refreshToken, patient));
  t.equal(refused.code, 'client_rejected');
  t.equal(refused.details.providerCode, 'invalid_client');
  const failed = await rejectionOf(t, wrong.login.exchange(await comeBack(oidc, wrong)));
  t.equal(failed.code, 'exchange_failed');
  for (const error of [refused, failed]) holdsNone(t, error, [...secrets, 'wrong-SECRET', refreshToken]);
});

t.test('client_credentials obtains a token without a person, and again', async (t) => {
  const oidc = await createRealOidc(t);
  const provider = createOidcProvider(
    {
      issuer: oidc.issuer,
      clientId: 'machine',
      clientSecret: 'ms-SECRET',
      grant: 'client_credentials',
      scope: 'api:read',
    },
    { clock: systemClock },
  );
  t.equal(provider.login, undefined);
  const first = await provider.obtain(patient);
  const second = await provider.obtain(patient);
  t.type(first.accessToken, 'string');
  t.not(second.accessToken, first.accessToken);
  t.equal(first.refreshToken, undefined);
});

t.test('a scope that the client may not have is client_rejected', async (t) => {
  const oidc = await createRealOidc(t);
  const provider = createOidcProvider(
    {
      issuer: oidc.issuer,
      clientId: 'machine',
      clientSecret: 'ms-SECRET',
      grant: 'client_credentials',
      scope: 'email',
    },
    { clock: systemClock },
  );
  const error = await rejectionOf(t, provider.obtain(patient));
  t.equal(error.code, 'client_rejected');
  t.equal(error.details.providerCode, 'invalid_scope');
  holdsNone(t, error, secrets);
});

t.test(
  'a provider that is down is provider_unreachable to a login, token_endpoint_unreachable to a refresh, until it is back',
  async (t) => {
    const oidc = await createRealOidc(t);
    const provider = sidecarAt(oidc.issuer);
    const request = { state: 's', nonce: 'n', verifier: 'v'.repeat(43) };
    await oidc.close();
    const login = await rejectionOf(t, provider.login.authorizationUrl(request));
    const refresh = await rejectionOf(t, provider.refresh('rt-SECRET', patient));
    t.equal(login.code, 'provider_unreachable');
    t.equal(refresh.code, 'token_endpoint_unreachable');
    for (const error of [login, refresh]) {
      t.equal(error.details.systemCode, 'ECONNREFUSED');
      holdsNone(t, error, [...secrets, 'rt-SECRET']);
    }
    await oidc.open();
    t.equal((await provider.login.authorizationUrl(request)).searchParams.get('redirect_uri'), redirectUri);
    t.equal((await rejectionOf(t, provider.refresh('rt-SECRET', patient))).code, 'grant_rejected');
  },
);
