// How a client proves itself, against the real oidc-provider: a key of each kind, a certificate, and all of it at every
// endpoint that asks for it. Then what an assertion says, to the letter.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import t, { type Test } from 'tap';
import { type Clock, systemClock } from '../../src/clock.ts';
import { createEndpointDispatcher } from '../../src/egress/connector.ts';
import { createOidcProvider, type OidcOptions } from '../../src/providers/oidc.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { openWay } from '../egress/_way.ts';
import { createAuthority, createCertificate } from './_certificate.ts';
import { createRealOidc, type RealOidc, redirectUri } from './_oidc.ts';
import { oauth2At, patient, scripted } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { jsonOf } from './_scripted-endpoint.ts';

const authority = createAuthority();
const server = authority.issue({ addresses: ['127.0.0.1'] });
const shown = authority.issue({ names: ['client.test'] });
const selfSigned = createCertificate();
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';

const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' = 'pkcs8'): string =>
  key.export({ type, format: 'pem' }).toString();
const jwk = (key: KeyObject, more: object = {}): string =>
  JSON.stringify({ ...key.export({ format: 'jwk' }), ...more });

/** A client that may do everything. */
function registered(method: string, more: object): object {
  return {
    client_id: method,
    token_endpoint_auth_method: method,
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials', deviceGrant],
    redirect_uris: [redirectUri],
    ...more,
  };
}

/** What oidc-provider finds a self-signed certificate by: `x5c` is its DER. */
const selfSignedJwk = {
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }),
  x5c: [selfSigned.cert.replace(/-----[A-Z ]+-----|\s/g, '')],
};

function start(t: Test, clients: readonly object[]): Promise<RealOidc> {
  return createRealOidc(t, 60, {
    tls: { ...server, ca: authority.cert },
    clients,
    features: { deviceFlow: { enabled: true } },
    settings: {
      clientAuthMethods: [
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
        'none',
        'tls_client_auth',
        'self_signed_tls_client_auth',
      ],
      enabledJWA: { clientAuthSigningAlgValues: algorithms },
    },
  });
}

const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];

interface Shown {
  readonly cert: string;
  readonly key: string;
}

async function providerAt(
  t: Test,
  { issuer }: RealOidc,
  options: Partial<OidcOptions> & Pick<OidcOptions, 'clientId'>,
  certificate?: Shown,
  clock: Clock = systemClock,
): Promise<Provider> {
  const dispatcher = createEndpointDispatcher(await openWay(t, { ca: authority.cert, ...certificate }));
  t.teardown(() => dispatcher.destroy());
  return createOidcProvider({ issuer, scope: 'openid offline_access', ...options }, { clock, dispatcher });
}

const everywhere: readonly (readonly [string, object, Partial<OidcOptions>, Shown?])[] = [
  ['client_secret_basic', { client_secret: 's-SECRET' }, { clientSecret: 's-SECRET' }],
  ['client_secret_post', { client_secret: 's-SECRET' }, { clientSecret: 's-SECRET', clientAuth: 'post' }],
  [
    'private_key_jwt',
    { jwks: { keys: [rsa.publicKey.export({ format: 'jwk' })] } },
    { clientAuth: 'private_key_jwt', clientKey: pem(rsa.privateKey) },
  ],
  ['tls_client_auth', { tls_client_auth_san_dns: 'client.test' }, { clientAuth: 'tls_client_auth' }, shown],
  ['self_signed_tls_client_auth', { jwks: { keys: [selfSignedJwk] } }, { clientAuth: 'tls_client_auth' }, selfSigned],
];

for (const [method, registration, options, certificate] of everywhere) {
  t.test(
    `${method} proves the client at login, refresh, revocation, device login and client_credentials`,
    async (t) => {
      const oidc = await start(t, [registered(method, registration)]);
      const provider = await providerAt(t, oidc, { clientId: method, ...options }, certificate);
      const { login, device } = provider;
      if (login === undefined || device === undefined) throw new Error('logins are expected');

      const request = { state: 's', nonce: 'n', verifier: login.newVerifier() };
      const parameters = await oidc.logIn(await login.authorizationUrl(request));
      const first = await login.exchange({ ...request, parameters });
      t.equal(first.account?.id, 'person');
      const second = await provider.refresh(first.refreshToken ?? '', patient);
      t.type(second.accessToken, 'string');
      await provider.revoke?.({ refreshToken: second.refreshToken ?? '' });
      t.equal((await rejectionOf(t, provider.refresh(second.refreshToken ?? '', patient))).code, 'grant_rejected');

      const authorization = await device.start();
      t.strictSame(await device.poll(authorization), { kind: 'pending' });
      await oidc.confirm(authorization.verificationUriComplete ?? '');
      t.match(await device.poll(authorization), { kind: 'tokens', tokens: { account: { id: 'person' } } });

      const machine = { clientId: method, grant: 'client_credentials', scope: '', ...options } as const;
      const alone = await providerAt(t, oidc, machine, certificate);
      t.type((await alone.obtain(patient)).accessToken, 'string');

      const proved = ['POST /token', 'POST /token/revocation', 'POST /device/auth'];
      const [used, unused] = certificate ? [oidc.mtlsRequests, oidc.requests] : [oidc.requests, oidc.mtlsRequests];
      for (const line of proved) {
        t.ok(used.includes(line), line);
        t.notOk(unused.includes(line), 'and at no other address');
      }
    },
  );
}

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const [p256, p384, p521, ed25519] = [ec('P-256'), ec('P-384'), ec('P-521'), generateKeyPairSync('ed25519')];
const keys: readonly (readonly [string, string, string, KeyObject])[] = [
  ['RSA in PKCS #8', pem(rsa.privateKey), 'RS256', rsa.publicKey],
  ['RSA in PKCS #1', pem(rsa.privateKey, 'pkcs1'), 'RS256', rsa.publicKey],
  ['RSA as a JWK', jwk(rsa.privateKey), 'RS256', rsa.publicKey],
  ...['RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map(
    (alg) => [`RSA as a JWK of ${alg}`, jwk(rsa.privateKey, { alg }), alg, rsa.publicKey] as const,
  ),
  ['P-256 in PKCS #8', pem(p256.privateKey), 'ES256', p256.publicKey],
  ['P-256 in SEC 1', pem(p256.privateKey, 'sec1'), 'ES256', p256.publicKey],
  ['P-384 as a JWK', jwk(p384.privateKey, { alg: 'ES384' }), 'ES384', p384.publicKey],
  ['P-521 in PEM', pem(p521.privateKey), 'ES512', p521.publicKey],
  ['Ed25519 in PEM', pem(ed25519.privateKey), 'EdDSA', ed25519.publicKey],
  ['Ed25519 as a JWK that names itself so', jwk(ed25519.privateKey, { alg: 'Ed25519' }), 'Ed25519', ed25519.publicKey],
];

t.test('each kind of key signs by its own algorithm, and each assertion serves once', async (t) => {
  const clients = keys.map(([, , alg, key], index) => ({
    ...registered('private_key_jwt', { client_id: `c${index}` }),
    token_endpoint_auth_signing_alg: alg,
    jwks: { keys: [key.export({ format: 'jwk' })] },
  }));
  const oidc = await start(t, clients);
  for (const [index, [title, clientKey, alg]] of keys.entries()) {
    const options = { clientId: `c${index}`, clientKey, grant: 'client_credentials', scope: '' } as const;
    const provider = await providerAt(t, oidc, options);
    for (let time = 0; time < 2; time += 1)
      t.type((await provider.obtain(patient)).accessToken, 'string', `${title}: ${alg}`);
  }
});

t.test('a provider whose clock is 9 s behind, or 40 s ahead, takes an assertion all the same', async (t) => {
  const registration = { jwks: { keys: [rsa.publicKey.export({ format: 'jwk' })] } };
  const oidc = await start(t, [registered('private_key_jwt', registration)]);
  for (const offMs of [9_000, -40_000]) {
    const clock: Clock = { ...systemClock, wallMs: () => Date.now() + offMs };
    const options = {
      clientId: 'private_key_jwt',
      clientKey: pem(rsa.privateKey),
      grant: 'client_credentials',
    } as const;
    const provider = await providerAt(t, oidc, { ...options, scope: '' }, undefined, clock);
    t.type((await provider.obtain(patient)).accessToken, 'string', `${offMs} ms`);
  }
});

t.test('another key, no certificate or another one is client_rejected, and shows nothing of the proof', async (t) => {
  const oidc = await start(t, [
    registered('private_key_jwt', { jwks: { keys: [rsa.publicKey.export({ format: 'jwk' })] } }),
    registered('tls_client_auth', { tls_client_auth_san_dns: 'client.test' }),
  ]);
  const wrong: readonly (readonly [Partial<OidcOptions> & { clientId: string }, Shown?])[] = [
    [{ clientId: 'private_key_jwt', clientKey: pem(other.privateKey) }],
    [{ clientId: 'tls_client_auth', clientAuth: 'tls_client_auth' }],
    [{ clientId: 'tls_client_auth', clientAuth: 'tls_client_auth' }, authority.issue({ names: ['another.test'] })],
    [{ clientId: 'tls_client_auth', clientAuth: 'tls_client_auth' }, selfSigned],
  ];
  for (const [options, certificate] of wrong) {
    const grant = 'client_credentials';
    const provider = await providerAt(t, oidc, { grant, scope: '', ...options }, certificate);
    const error = await rejectionOf(t, provider.obtain(patient));
    t.match(error, { code: 'client_rejected', details: { providerCode: 'invalid_client' } });
    holdsNone(t, error, ['eyJ', 'PRIVATE']);
  }
});

t.test(
  'a client without a certificate of its own never goes to the aliases, nor one where the URL is configured',
  async (t) => {
    const oidc = await start(t, [
      registered('client_secret_basic', { client_secret: 's-SECRET' }),
      registered('tls_client_auth', { tls_client_auth_san_dns: 'client.test' }),
    ]);
    const grant = 'client_credentials';
    const basic = await providerAt(t, oidc, {
      clientId: 'client_secret_basic',
      clientSecret: 's-SECRET',
      grant,
      scope: '',
    });
    await basic.obtain(patient);
    const options = {
      clientId: 'tls_client_auth',
      clientAuth: 'tls_client_auth',
      tokenUrl: `${oidc.issuer}/token`,
    } as const;
    const configured = await providerAt(t, oidc, { ...options, grant, scope: '' }, shown);
    t.equal((await rejectionOf(t, configured.obtain(patient))).code, 'client_rejected');
    t.strictSame(oidc.mtlsRequests, []);
  },
);

t.test('an alias that is no https URL is provider_metadata_invalid, and nothing is sent to it', async (t) => {
  for (const alias of ['http://idp.example/token', 'token', 7, null]) {
    const endpoint = await scripted(t, {
      reply: () =>
        jsonOf(200, {
          issuer: endpoint.origin,
          token_endpoint: `${endpoint.origin}/token`,
          mtls_endpoint_aliases: { token_endpoint: alias },
        }),
    });
    const options = { issuer: endpoint.origin, clientId: 'c', grant: 'client_credentials' } as const;
    const provider = createOidcProvider({ ...options, clientAuth: 'tls_client_auth' }, { clock: systemClock });
    const error = await rejectionOf(t, provider.obtain(patient));
    t.match(error, { code: 'token_endpoint_unreachable', details: { reason: /alias of token_endpoint/ } });
    t.equal(endpoint.requests.length, 1);
  }
});

// --- what an assertion says ---------------------------------------------------------------------------------------

const naming = { kid: 'k1', x5t: 'dA', 'x5t#S256': 'dB', use: 'sig' };

t.test('an assertion names the client, one audience, a time of a minute, and never the same id', async (t) => {
  const endpoint = await scripted(t, {
    reply: ({ target }) =>
      target.startsWith('/.well-known')
        ? jsonOf(200, { issuer: endpoint.origin, token_endpoint: `${endpoint.origin}/token` })
        : jsonOf(200, { access_token: 'at', token_type: 'Bearer' }),
  });
  const grant = 'client_credentials';
  const clientKey = jwk(p256.privateKey, naming);
  const oauth2 = oauth2At(endpoint.origin, { grant, clientId: 'me', clientKey });
  const oidc = createOidcProvider(
    { issuer: endpoint.origin, grant, clientId: 'me', clientKey },
    { clock: systemClock },
  );
  const before = Math.floor(Date.now() / 1_000);
  const tokenUrl = `${endpoint.origin}/token`;
  const named = createOidcProvider(
    { issuer: endpoint.origin, grant, clientId: 'me', clientKey, tokenUrl },
    { clock: systemClock },
  );
  for (const provider of [oauth2, oauth2, oidc, named]) await provider.obtain(patient);
  const sent = endpoint.requests.filter(({ target }) => target === '/token');
  const ids = new Set<unknown>();
  for (const [index, { form, headers }] of sent.entries()) {
    const { client_assertion: assertion = '', ...others } = form;
    t.strictSame(others, {
      grant_type: 'client_credentials',
      client_id: 'me',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      ...(index < 2 && { scope: 'read' }),
    });
    t.equal(headers['authorization'], undefined);
    t.strictSame(decodeProtectedHeader(assertion), { alg: 'ES256', kid: 'k1', x5t: 'dA', 'x5t#S256': 'dB' });
    const { jti, iat = 0, exp = 0, ...claims } = decodeJwt(assertion);
    const audience = index === 2 ? endpoint.origin : tokenUrl;
    t.strictSame(claims, { aud: audience, iss: 'me', sub: 'me' });
    t.equal(exp - iat, 60);
    t.ok(iat >= before - 10 && iat <= Date.now() / 1_000 - 10, 'a little back, for a provider whose clock is slow');
    ids.add(jti);
  }
  t.equal(ids.size, 4);
});

const useless: readonly (readonly [string, string])[] = [
  ['a public key', rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString()],
  ['a public JWK', JSON.stringify(rsa.publicKey.export({ format: 'jwk' }))],
  [
    'an encrypted key',
    rsa.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString(),
  ],
  ['RSA of 1024 bits', pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)],
  ['a curve of another world', pem(ec('secp256k1').privateKey)],
  ['X25519', pem(generateKeyPairSync('x25519').privateKey)],
  ['a JWK of another alg', jwk(p256.privateKey, { alg: 'ES384' })],
  ['a JWK of a symmetric alg', jwk(rsa.privateKey, { alg: 'HS256' })],
  ['a secret', 'k-SECRET'],
  ['cut JSON', '{"kty":"EC","d":"k-SECRET'],
  ['a symmetric JWK', JSON.stringify({ kty: 'oct', k: 'k-SECRET' })],
];

for (const [title, clientKey] of useless) {
  t.test(`${title} for clientKey is config_value_invalid at the start, and is not shown`, async (t) => {
    const error = await rejectionOf(
      t,
      (async () => oauth2At('https://idp.example', { clientAuth: 'private_key_jwt', clientKey }))(),
    );
    t.match(error, { code: 'config_value_invalid', details: { setting: 'clientKey' } });
    holdsNone(t, error, ['k-SECRET', clientKey.slice(-60)]);
  });
}

t.test('what is missing for a way to authenticate is config_value_missing', async (t) => {
  for (const [clientAuth, setting] of [
    ['private_key_jwt', 'clientKey'],
    ['basic', 'clientSecret'],
    ['post', 'clientSecret'],
  ] as const) {
    t.throws(() => oauth2At('https://idp.example', { clientAuth }), {
      code: 'config_value_missing',
      details: { setting },
    });
  }
});

t.test('an error that repeats the assertion is not shown', async (t) => {
  const endpoint = await scripted(t, {
    reply: ({ form }) => jsonOf(400, { error: form['client_assertion']?.slice(0, 90) }),
  });
  const provider = oauth2At(endpoint.origin, { clientKey: pem(p256.privateKey), grant: 'client_credentials' });
  const error = await rejectionOf(t, provider.obtain(patient));
  t.match(error, { code: 'token_endpoint_refused', details: { providerCode: undefined } });
  holdsNone(t, error, ['eyJ']);
});
