// The provider's endpoints behind TLS of their own and behind an egress proxy that keeps every byte it is given: every
// call of a credential takes its way, and where there is none, nothing was sent.
import { generateKeyPairSync } from 'node:crypto';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createEndpointDispatcher } from '../../src/egress/connector.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { OAuth2Options } from '../../src/providers/oauth2.ts';
import { createOidcProvider } from '../../src/providers/oidc.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { type ConnectProxyScript, startConnectProxy } from '../egress/_connect-proxy.ts';
import { openWay, type WayChoice } from '../egress/_way.ts';
import { type Certificate, type Claims, createAuthority, createCertificate } from './_certificate.ts';
import { codexAt, oauth2At, patient, scripted, unsignedJwt } from './_providers.ts';
import { holdsNone } from './_rejections.ts';
import { jsonOf } from './_scripted-endpoint.ts';

const authority = createAuthority();
const here: Claims = { addresses: ['127.0.0.1'] };
const secrets = ['rt-SECRET', 'cs-SECRET', 'code-SECRET', 'at-SECRET', 'dc-SECRET', 'UC-SECRET', 'sub-SECRET'];
/** An answer to everything: tokens, and both kinds of a login on another device. */
const tokens = {
  ...{ access_token: 'at-SECRET', token_type: 'Bearer', expires_in: 3600, refresh_token: 'rt-SECRET-2' },
  ...{ device_code: 'dc-SECRET', user_code: 'UC-SECRET', verification_uri: 'https://idp.test/device' },
  ...{ device_auth_id: 'di-SECRET', authorization_code: 'code-SECRET', code_verifier: 'v-SECRET' },
};
const client = {
  clientSecret: 'cs-SECRET',
  revokeUrl: 'https://idp.test/revoke',
  deviceUrl: 'https://idp.test/device',
};
const authorization = {
  ...{ userCode: 'UC-SECRET', verificationUri: 'https://idp.test/device', deviceCode: 'dc-SECRET' },
  ...{ intervalMs: 5_000, lifeMs: 60_000 },
};
const everythingOk = { refresh: 'ok', exchange: 'ok', revoke: 'ok', deviceStart: 'ok', devicePoll: 'ok' };

async function partsOf(t: Test, choice: WayChoice) {
  const dispatcher = createEndpointDispatcher(await openWay(t, choice));
  t.teardown(() => dispatcher.destroy());
  return { clock: systemClock, dispatcher };
}

/** What each kind of call to a provider comes to: `ok`, or its error. */
async function callAll(provider: Provider): Promise<Record<string, 'ok' | SidebearerError>> {
  const exchange = (): Promise<unknown> => {
    const parameters = new URLSearchParams({ code: 'code-SECRET', state: 's' });
    return provider.login?.exchange({ state: 's', nonce: 'n', verifier: 'v'.repeat(64), parameters }) ?? fail();
  };
  const calls: Record<string, () => Promise<unknown>> = {
    refresh: () => provider.refresh('rt-SECRET', patient),
    exchange,
    revoke: () => provider.revoke?.({ refreshToken: 'rt-SECRET' }) ?? fail(),
    deviceStart: () => provider.device?.start() ?? fail(),
    async devicePoll() {
      const poll = await (provider.device?.poll(authorization) ?? fail());
      if (poll.kind === 'unanswered') throw poll.error;
    },
  };
  const ends: Record<string, 'ok' | SidebearerError> = {};
  for (const [name, call] of Object.entries(calls)) {
    ends[name] = await call().then(
      () => 'ok',
      (thrown) => (thrown instanceof SidebearerError ? thrown : fail()),
    );
  }
  return ends;
}

function fail(): never {
  throw new Error('another end was expected');
}

const refused: readonly (readonly [string, Certificate])[] = [
  ['an expired certificate', authority.issue({ ...here, until: '20010101000000Z' })],
  ['the certificate of another name', authority.issue({ names: ['idp.test'] })],
  ['a certificate of an unknown authority', createAuthority('another').issue(here)],
  ['a self-signed certificate', createCertificate()],
];

for (const [name, certificate] of refused) {
  t.test(
    `a token endpoint with ${name} is \`token_endpoint_unreachable\`, temporary, and no byte is sent`,
    async (t) => {
      const endpoint = await scripted(t, { certificate, reply: () => jsonOf(200, tokens) });
      const { origin } = endpoint;
      const provider = oauth2At(
        origin,
        { ...client, revokeUrl: `${origin}/revoke`, deviceUrl: `${origin}/device` },
        await partsOf(t, { ca: authority.cert }),
      );
      const ends = await callAll(provider);
      t.match(ends, {
        refresh: { code: 'token_endpoint_unreachable', details: { reason: 'its TLS certificate is not accepted' } },
        exchange: { code: 'exchange_unreachable' },
        revoke: { code: 'token_endpoint_unreachable' },
        deviceStart: { code: 'provider_unreachable' },
        devicePoll: { code: 'exchange_unreachable' },
      });
      for (const end of Object.values(ends)) t.match(end, { row: { outcome: 'temporary' } });
      t.equal(endpoint.bytesReceived, 0);
    },
  );
}

t.test('a variable of the environment that switches verification off is not heard', async (t) => {
  const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  t.teardown(() => {
    if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
  });
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  const endpoint = await scripted(t, { certificate: createCertificate(), reply: () => jsonOf(200, tokens) });
  const { origin } = endpoint;
  for (const parts of [{ clock: systemClock }, await partsOf(t, { ca: authority.cert })]) {
    const provider = oauth2At(origin, { ...client, revokeUrl: `${origin}/revoke` }, parts);
    t.match(await callAll(provider), {
      refresh: { code: 'token_endpoint_unreachable' },
      exchange: { code: 'exchange_unreachable' },
      revoke: { code: 'token_endpoint_unreachable' },
    });
  }
  t.equal(endpoint.bytesReceived, 0);
});

t.test('a configured authority is trusted for a credential’s endpoints, and a certificate shown to them', async (t) => {
  const endpoint = await scripted(t, { certificate: authority.issue(here), reply: () => jsonOf(200, tokens) });
  const { origin } = endpoint;
  const parts = await partsOf(t, { ca: authority.cert, ...authority.issue({ names: ['client.test'] }) });
  const options = { ...client, revokeUrl: `${origin}/revoke`, deviceUrl: `${origin}/device` };
  t.strictSame(await callAll(oauth2At(origin, options, parts)), everythingOk);
});

t.test('behind an egress proxy every call goes by CONNECT, and the proxy reads no secret', async (t) => {
  const endpoint = await scripted(t, {
    certificate: authority.issue({ names: ['idp.test'] }),
    reply: () => jsonOf(200, tokens),
  });
  const egress = await startConnectProxy(t, { ways: { 'idp.test:443': endpoint.port } });
  const proxy = egress.url.replace('://', '://user:word@');
  const provider = oauth2At('https://idp.test', client, await partsOf(t, { proxy, ca: authority.cert }));
  t.strictSame(await callAll(provider), everythingOk);
  t.strictSame(
    endpoint.requests.map(({ method, target }) => `${method} ${target}`),
    ['POST /token', 'POST /token', 'POST /revoke', 'POST /device', 'POST /token'],
  );
  t.match(endpoint.requests[0]?.form, { refresh_token: 'rt-SECRET' });
  for (const { headers } of endpoint.requests) t.notOk('proxy-authorization' in headers);
  t.equal(egress.heads.length, 5);
  for (const head of egress.heads) {
    t.match(head, /^CONNECT idp\.test:443 HTTP\/1\.1\r\n/);
    t.match(head, `proxy-authorization: Basic ${btoa('user:word')}`);
  }
  const seen = egress.outside() + egress.inside();
  t.ok(egress.inside().length > 500);
  for (const word of [...secrets, btoa('client:cs-SECRET'), 'refresh_token']) t.notOk(seen.includes(word), word);
});

t.test('a plain http provider goes by CONNECT as well: no request of it is the egress proxy’s own', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(200, tokens) });
  const egress = await startConnectProxy(t, { ways: { 'idp.test:8080': endpoint.port } });
  const options = {
    ...client,
    allowHttp: true,
    revokeUrl: 'http://idp.test:8080/revoke',
    deviceUrl: 'http://idp.test:8080/device',
  };
  const provider = oauth2At('http://idp.test:8080', options, await partsOf(t, { proxy: egress.url }));
  t.strictSame(await callAll(provider), everythingOk);
  for (const head of egress.heads) t.match(head, /^CONNECT idp\.test:8080 HTTP\/1\.1\r\n/);
  for (const { target } of endpoint.requests) t.match(target, /^\//, 'never the absolute form');
  for (const word of [...secrets, btoa('client:cs-SECRET')]) t.notOk(egress.outside().includes(word), word);
});

t.test('discovery, and the preset of codex, take the same way', async (t) => {
  const metadata = {
    issuer: 'https://idp.test',
    authorization_endpoint: 'https://idp.test/authorize',
    token_endpoint: 'https://tokens.test/token',
    jwks_uri: 'https://idp.test/keys',
  };
  const idToken = unsignedJwt({ 'https://api.openai.com/auth': { chatgpt_account_id: 'a' } });
  const endpoint = await scripted(t, {
    certificate: authority.issue({ names: ['idp.test', 'tokens.test', 'auth.openai.com'] }),
    reply: ({ target }) =>
      target.startsWith('/.well-known') ? jsonOf(200, metadata) : jsonOf(200, { ...tokens, id_token: idToken }),
  });
  const ways = Object.fromEntries(
    ['idp.test', 'tokens.test', 'auth.openai.com'].map((name) => [`${name}:443`, endpoint.port]),
  );
  const egress = await startConnectProxy(t, { ways });
  const parts = await partsOf(t, { proxy: egress.url, ca: authority.cert });
  const oidc = createOidcProvider({ issuer: 'https://idp.test', clientId: 'client', clientSecret: 'cs-SECRET' }, parts);
  await oidc.refresh('rt-SECRET', patient);
  const deviceUrl = 'https://auth.openai.com/api/accounts/deviceauth/usercode';
  const codex = codexAt('https://auth.openai.com', { deviceUrl }, parts);
  t.strictSame(await callAll(codex), everythingOk);
  t.strictSame(
    [...new Set(egress.heads.map((head) => head.split(' ')[1]))],
    ['idp.test:443', 'tokens.test:443', 'auth.openai.com:443'],
  );
});

const keyPem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const ways: readonly (readonly [string, Partial<OAuth2Options>])[] = [
  ['client_credentials', { grant: 'client_credentials', clientSecret: 'cs-SECRET' }],
  ['private_key_jwt', { grant: 'client_credentials', clientKey: keyPem }],
  ['token_exchange', { grant: 'token_exchange', subjectTokenFile: '/nowhere' }],
  ['jwt_bearer', { grant: 'jwt_bearer', subjectTokenFile: '/nowhere', clientSecret: 'cs-SECRET' }],
];

for (const [name, options] of ways) {
  t.test(`${name} takes the way of its credential, and the egress proxy reads no secret`, async (t) => {
    const certificate = authority.issue({ names: ['idp.test'] });
    const endpoint = await scripted(t, { certificate, reply: () => jsonOf(200, tokens) });
    const egress = await startConnectProxy(t, { ways: { 'idp.test:443': endpoint.port } });
    const parts = await partsOf(t, { proxy: egress.url, ca: authority.cert });
    const answer = await oauth2At('https://idp.test', options, parts).obtain(patient, 'sub-SECRET');
    t.equal(answer.accessToken, 'at-SECRET');
    t.equal(egress.heads.length, 1);
    const seen = egress.outside() + egress.inside();
    for (const word of [...secrets, 'eyJ', 'grant_type']) t.notOk(seen.includes(word), word);
    const without = oauth2At('https://idp.test', options, await partsOf(t, { proxy: egress.url }));
    await t.rejects(
      without.obtain(patient, 'sub-SECRET'),
      { code: 'token_endpoint_unreachable' },
      'nor without its CA',
    );
    t.equal(endpoint.requests.length, 1);
  });
}

t.test('an alias for clients with certificates is reached by the same way, with the certificate shown', async (t) => {
  const certificate = authority.issue({ names: ['idp.test', 'mtls.test'] });
  const metadata = {
    issuer: 'https://idp.test',
    token_endpoint: 'https://idp.test/token',
    mtls_endpoint_aliases: { token_endpoint: 'https://mtls.test/token' },
  };
  const endpoint = await scripted(t, {
    certificate,
    reply: ({ target }) => jsonOf(200, target.startsWith('/.well-known') ? metadata : tokens),
  });
  const egress = await startConnectProxy(t, {
    ways: { 'idp.test:443': endpoint.port, 'mtls.test:443': endpoint.port },
  });
  const shown = authority.issue({ names: ['client.test'] });
  const provider = createOidcProvider(
    { issuer: 'https://idp.test', clientId: 'c', clientAuth: 'tls_client_auth', grant: 'client_credentials' },
    await partsOf(t, { proxy: egress.url, ca: authority.cert, ...shown }),
  );
  t.equal((await provider.obtain(patient)).accessToken, 'at-SECRET');
  t.strictSame(
    egress.heads.map((head) => head.split(' ')[1]),
    ['idp.test:443', 'mtls.test:443'],
  );
});

const refusals: readonly (readonly [string, ConnectProxyScript, string])[] = [
  ['answers 407', { reply: 'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n' }, 'egress_refused'],
  ['answers 403', { reply: 'HTTP/1.1 403 No\r\n\r\n' }, 'egress_refused'],
  ['answers 502', { reply: 'HTTP/1.1 502 No\r\n\r\n' }, 'egress_refused'],
  ['is no proxy', { reply: 'SSH-2.0-x\r\n' }, 'egress_unreachable'],
  ['ends the connection', { reply: 'close' }, 'egress_unreachable'],
];

for (const [name, script, code] of refusals) {
  t.test(`an egress proxy that ${name} is \`${code}\`, temporary: nothing was sent`, async (t) => {
    const egress = await startConnectProxy(t, script);
    const parts = await partsOf(t, { proxy: egress.url.replace('://', '://user:hidden@') });
    const ends = await callAll(oauth2At('https://idp.test', client, parts));
    for (const [call, end] of Object.entries(ends)) {
      t.match(end, { code, row: { outcome: 'temporary' }, details: { address: egress.name } }, call);
      if (end === 'ok') continue;
      t.equal(end.details.status, undefined, 'it is no status of the provider');
      holdsNone(t, end, [...secrets, 'hidden', btoa('user:hidden')]);
    }
    const oidc = createOidcProvider({ issuer: 'https://idp.test', clientId: 'client' }, parts);
    await t.rejects(oidc.refresh('rt-SECRET', patient), { code }, 'a discovery before the refresh');
    const login = oidc.login?.authorizationUrl({ state: 's', nonce: 'n', verifier: 'v' }) ?? fail();
    await t.rejects(login, { code }, 'a discovery before the login');
    for (const word of secrets) t.notOk(egress.outside().includes(word), word);
  });
}

t.test('an egress proxy that is silent ends with the attempt: temporary, for nothing was sent', async (t) => {
  const egress = await startConnectProxy(t, { reply: 'silence' });
  const provider = oauth2At('https://idp.test', client, await partsOf(t, { proxy: egress.url }));
  const end = provider.refresh('rt-SECRET', { ...patient, timeoutMs: 50 });
  await t.rejects(end, { code: 'token_endpoint_unreachable', row: { outcome: 'temporary' } });
  t.notOk(egress.outside().includes('rt-SECRET'));
});

t.test('a lease that is lost while the tunnel is opened sends nothing through it', async (t) => {
  const endpoint = await scripted(t, {
    certificate: authority.issue({ names: ['idp.test'] }),
    reply: () => jsonOf(200, tokens),
  });
  const egress = await startConnectProxy(t, { ways: { 'idp.test:443': endpoint.port } });
  const parts = await partsOf(t, { proxy: egress.url, ca: authority.cert });
  const end = oauth2At('https://idp.test', client, parts).refresh('rt-SECRET', { ...patient, mayBegin: () => false });
  await t.rejects(end, { code: 'lease_lost' });
  t.equal(endpoint.bytesReceived, 0);
});
