import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import {
  createDemoProvider,
  type DemoProvider,
  type DemoProviderOptions,
  demoClient,
  demoMachine,
} from '../../demo/provider.ts';
import { clickThrough, createBrowser } from './_login.ts';

const redirectUri = 'http://localhost:1455/oauth/callback';
const verifier = 'v'.repeat(43);

interface TokenResponse {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

async function startProvider(t: Test, more: Partial<DemoProviderOptions> = {}): Promise<DemoProvider> {
  const provider = await createDemoProvider({ port: 0, accessTokenSeconds: 60, ...more });
  t.teardown(() => provider.close());
  return provider;
}

function authorizationUrl({ issuer }: DemoProvider): URL {
  return new URL(
    `/auth?${new URLSearchParams({
      client_id: demoClient.id,
      response_type: 'code',
      redirect_uri: redirectUri,
      scope: 'openid profile email offline_access',
      prompt: 'consent',
      state: 'st',
      nonce: 'no',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    })}`,
    issuer,
  );
}

async function requestToken(
  { issuer }: DemoProvider,
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<TokenResponse> {
  const response = await fetch(`${issuer}/token`, { method: 'POST', headers, body: new URLSearchParams(parameters) });
  const answer: Readonly<Record<string, unknown>> = JSON.parse(await response.text());
  return { status: response.status, body: answer };
}

async function logIn(provider: DemoProvider, browser = createBrowser()): Promise<TokenResponse> {
  const back = await clickThrough(browser, authorizationUrl(provider), 'continue');
  return requestToken(provider, {
    grant_type: 'authorization_code',
    client_id: demoClient.id,
    redirect_uri: redirectUri,
    code: back.searchParams.get('code') ?? '',
    code_verifier: verifier,
  });
}

function refresh(provider: DemoProvider, refreshToken: unknown): Promise<TokenResponse> {
  const refresh_token = String(refreshToken);
  return requestToken(provider, { grant_type: 'refresh_token', client_id: demoClient.id, refresh_token });
}

t.test(
  'a login is one click: it gives an active access token, a refresh token and an id token with the e-mail',
  async (t) => {
    const provider = await startProvider(t);
    const browser = createBrowser();
    const { status, body } = await logIn(provider, browser);
    t.equal(status, 200);
    t.equal(body['expires_in'], 60);
    t.ok(await provider.introspect(String(body['access_token'])));
    t.notOk(await provider.introspect('unknown'));
    t.type(body['refresh_token'], 'string');
    const claims = JSON.parse(Buffer.from(String(body['id_token']).split('.')[1] ?? '', 'base64url').toString());
    t.match(claims, { iss: provider.issuer, sub: demoClient.accountId, email: demoClient.email, nonce: 'no' });
    const again = await logIn(provider, browser);
    t.equal(again.status, 200, 'and again with the session that the browser now has');
  },
);

t.test('the page names who asks and who is asked, and has one button to go on', async (t) => {
  const provider = await startProvider(t);
  const browser = createBrowser();
  const first = await browser.send(authorizationUrl(provider).href);
  const page = await browser.send(new URL(first.headers.get('location') ?? '', provider.issuer).href);
  const html = await page.text();
  t.match(html, `Continue as ${demoClient.email}`);
  t.match(html, demoClient.id);
});

t.test('access_denied comes back where the user denies', async (t) => {
  const back = await clickThrough(createBrowser(), authorizationUrl(await startProvider(t)), 'deny');
  t.equal(back.searchParams.get('error'), 'access_denied');
  t.equal(back.searchParams.get('state'), 'st');
});

t.test('a refresh rotates the refresh token; using the old one again kills the family', async (t) => {
  const provider = await startProvider(t);
  const first = (await logIn(provider)).body;
  const second = await refresh(provider, first['refresh_token']);
  t.equal(second.status, 200);
  t.not(second.body['refresh_token'], first['refresh_token']);
  t.ok(await provider.introspect(String(second.body['access_token'])));

  const reused = await refresh(provider, first['refresh_token']);
  t.strictSame([reused.status, reused.body['error']], [400, 'invalid_grant']);
  const child = await refresh(provider, second.body['refresh_token']);
  t.strictSame([child.status, child.body['error']], [400, 'invalid_grant'], 'the living one is gone, too');
  t.notOk(await provider.introspect(String(second.body['access_token'])), 'and its access token');
  t.strictSame(provider.counts.tokenRequests, { authorization_code: 1, refresh_token: 3 });
});

t.test('a revoked access token leaves the grant alive; a revoked grant takes everything', async (t) => {
  const provider = await startProvider(t);
  const first = (await logIn(provider)).body;
  await provider.revokeAccessToken(String(first['access_token']));
  t.notOk(await provider.introspect(String(first['access_token'])));
  const second = (await refresh(provider, first['refresh_token'])).body;
  provider.revokeAccessTokens();
  t.notOk(await provider.introspect(String(second['access_token'])));
  const third = (await refresh(provider, second['refresh_token'])).body;
  t.ok(await provider.introspect(String(third['access_token'])));
  provider.revokeGrants();
  t.notOk(await provider.introspect(String(third['access_token'])));
  t.match(await refresh(provider, third['refresh_token']), { status: 400, body: { error: 'invalid_grant' } });
});

t.test('after a stop connections are refused, after a start on the same port the grant is still alive', async (t) => {
  const provider = await startProvider(t);
  const { body } = await logIn(provider);
  await provider.stop();
  await t.rejects(refresh(provider, body['refresh_token']), 'the connection that was kept is cut');
  await t.rejects(refresh(provider, body['refresh_token']), { cause: { code: 'ECONNREFUSED' } });
  await provider.start();
  t.equal((await refresh(provider, body['refresh_token'])).status, 200);
});

t.test('hooks answer in place of the endpoint before anything is spent, or lose the answer afterwards', async (t) => {
  const provider = await startProvider(t);
  const { body } = await logIn(provider);
  provider.hooks.beforeToken = ({ grantType, number }) =>
    grantType === 'refresh_token' && number === 1
      ? { status: 503, headers: { 'retry-after': '7' }, body: { error: 'busy' } }
      : undefined;
  t.match(await refresh(provider, body['refresh_token']), { status: 503, body: { error: 'busy' } });
  provider.hooks.afterToken = ({ status }) => (status === 200 ? 'drop' : undefined);
  await t.rejects(refresh(provider, body['refresh_token']), TypeError);
  delete provider.hooks.afterToken;
  t.match(await refresh(provider, body['refresh_token']), { status: 400 }, 'it had been spent');
  t.equal(provider.counts.tokenRequests['refresh_token'], 3, 'each call is counted');
});

t.test('client_credentials gives a token without anybody', async (t) => {
  const provider = await startProvider(t);
  const basic = Buffer.from(`${demoMachine.id}:${demoMachine.secret}`).toString('base64');
  const answer = await requestToken(
    provider,
    { grant_type: 'client_credentials' },
    { authorization: `Basic ${basic}` },
  );
  t.equal(answer.status, 200);
  t.ok(await provider.introspect(String(answer.body['access_token'])));
});

t.test('listen_port_busy names the variable that moves the port', async (t) => {
  const { issuer } = await startProvider(t);
  const port = Number(new URL(issuer).port);
  await t.rejects(startProvider(t, { port, portSetting: 'DEMO_PORT' }), {
    code: 'listen_port_busy',
    details: { setting: 'DEMO_PORT' },
  });
});

t.test('nothing is printed on the console', async (t) => {
  const printed = t.capture(console, 'info');
  const warned = t.capture(console, 'warn');
  const failed = t.capture(console, 'error');
  const provider = await startProvider(t);
  await refresh(provider, (await logIn(provider)).body['refresh_token']);
  await refresh(provider, 'nonsense');
  await fetch(`${provider.issuer}/interaction/none`);
  await fetch(`${provider.issuer}/auth?client_id=nobody`);
  t.strictSame([...printed(), ...warned(), ...failed()], []);
});
