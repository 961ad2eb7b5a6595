// Every refusal of a token endpoint over a real socket: which row of the catalogue it becomes, for a plain OAuth 2.0
// provider and for Codex, and that nothing of what was sent or described shows in the error.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { cleanProviderCode } from '../../src/providers/rejection.ts';
import { codexAt, oauth2At, patient, scripted } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, jsonOf } from './_scripted-endpoint.ts';

const refreshToken = 'rt-SECRET-0123456789';
const clientSecret = 'cs-SECRET-0123456789';
const secrets = [refreshToken, clientSecret, 'DESCRIBED'];
const error_description = `DESCRIBED: ${refreshToken} is not known`;

interface Row {
  readonly title: string;
  readonly answer: string;
  readonly oauth2: ErrorCode;
  readonly codex: ErrorCode;
  readonly details?: object;
}

const refused = (status: number, body: unknown, headers = {}): string => jsonOf(status, body, headers);
const same = (code: ErrorCode): { oauth2: ErrorCode; codex: ErrorCode } => ({ oauth2: code, codex: code });
const ended = (oauth2: ErrorCode, codex: ErrorCode): { oauth2: ErrorCode; codex: ErrorCode } => ({ oauth2, codex });

const rows: readonly Row[] = [
  {
    title: '400 invalid_grant',
    answer: refused(400, { error: 'invalid_grant', error_description }),
    ...same('grant_rejected'),
    details: { status: 400, providerCode: 'invalid_grant' },
  },
  {
    title: '400 invalid_grant at error.code',
    answer: refused(400, { error: { code: 'invalid_grant', message: error_description } }),
    ...same('grant_rejected'),
    details: { providerCode: 'invalid_grant' },
  },
  { title: '400 invalid_grant at code', answer: refused(400, { code: 'invalid_grant' }), ...same('grant_rejected') },
  { title: '400 INVALID_GRANT', answer: refused(400, { error: 'INVALID_GRANT' }), ...same('grant_rejected') },
  {
    title: '403 invalid_grant',
    answer: refused(403, { error: 'invalid_grant' }),
    ...same('token_endpoint_refused'),
    details: { status: 403, providerCode: 'invalid_grant' },
  },
  ...['invalid_client', 'unauthorized_client', 'invalid_scope', 'unsupported_grant_type'].flatMap((error) => [
    { title: `400 ${error}`, answer: refused(400, { error, error_description }), ...same('client_rejected') },
    { title: `401 ${error}`, answer: refused(401, { error }), ...ended('client_rejected', 'grant_rejected') },
  ]),
  {
    title: '400 invalid_request',
    answer: refused(400, { error: 'invalid_request' }),
    ...same('token_endpoint_refused'),
  },
  { title: '400 with HTML', answer: answerOf(400, '<h1>DESCRIBED</h1>'), ...same('token_endpoint_refused') },
  { title: '400 with nothing', answer: answerOf(400, ''), ...same('token_endpoint_refused') },
  { title: '401 with nothing', answer: answerOf(401, ''), ...ended('client_rejected', 'grant_rejected') },
  { title: '402', answer: answerOf(402, '{}'), ...same('token_endpoint_refused') },
  { title: '403', answer: answerOf(403, '{}'), ...same('token_endpoint_refused') },
  {
    title: '403 unsupported_country_region_territory',
    answer: refused(403, { error: { code: 'unsupported_country_region_territory', message: error_description } }),
    ...same('region_unsupported'),
    details: { status: 403, providerCode: 'unsupported_country_region_territory' },
  },
  { title: '404', answer: answerOf(404, 'not found'), ...same('token_endpoint_refused') },
  { title: '408', answer: answerOf(408, ''), ...same('token_endpoint_failing') },
  { title: '429', answer: answerOf(429, ''), ...same('token_endpoint_limited'), details: { status: 429 } },
  {
    title: '429 with Retry-After in seconds',
    answer: answerOf(429, '', { 'retry-after': '30' }),
    ...same('token_endpoint_limited'),
    details: { status: 429, retryAfterMs: 30_000 },
  },
  {
    title: '429 with a Retry-After that is nonsense',
    answer: answerOf(429, '', { 'retry-after': 'in a while' }),
    ...same('token_endpoint_limited'),
    details: { status: 429, retryAfterMs: undefined },
  },
  { title: '500', answer: answerOf(500, `oops ${refreshToken}`), ...same('token_endpoint_failing') },
  { title: '502 with HTML', answer: answerOf(502, '<h1>bad gateway</h1>'), ...same('token_endpoint_failing') },
  {
    title: '503 with Retry-After',
    answer: answerOf(503, '', { 'retry-after': '5' }),
    ...same('token_endpoint_failing'),
    details: { status: 503, retryAfterMs: 5_000 },
  },
  ...[301, 302, 303, 304, 307, 308].map((status) => ({
    title: `${status}`,
    answer: answerOf(status, '', { location: 'http://127.0.0.1:9/elsewhere' }),
    ...same('token_endpoint_redirected'),
  })),
  { title: '999', answer: answerOf(999, ''), ...same('token_endpoint_malformed') },
  { title: '200 with nothing', answer: answerOf(200, ''), ...same('token_endpoint_malformed') },
  { title: '204', answer: 'HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n', ...same('token_endpoint_malformed') },
  { title: '200 with HTML', answer: answerOf(200, '<h1>hello</h1>'), ...same('token_endpoint_malformed') },
  { title: '200 above 1 MiB', answer: answerOf(200, 'x'.repeat(1_100_000)), ...same('token_endpoint_malformed') },
  {
    title: '200 with an access token that cannot stand in a header',
    answer: jsonOf(200, { access_token: 'DESCRIBED token' }),
    ...same('access_token_malformed'),
  },
  { title: '200 with an error', answer: jsonOf(200, { error: 'invalid_grant' }), ...same('token_endpoint_malformed') },
  {
    title: '200 with an error of the preset',
    answer: jsonOf(200, { error: 'refresh_token_reused' }),
    ...ended('token_endpoint_malformed', 'grant_reused'),
  },
  ...(
    [
      ['refresh_token_reused', 'grant_reused'],
      ['refresh_token_expired', 'grant_expired'],
      ['token_expired', 'grant_expired'],
      ['app_session_expired', 'grant_expired'],
      ['refresh_token_invalidated', 'grant_revoked'],
      ['refresh_token_revoked', 'grant_revoked'],
      ['app_session_terminated', 'grant_ended'],
      ['invalid_refresh_token', 'grant_rejected'],
    ] as const
  ).flatMap(([providerCode, code]) => [
    {
      title: `401 ${providerCode} at error.code`,
      answer: refused(401, { error: { code: providerCode, message: error_description } }),
      ...ended('client_rejected', code),
      details: { status: 401, providerCode },
    },
    {
      title: `400 ${providerCode} at error, in capitals`,
      answer: refused(400, { error: providerCode.toUpperCase() }),
      ...ended('token_endpoint_refused', code),
    },
    {
      title: `500 ${providerCode} at code`,
      answer: refused(500, { code: providerCode, error: { type: 'x' } }),
      ...ended('token_endpoint_failing', code),
    },
    {
      title: `400 ${providerCode} at code beside invalid_grant`,
      answer: refused(400, { code: providerCode, error: 'invalid_grant' }),
      ...ended('grant_rejected', code),
    },
  ]),
  {
    title: '400 with a code that repeats the refresh token',
    answer: refused(400, { error: `unknown:${refreshToken}` }),
    ...same('token_endpoint_refused'),
    details: { providerCode: undefined },
  },
  {
    title: "400 with a code that repeats the client's secret",
    answer: refused(400, { error: clientSecret }),
    ...same('token_endpoint_refused'),
  },
  {
    title: '400 with a code that is a sentence',
    answer: refused(400, { error: `DESCRIBED as wrong` }),
    ...same('token_endpoint_refused'),
    details: { providerCode: undefined },
  },
  ...[null, 1, [], { code: 7 }, { code: null }].map((error) => ({
    title: `400 with error ${JSON.stringify(error)}`,
    answer: refused(400, { error }),
    ...same('token_endpoint_refused'),
  })),
];

for (const { title, answer, oauth2, codex, details } of rows) {
  t.test(`a refresh answered with ${title} is ${oauth2}, of Codex ${codex}`, async (t) => {
    const endpoint = await scripted(t, { reply: () => answer });
    const plain = oauth2At(endpoint.origin, { clientSecret, clientAuth: 'post' });
    const preset = codexAt(endpoint.origin, { clientSecret, clientAuth: 'none' });
    const refusals = [
      [oauth2, await rejectionOf(t, plain.refresh(refreshToken, patient))],
      [codex, await rejectionOf(t, preset.refresh(refreshToken, patient))],
    ] as const;
    for (const [code, error] of refusals) {
      t.equal(error.code, code);
      if (details !== undefined) t.match(error.details, details);
      holdsNone(t, error, secrets);
    }
    t.equal(endpoint.requests.length, 2, 'one call is one request');
  });
}

t.test('client_credentials has no grant that could be gone: 400 invalid_grant is client_rejected', async (t) => {
  const endpoint = await scripted(t, { reply: () => jsonOf(400, { error: 'invalid_grant' }) });
  const provider = oauth2At(endpoint.origin, { grant: 'client_credentials', clientSecret });
  t.equal((await rejectionOf(t, provider.obtain(patient))).code, 'client_rejected');
});

t.test("a provider's code is shown as one word of visible ASCII, at most 100 characters long", async (t) => {
  t.equal(cleanProviderCode(' invalid_grant ', []), 'invalid_grant');
  t.equal(cleanProviderCode('x'.repeat(200), [])?.length, 100);
  t.equal(
    cleanProviderCode(`${'x'.repeat(90)}a-SECRET-b`, ['a-SECRET-b']),
    undefined,
    'what was sent, where it is cut',
  );
  for (const given of ['', ' ', 'two words', 'line\nbreak', 'é', '\u001b[31m', null, undefined]) {
    t.equal(cleanProviderCode(given, []), undefined);
  }
  t.equal(cleanProviderCode('SECRET', ['a-SECRET-b']), undefined, 'a part of what was sent');
  t.equal(cleanProviderCode('a-SECRET-b', ['SECRET']), undefined, 'what was sent, within');
  t.equal(cleanProviderCode('constructor', []), 'constructor');
  const secret = 'rt-0123456789+/abcdef"\ud800';
  t.equal(cleanProviderCode('unknown:rt-01234...', [secret]), undefined, 'a piece of what was sent');
  t.equal(cleanProviderCode('unknown:9%2B%2Fabc', [secret]), undefined, 'URL-encoded');
  t.equal(cleanProviderCode('unknown:9%2b%2fabc', [secret]), undefined, 'URL-encoded in lower case');
  t.equal(cleanProviderCode('rt-01_invalid', [secret]), 'rt-01_invalid', 'too little to tell anything');
});

t.test('a code of a megabyte: 200 of it would outlast this test, were it compared whole', async (t) => {
  const assertion = `eyJ${'aZ9_'.repeat(512)}`;
  for (let round = 0; round < 200; round += 1) {
    t.equal(cleanProviderCode('a'.repeat(1_000_000), [assertion])?.length, 100);
    await nextTurn();
  }
});
