// token_exchange and jwt_bearer: an access token for a token in a file, against the real oidc-provider with both grants
// registered, and what exactly is sent.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errors, jwtVerify, SignJWT } from 'jose';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import type { OAuth2Options } from '../../src/providers/oauth2.ts';
import { createOidcProvider } from '../../src/providers/oidc.ts';
import type { Provider, TokenAnswer } from '../../src/providers/provider.ts';
import { createRealOidc, type OidcProvider, type RealOidc, type TokenContext } from './_oidc.ts';
import { oauth2At, patient, scripted } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, jsonOf } from './_scripted-endpoint.ts';

const grants = {
  token_exchange: 'urn:ietf:params:oauth:grant-type:token-exchange',
  jwt_bearer: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
} as const;
type Exchange = keyof typeof grants;
const jwtType = 'urn:ietf:params:oauth:token-type:jwt';

/** The cluster whose service accounts the provider trusts. */
const cluster = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });

function serviceAccount(key: KeyObject, audience: string, expiresAt: string): Promise<string> {
  return new SignJWT({ sub: 'system:serviceaccount:shop:web' })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('https://cluster.test')
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime(expiresAt)
    .sign(key);
}

/** The file, and a provider that reads it anew for each call, as the credential does. */
async function fileIn(t: Test): Promise<{ path: string; obtain: (provider: Provider) => Promise<TokenAnswer> }> {
  const folder = await mkdtemp(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return {
    path: join(folder, 'sa'),
    obtain: async (provider) => provider.obtain(patient, await provider.subject?.read()),
  };
}

function startReal(t: Test): Promise<RealOidc> {
  const client = { client_id: 'workload', token_endpoint_auth_method: 'none', response_types: [], redirect_uris: [] };
  return createRealOidc(t, 60, {
    clients: [{ ...client, grant_types: Object.values(grants) }],
    prepare: (provider) => registerExchanges(provider),
  });
}

/** oidc-provider has neither; it hands them to whoever registers them, behind its own client authentication. */
function registerExchanges(provider: OidcProvider): void {
  const handle =
    (parameter: string, refusal: string) =>
    async (context: TokenContext): Promise<void> => {
      const token = context.oidc.params[parameter] ?? '';
      try {
        await jwtVerify(token, cluster.publicKey, { issuer: 'https://cluster.test', audience: 'https://idp.test' });
        context.body = { access_token: `for-${context.oidc.params['resource']}`, token_type: 'Bearer', expires_in: 60 };
      } catch (thrown) {
        context.status = 400;
        context.body = { error: thrown instanceof errors.JOSEError ? refusal : 'server_error' };
      }
    };
  const names = ['resource', 'scope', 'subject_token_type', 'requested_token_type'];
  provider.registerGrantType(grants.token_exchange, handle('subject_token', 'invalid_request'), [
    'subject_token',
    ...names,
  ]);
  provider.registerGrantType(grants.jwt_bearer, handle('assertion', 'invalid_grant'), ['assertion', ...names]);
}

for (const grant of ['token_exchange', 'jwt_bearer'] as const) {
  t.test(
    `${grant}: a service account's token becomes an access token; a bad one is subject_token_rejected`,
    async (t) => {
      const { issuer } = await startReal(t);
      const { path, obtain } = await fileIn(t);
      const provider = createOidcProvider(
        { issuer, clientId: 'workload', grant, subjectTokenFile: path, tokenParams: { resource: 'urn:api' } },
        { clock: systemClock },
      );
      t.equal(provider.login, undefined);
      t.equal(provider.device, undefined);
      await writeFile(path, await serviceAccount(cluster.privateKey, 'https://idp.test', '1h'));
      const answer = await obtain(provider);
      t.match(answer, { accessToken: 'for-urn:api', expiresAtMs: answer.obtainedAtMs + 60_000, warnings: [] });

      for (const bad of [
        await serviceAccount(stranger.privateKey, 'https://idp.test', '1h'),
        await serviceAccount(cluster.privateKey, 'https://kubernetes.default.svc', '1h'),
        await serviceAccount(cluster.privateKey, 'https://idp.test', '1s ago'),
        'no JWT',
      ]) {
        await writeFile(path, bad);
        const error = await rejectionOf(t, obtain(provider));
        t.equal(error.code, 'subject_token_rejected');
        holdsNone(t, error, [bad, bad.slice(0, 20)]);
      }
      await writeFile(path, await serviceAccount(cluster.privateKey, 'https://idp.test', '1h'));
      t.type((await obtain(provider)).accessToken, 'string', 'the next one is good again');
    },
  );
}

const requests: readonly (readonly [string, Partial<OAuth2Options> & { grant: Exchange }, object])[] = [
  [
    'token_exchange',
    { grant: 'token_exchange' },
    { subject_token: 'the-token', subject_token_type: jwtType, scope: 'read', client_id: 'client' },
  ],
  [
    'token_exchange with types and parameters',
    {
      grant: 'token_exchange',
      scope: '',
      subjectTokenType: 'urn:ietf:params:oauth:token-type:saml2',
      requestedTokenType: 'urn:ietf:params:oauth:token-type:access_token',
      tokenParams: { audience: 'urn:api', resource: 'https://api.example' },
    },
    {
      subject_token: 'the-token',
      subject_token_type: 'urn:ietf:params:oauth:token-type:saml2',
      requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'urn:api',
      resource: 'https://api.example',
      client_id: 'client',
    },
  ],
  [
    'token_exchange with parameters that are its own',
    { grant: 'token_exchange', tokenParams: { audience: 'urn:api', grant_type: 'x', subject_token: 'y', scope: 'v' } },
    {
      subject_token: 'the-token',
      subject_token_type: jwtType,
      scope: 'read',
      client_id: 'client',
      audience: 'urn:api',
    },
  ],
  [
    'jwt_bearer with a secret and parameters that are its own',
    { grant: 'jwt_bearer', clientSecret: 's', tokenParams: { audience: 'urn:api', assertion: 'z' } },
    { assertion: 'the-token', scope: 'read', audience: 'urn:api' },
  ],
];

for (const [title, options, form] of requests) {
  t.test(`${title} sends exactly its parameters`, async (t) => {
    const endpoint = await scripted(t, { reply: () => jsonOf(200, { access_token: 'at', token_type: 'N_A' }) });
    const { path, obtain } = await fileIn(t);
    await writeFile(path, 'the-token\n');
    const answer = await obtain(oauth2At(endpoint.origin, { ...options, subjectTokenFile: path }));
    t.match(
      answer,
      { accessToken: 'at', warnings: [] },
      'N_A is the type of a token that is no bearer token (RFC 8693)',
    );
    const [request] = endpoint.requests;
    t.strictSame(request?.form, { grant_type: grants[options.grant], ...form });
    t.equal(request?.headers['authorization'], options.clientSecret && `Basic ${btoa('client:s')}`);
  });
}

const refusals: readonly (readonly [string, string, ErrorCode, ErrorCode])[] = [
  ['400 invalid_grant', jsonOf(400, { error: 'invalid_grant' }), 'subject_token_rejected', 'subject_token_rejected'],
  [
    '400 invalid_request',
    jsonOf(400, { error: 'invalid_request' }),
    'subject_token_rejected',
    'token_endpoint_refused',
  ],
  ['400 invalid_target', jsonOf(400, { error: 'invalid_target' }), 'client_rejected', 'client_rejected'],
  ['400 invalid_scope', jsonOf(400, { error: 'invalid_scope' }), 'client_rejected', 'client_rejected'],
  ['401', answerOf(401, ''), 'client_rejected', 'client_rejected'],
  ['403', answerOf(403, ''), 'token_endpoint_refused', 'token_endpoint_refused'],
  [
    'a code that repeats the token',
    jsonOf(400, { error: 'sub-SECRET' }),
    'token_endpoint_refused',
    'token_endpoint_refused',
  ],
];

for (const [title, answer, exchanged, asserted] of refusals) {
  t.test(`${title} is ${exchanged} of token_exchange and ${asserted} of jwt_bearer, never the end`, async (t) => {
    const endpoint = await scripted(t, { reply: () => answer });
    const { path, obtain } = await fileIn(t);
    await writeFile(path, 'sub-SECRET');
    for (const [grant, code] of [
      ['token_exchange', exchanged],
      ['jwt_bearer', asserted],
    ] as const) {
      const error = await rejectionOf(t, obtain(oauth2At(endpoint.origin, { grant, subjectTokenFile: path })));
      t.equal(error.code, code);
      holdsNone(t, error, ['sub-SECRET']);
    }
  });
}

t.test('either without the file to exchange is config_value_missing', async (t) => {
  for (const grant of ['token_exchange', 'jwt_bearer'] as const) {
    t.throws(() => oauth2At('https://idp.example', { grant }), {
      code: 'config_value_missing',
      details: { setting: 'subjectTokenFile' },
    });
  }
});
