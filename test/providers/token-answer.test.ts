import fc from 'fast-check';
import t from 'tap';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { TokenAnswer } from '../../src/providers/provider.ts';
import { readTokenAnswer } from '../../src/providers/token-answer.ts';
import { holdsNone } from './_rejections.ts';

const sentAtMs = 1_800_000_000_000;
const read = (body: string, status = 200): TokenAnswer => readTokenAnswer({ status, body, sentAtMs });
const hourLater = sentAtMs + 3_600_000;
const good = { access_token: 'at', token_type: 'Bearer', expires_in: 3600, refresh_token: 'rt' };

type Expected = Omit<Partial<TokenAnswer>, 'warnings'> & { readonly warnings?: Readonly<Record<string, ErrorCode>> };

const whole = { accessToken: 'at', refreshToken: 'rt', expiresAtMs: hourLater };
const rows: readonly (readonly [string, object, Expected])[] = [
  ['a whole answer', good, whole],
  ['an id token', { ...good, id_token: 'a.b.c' }, { ...whole, idToken: 'a.b.c' }],
  ['no token_type', { ...good, token_type: undefined }, whole],
  ['token_type in capitals', { ...good, token_type: 'BEARER' }, whole],
  ['another token_type', { ...good, token_type: 'DPoP' }, { ...whole, warnings: { token_type: 'token_answer_odd' } }],
  ['token_type null', { ...good, token_type: null }, { ...whole, warnings: { token_type: 'token_answer_odd' } }],
  ['scope as an array', { ...good, scope: ['a', 'b'] }, { ...whole, warnings: { scope: 'token_answer_odd' } }],
  ['no refresh token', { ...good, refresh_token: undefined }, { accessToken: 'at', expiresAtMs: hourLater }],
  [
    'refresh_token null',
    { ...good, refresh_token: null },
    { accessToken: 'at', expiresAtMs: hourLater, warnings: { refresh_token: 'token_answer_odd' } },
  ],
  [
    'refresh_token empty',
    { ...good, refresh_token: '' },
    { accessToken: 'at', expiresAtMs: hourLater, warnings: { refresh_token: 'token_answer_odd' } },
  ],
  ['id_token null', { ...good, id_token: null }, { ...whole, warnings: { id_token: 'token_answer_odd' } }],
  ['id_token as an object', { ...good, id_token: {} }, { ...whole, warnings: { id_token: 'token_answer_odd' } }],
  [
    'no access token beside a refresh token',
    { ...good, access_token: undefined },
    { refreshToken: 'rt', expiresAtMs: hourLater, warnings: { access_token: 'token_answer_odd' } },
  ],
  [
    'access_token null beside a refresh token',
    { ...good, access_token: null },
    { refreshToken: 'rt', expiresAtMs: hourLater, warnings: { access_token: 'token_answer_odd' } },
  ],
  [
    'an access token with a blank beside a refresh token',
    { ...good, access_token: 'a t' },
    { refreshToken: 'rt', expiresAtMs: hourLater, warnings: { access_token: 'access_token_malformed' } },
  ],
  [
    'an access token with a line break beside a refresh token',
    { ...good, access_token: 'at\r\nX: y' },
    { refreshToken: 'rt', expiresAtMs: hourLater, warnings: { access_token: 'access_token_malformed' } },
  ],
  ['a refresh token beyond ASCII', { ...good, refresh_token: 'é ' }, { ...whole, refreshToken: 'é ' }],
  ['expires_in as a numeric string', { ...good, expires_in: '3600' }, whole],
  ['expires_in with a fraction', { ...good, expires_in: 1.5 }, { ...whole, expiresAtMs: sentAtMs + 1_500 }],
  ['refresh_token_expires_in', { ...good, refresh_token_expires_in: 3600 }, { ...whole, grantExpiresAtMs: hourLater }],
  ['refresh_expires_in', { ...good, refresh_expires_in: '3600' }, { ...whole, grantExpiresAtMs: hourLater }],
  ['refresh_expires_in 0, which is no end', { ...good, refresh_expires_in: 0 }, whole],
  [
    'refresh_token_expires_in "soon"',
    { ...good, refresh_token_expires_in: 'soon' },
    { ...whole, warnings: { refresh_token_expires_in: 'token_answer_odd' } },
  ],
  ...[null, -1, 0, 'x', '', ' ', '1e3', '0x10', 1e99, true, [], {}].map(
    (expires_in) =>
      [
        `expires_in ${JSON.stringify(expires_in)}`,
        { ...good, expires_in },
        { accessToken: 'at', refreshToken: 'rt', warnings: { expires_in: 'token_answer_odd' } },
      ] as const,
  ),
  ['no expires_in', { ...good, expires_in: undefined }, { accessToken: 'at', refreshToken: 'rt' }],
];

for (const [title, body, expected] of rows) {
  t.test(`an answer with ${title} is read, and only what is odd is passed over`, async (t) => {
    const { warnings, ...tokens } = read(JSON.stringify(body));
    const { warnings: expectedWarnings, ...expectedTokens } = expected;
    t.strictSame(tokens, { ...expectedTokens, obtainedAtMs: sentAtMs });
    t.strictSame(Object.fromEntries(warnings.map(({ field, code }) => [field, code])), expectedWarnings ?? {});
  });
}

t.test('the status of a 2xx does not matter', async (t) => {
  t.match(read(JSON.stringify(good), 201), whole);
  t.match(read(JSON.stringify(good), 203), whole);
});

const useless: readonly (readonly [string, string, ErrorCode])[] = [
  ['nothing in it', '', 'token_endpoint_malformed'],
  ['HTML', '<!doctype html><title>SECRET-at</title>', 'token_endpoint_malformed'],
  ['JSON that is cut off', '{"access_token":"SECRET-at","refresh_tok', 'token_endpoint_malformed'],
  ['an array', '["SECRET-at"]', 'token_endpoint_malformed'],
  ['null', 'null', 'token_endpoint_malformed'],
  ['a string', '"SECRET-at"', 'token_endpoint_malformed'],
  ['a form', 'access_token=SECRET-at', 'token_endpoint_malformed'],
  ['an empty object', '{}', 'token_endpoint_malformed'],
  ['a number for a token', '{"access_token":1}', 'token_endpoint_malformed'],
  ['an empty token', '{"access_token":""}', 'token_endpoint_malformed'],
  ['an id token alone', '{"id_token":"SECRET-at"}', 'token_endpoint_malformed'],
  ['tokens under a prototype', '{"__proto__":{"access_token":"SECRET-at"}}', 'token_endpoint_malformed'],
  ['an access token that cannot stand in a header, alone', '{"access_token":"SECRET-at\\n"}', 'access_token_malformed'],
];

for (const [title, body, code] of useless) {
  t.test(`an answer with ${title} is ${code}, of unknown outcome`, async (t) => {
    try {
      read(body);
      t.fail('it was read');
    } catch (thrown) {
      t.ok(thrown instanceof SidebearerError);
      if (!(thrown instanceof SidebearerError)) return;
      t.equal(thrown.code, code);
      t.equal(thrown.row.outcome, 'unknown');
      holdsNone(t, thrown, ['SECRET-at']);
    }
  });
}

t.test('whatever the JSON, a string refresh_token is kept and nothing but a SidebearerError is thrown', async () => {
  const field = fc.constantFrom(
    'access_token',
    'refresh_token',
    'id_token',
    'expires_in',
    'refresh_token_expires_in',
    'refresh_expires_in',
    'token_type',
    'scope',
    'error',
  );
  const value = fc.oneof(fc.jsonValue(), fc.string(), fc.double({ noNaN: true }), fc.integer(), fc.constant(null));
  const answers = fc.oneof(fc.dictionary(field, value), fc.jsonValue(), fc.string());
  fc.assert(
    fc.property(answers, fc.option(fc.string({ minLength: 1 })), (answer, refreshToken) => {
      const isObject = typeof answer === 'object' && answer !== null && !Array.isArray(answer);
      const given = isObject && refreshToken !== null ? { ...answer, refresh_token: refreshToken } : answer;
      let tokens: TokenAnswer;
      try {
        tokens = read(JSON.stringify(given));
      } catch (thrown) {
        return thrown instanceof SidebearerError && !(isObject && refreshToken !== null);
      }
      const isKept = refreshToken === null || tokens.refreshToken === refreshToken;
      const isUsable = tokens.accessToken === undefined || /^[\x21-\x7e]+$/.test(tokens.accessToken);
      const isLater = tokens.expiresAtMs === undefined || tokens.expiresAtMs >= sentAtMs;
      return isKept && isUsable && isLater && (tokens.accessToken ?? tokens.refreshToken) !== undefined;
    }),
    { numRuns: 3_000, seed: 20_261_123 },
  );
});
