// Login on another device by RFC 8628: against the real oidc-provider with its device flow, then against an endpoint
// that answers whatever the protocol and its dialects allow.
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import type { OAuth2Options } from '../../src/providers/oauth2.ts';
import { createOidcProvider, type OidcOptions } from '../../src/providers/oidc.ts';
import type { DeviceAuthorization, DeviceLogin, Provider } from '../../src/providers/provider.ts';
import { createRealOidc, type RealOidc } from './_oidc.ts';
import { oauth2At, patient, scripted } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, jsonOf, type Reply, type SeenRequest } from './_scripted-endpoint.ts';

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';

function startReal(t: Parameters<typeof createRealOidc>[0], settings: object = {}): Promise<RealOidc> {
  const client = {
    client_id: 'cli',
    token_endpoint_auth_method: 'none',
    grant_types: [deviceGrant, 'refresh_token'],
    response_types: [],
    redirect_uris: [],
  };
  const other = { ...client, client_id: 'browser-only', grant_types: ['refresh_token'] };
  return createRealOidc(t, 60, { clients: [client, other], features: { deviceFlow: { enabled: true } }, settings });
}

function cliAt({ issuer }: RealOidc, options: Partial<OidcOptions> = {}): Provider & { device: DeviceLogin } {
  const provider = createOidcProvider(
    { issuer, clientId: 'cli', grant: 'device_code', ...options },
    { clock: systemClock },
  );
  const { device } = provider;
  if (device === undefined) throw new Error('a device login is expected');
  return { ...provider, device };
}

t.test('a person confirms on another device: tokens with their account, which refresh', async (t) => {
  const oidc = await startReal(t);
  const { device, login, refresh } = cliAt(oidc);
  t.equal(login, undefined);
  t.equal(await device.isOffered(), true);
  const authorization = await device.start();
  t.match(authorization, {
    userCode: /^[A-Z]{4}-[A-Z]{4}$/,
    verificationUri: `${oidc.issuer}/device`,
    intervalMs: 5_000,
  });
  t.ok(authorization.lifeMs >= 590_000 && authorization.lifeMs <= 600_000, String(authorization.lifeMs));
  t.strictSame(await device.poll(authorization), { kind: 'pending' });
  t.strictSame(await device.poll(authorization), { kind: 'pending' });
  await oidc.confirm(authorization.verificationUriComplete ?? '');
  const poll = await device.poll(authorization);
  if (poll.kind !== 'tokens') throw new Error(poll.kind);
  const { tokens } = poll;
  t.strictSame(tokens.account, { issuer: oidc.issuer, id: 'person', email: 'person@example.org' });
  t.strictSame(tokens.warnings, []);
  t.type((await refresh(tokens.refreshToken ?? '', patient)).accessToken, 'string');

  const spent = await rejectionOf(t, device.poll(authorization));
  t.equal(spent.code, 'code_rejected', 'a code serves once');
  holdsNone(t, spent, [authorization.deviceCode, authorization.userCode]);
});

t.test('a person who refuses is device_denied', async (t) => {
  const oidc = await startReal(t);
  const { device } = cliAt(oidc);
  const authorization = await device.start();
  await oidc.confirm(authorization.verificationUriComplete ?? '', 'refuse').catch(() => undefined);
  t.match(await rejectionOf(t, device.poll(authorization)), {
    code: 'device_denied',
    details: { providerCode: 'access_denied' },
  });
});

t.test('a code that has run out is device_expired', async (t) => {
  const oidc = await startReal(t, { ttl: { DeviceCode: 1 } });
  const { device } = cliAt(oidc);
  const authorization = await device.start();
  t.equal(authorization.lifeMs, 1_000);
  const untilItEnds = async (): Promise<never> => {
    for (;;) {
      t.equal((await device.poll(authorization)).kind, 'pending');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  t.equal((await rejectionOf(t, untilItEnds())).code, 'device_expired');
});

t.test(
  'a client that may not do it is authorize_failed; a provider without it is device_login_unsupported',
  async (t) => {
    const oidc = await startReal(t);
    const error = await rejectionOf(t, cliAt(oidc, { clientId: 'browser-only' }).device.start());
    t.match(error, { code: 'authorize_failed', details: { status: 400 } });
    const without = await createRealOidc(t);
    const { device } = cliAt(without, { grant: 'authorization_code', clientId: 'sidecar', clientSecret: 'cs-SECRET' });
    t.equal(await device.isOffered(), false);
    t.equal((await rejectionOf(t, device.start())).code, 'device_login_unsupported');
    const alone = await rejectionOf(
      t,
      cliAt(without, { clientId: 'sidecar', clientSecret: 'cs-SECRET' }).device.start(),
    );
    t.match(alone, { code: 'provider_metadata_invalid', details: { reason: /device_authorization_endpoint/ } });
    await without.close();
    t.equal(
      await cliAt(without).device.isOffered(),
      false,
      'a provider that is down offers nothing, and nothing throws',
    );
  },
);

t.test('which grants have it', async (t) => {
  const deviceUrl = 'https://idp.example/device';
  const has = (options: Partial<OAuth2Options>): boolean =>
    oauth2At('https://idp.example', options).device !== undefined;
  t.equal(has({ grant: 'device_code', deviceUrl }), true);
  t.equal(has({ grant: 'authorization_code', deviceUrl }), true);
  t.equal(has({ grant: 'authorization_code' }), false);
  t.equal(has({ grant: 'refresh_token', deviceUrl }), false);
  t.equal(has({ grant: 'client_credentials', clientSecret: 's', deviceUrl }), false);
  t.throws(() => has({ grant: 'device_code' }), { code: 'config_value_missing', details: { setting: 'deviceUrl' } });
});

// --- against a script ---------------------------------------------------------------------------------------------

const given = {
  device_code: 'dc-SECRET-0123456789',
  user_code: 'WDJB-MJHT',
  verification_uri: 'https://idp.example/device',
  expires_in: 1800,
};
const tokens = { access_token: 'at', token_type: 'Bearer', expires_in: 3600, refresh_token: 'rt' };
const authorization: DeviceAuthorization = {
  userCode: 'WDJB-MJHT',
  verificationUri: 'https://idp.example/device',
  intervalMs: 5_000,
  lifeMs: 1_800_000,
  deviceCode: 'dc-SECRET-0123456789',
};

async function scriptedDevice(
  t: Parameters<typeof scripted>[0],
  reply: (request: SeenRequest) => Reply,
  options: Partial<OAuth2Options> = {},
) {
  const endpoint = await scripted(t, { reply });
  const { device } = oauth2At(endpoint.origin, {
    grant: 'device_code',
    deviceUrl: `${endpoint.origin}/device`,
    authorizeUrl: undefined,
    ...options,
  });
  if (device === undefined) throw new Error('a device login is expected');
  return { endpoint, device };
}

t.test('start and poll send exactly their parameters, with tokenParams and the proof of the client', async (t) => {
  const { endpoint, device } = await scriptedDevice(
    t,
    ({ target }) => jsonOf(200, target === '/device' ? given : tokens),
    { clientSecret: 's', tokenParams: { audience: 'urn:api', scope: 'x', device_code: 'y' } },
  );
  t.strictSame(await device.start(), authorization);
  t.match(await device.poll(authorization), { kind: 'tokens', tokens: { accessToken: 'at', refreshToken: 'rt' } });
  t.strictSame(
    endpoint.requests.map(({ target, form, headers }) => [target, form, headers['authorization']]),
    [
      [
        '/device',
        { client_id: 'client', scope: 'read', audience: 'urn:api', device_code: 'y' },
        `Basic ${btoa('client:s')}`,
      ],
      [
        '/token',
        { grant_type: deviceGrant, device_code: authorization.deviceCode, audience: 'urn:api', scope: 'x' },
        `Basic ${btoa('client:s')}`,
      ],
    ],
  );
});

const starts: readonly (readonly [string, object, Partial<DeviceAuthorization>])[] = [
  ['an interval', { interval: 7 }, { intervalMs: 7_000 }],
  ['an interval as text', { interval: '7' }, { intervalMs: 7_000 }],
  ['an interval of nonsense', { interval: 'soon' }, {}],
  ['an interval of none', { interval: 0 }, {}],
  ['an interval below none', { interval: -1 }, {}],
  ['an interval of a day', { interval: 86_400 }, { intervalMs: 600_000 }],
  ['no life', { expires_in: undefined }, { lifeMs: 900_000 }],
  ['a life of nonsense', { expires_in: [] }, { lifeMs: 900_000 }],
  ['a life of a year', { expires_in: 31_536_000 }, { lifeMs: 86_400_000 }],
  [
    'a whole address',
    { verification_uri_complete: 'https://idp.example/device?c=W' },
    { verificationUriComplete: 'https://idp.example/device?c=W' },
  ],
  ['a whole address that is a script', { verification_uri_complete: 'javascript:alert(1)' }, {}],
  ['the address under its old name', { verification_uri: undefined, verification_url: given.verification_uri }, {}],
];

for (const [title, change, expected] of starts) {
  t.test(`a start answered with ${title} is read`, async (t) => {
    const { device } = await scriptedDevice(t, () => jsonOf(200, { ...given, ...change }));
    t.strictSame(await device.start(), { ...authorization, ...expected });
  });
}

const failedStarts: readonly (readonly [string, Reply, ErrorCode])[] = [
  ['no user code', jsonOf(200, { ...given, user_code: undefined }), 'device_answer_malformed'],
  ['a user code of two lines', jsonOf(200, { ...given, user_code: 'A\nB' }), 'device_answer_malformed'],
  ['a user code without end', jsonOf(200, { ...given, user_code: 'A'.repeat(65) }), 'device_answer_malformed'],
  ['no device code', jsonOf(200, { ...given, device_code: '' }), 'device_answer_malformed'],
  ['no address', jsonOf(200, { ...given, verification_uri: undefined }), 'device_answer_malformed'],
  ['a script for an address', jsonOf(200, { ...given, verification_uri: 'javascript:x' }), 'device_answer_malformed'],
  [
    'plain http elsewhere',
    jsonOf(200, { ...given, verification_uri: 'http://idp.example' }),
    'device_answer_malformed',
  ],
  ['HTML', answerOf(200, '<h1>hello</h1>'), 'device_answer_malformed'],
  ['nothing', answerOf(200, ''), 'device_answer_malformed'],
  ['400 invalid_scope', jsonOf(400, { error: 'invalid_scope' }), 'authorize_failed'],
  ['401', answerOf(401, ''), 'authorize_failed'],
  ['404', answerOf(404, ''), 'authorize_failed'],
  ['a redirect', answerOf(307, '', { location: '/x' }), 'authorize_failed'],
  ['408', answerOf(408, ''), 'provider_unreachable'],
  ['429', answerOf(429, ''), 'provider_unreachable'],
  ['503', answerOf(503, ''), 'provider_unreachable'],
  ['a reset', { end: 'reset' }, 'provider_unreachable'],
];

for (const [title, reply, code] of failedStarts) {
  t.test(`a start answered with ${title} is ${code}`, async (t) => {
    const { device } = await scriptedDevice(t, () => reply, { clientSecret: 'cs-SECRET' });
    const error = await rejectionOf(t, device.start());
    t.equal(error.code, code);
    holdsNone(t, error, [given.device_code, 'cs-SECRET']);
  });
}

const polls: readonly (readonly [string, Reply, string])[] = [
  ['400 authorization_pending', jsonOf(400, { error: 'authorization_pending' }), 'pending'],
  ['200 authorization_pending, as GitHub does', jsonOf(200, { error: 'authorization_pending' }), 'pending'],
  ['428 authorization_pending, as Google does', jsonOf(428, { error: 'authorization_pending' }), 'pending'],
  ['403 slow_down, as Google does', jsonOf(403, { error: 'slow_down' }), 'slow_down'],
  ['400 slow_down', jsonOf(400, { error: 'slow_down' }), 'slow_down'],
  ['400 access_denied', jsonOf(400, { error: 'access_denied' }), 'device_denied'],
  ['400 authorization_declined, as Entra does', jsonOf(400, { error: 'authorization_declined' }), 'device_denied'],
  ['400 expired_token', jsonOf(400, { error: 'expired_token' }), 'device_expired'],
  ['400 invalid_grant', jsonOf(400, { error: 'invalid_grant' }), 'code_rejected'],
  ['401 invalid_client', jsonOf(401, { error: 'invalid_client' }), 'exchange_failed'],
  ['400 unauthorized_client', jsonOf(400, { error: 'unauthorized_client' }), 'exchange_failed'],
  ['403', answerOf(403, ''), 'exchange_failed'],
  ['a redirect', answerOf(302, '', { location: '/x' }), 'exchange_failed'],
  ['JSON without a token', jsonOf(200, {}), 'exchange_malformed'],
  ['a token that cannot stand in a header', jsonOf(200, { access_token: 'a t' }), 'access_token_malformed'],
  ['a token with an error beside it', jsonOf(200, { ...tokens, error: 'slow_down' }), 'tokens'],
  ['HTML, as a captive portal has it', answerOf(200, '<h1>pay here</h1>'), 'unanswered exchange_malformed'],
  ['nothing', answerOf(200, ''), 'unanswered exchange_malformed'],
  ['408', answerOf(408, ''), 'unanswered exchange_busy'],
  ['429', answerOf(429, '', { 'retry-after': '9' }), 'unanswered exchange_busy'],
  ['500', answerOf(500, ''), 'unanswered exchange_busy'],
  ['a reset', { end: 'reset' }, 'unanswered exchange_no_answer'],
  [
    'an answer that is cut off',
    { end: 'reset', after: jsonOf(200, tokens).slice(0, -9) },
    'unanswered exchange_no_answer',
  ],
];

for (const [title, reply, expected] of polls) {
  t.test(`a poll answered with ${title} is ${expected}`, async (t) => {
    const { endpoint, device } = await scriptedDevice(t, () => reply);
    const end = await device.poll(authorization).then(
      (poll) => {
        if (poll.kind !== 'unanswered') return poll.kind;
        holdsNone(t, poll.error, [authorization.deviceCode]);
        return `unanswered ${poll.error.code}`;
      },
      (thrown) => {
        holdsNone(t, thrown, [authorization.deviceCode]);
        return thrown.code;
      },
    );
    t.equal(end, expected);
    t.equal(endpoint.requests.length, 1, 'one poll is one request');
  });
}

t.test('a poll that finds nobody is unanswered: exchange_unreachable', async (t) => {
  const { endpoint, device } = await scriptedDevice(t, () => '');
  await endpoint.close();
  t.match(await device.poll(authorization), { kind: 'unanswered', error: { code: 'exchange_unreachable' } });
});
