import fc from 'fast-check';
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { CENSORED, redactFields, redactText } from '../../src/telemetry/redaction.ts';

const SECRET = 'S3cr3t-value_0';

const names = [
  'authorization',
  'Authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'Set-Cookie',
  'access_token',
  'accessToken',
  'refresh_token',
  'id_token',
  'token',
  'tokens',
  'subject_token',
  'code',
  'state',
  'nonce',
  'code_verifier',
  'verifier',
  'client_secret',
  'clientSecret',
  'password',
  'api_key',
  'client_assertion',
  'private_key',
  'clientKey',
  'device_code',
  'userCode',
  'device_auth_id',
  'keys',
  'sealed',
];

for (const name of names) {
  t.test(`a value under ${name} is taken out at every depth and in raw headers`, async (t) => {
    const shapes: Record<string, unknown>[] = [
      { [name]: SECRET },
      { [name]: [SECRET] },
      { [name]: { inner: SECRET } },
      { a: { [name]: SECRET } },
      { a: { b: { c: { d: { [name]: SECRET } } } } },
      { a: [{ b: [{ [name]: SECRET }] }] },
      { rawHeaders: ['accept', '*/*', name, SECRET] },
      { headers: [[name, SECRET]] },
    ];
    for (const shape of shapes) {
      const printed = JSON.stringify(redactFields(shape));
      t.notMatch(printed, SECRET, JSON.stringify(shape));
      t.match(printed, CENSORED);
    }
  });
}

t.test('a private key in PEM is taken out of a text, cut off or whole', async (t) => {
  const begin = '-----BEGIN RSA PRIVATE KEY-----';
  t.equal(redactText(`a ${begin}\n${SECRET}\n-----END RSA PRIVATE KEY----- b`), `a ${CENSORED} b`);
  t.equal(redactText(`a ${begin}\n${SECRET}`), `a ${CENSORED}`);
  t.equal(redactText('-----BEGIN CERTIFICATE-----'), '-----BEGIN CERTIFICATE-----');
});

t.test('what our own lines say stays: codes of the catalogue, states, flags', async (t) => {
  const fields = {
    code: 'grant_revoked',
    state: 'cooling',
    breaker: 'open',
    credential: 'codex',
    hasRefreshToken: true,
    listener: 'oauth',
    url: 'http://127.0.0.1:8080',
    count: 3,
  };
  t.strictSame(redactFields(fields), fields);
});

t.test('texts lose bearer values, JWTs, passwords in URLs, OAuth parameters and JSON bodies', async (t) => {
  const texts = [
    `Authorization: Bearer ${SECRET}`,
    `basic ${SECRET}==`,
    `GET /callback?code=${SECRET}&state=x failed`,
    `http://localhost/cb?x=1&code=${SECRET}#frag`,
    `grant_type=refresh_token&refresh_token=${SECRET}`,
    `client_secret=${SECRET}`,
    `https://user:${SECRET}@idp.test/`,
    `{"access_token":"${SECRET}","x":1}`,
    `{"refresh_token" : "a\\"${SECRET}"}`,
    `eyJhbGciOiJub25lIn0.${SECRET}.${SECRET}`,
  ];
  for (const text of texts) t.notMatch(redactText(text), SECRET, text);
  t.equal(redactText('The store cannot be written: disk full'), 'The store cannot be written: disk full');
});

t.test('foreign objects, bytes, cycles and long texts are bounded and never printed whole', async (t) => {
  class Holder {
    value = SECRET;
    toJSON() {
      return SECRET;
    }
  }
  const cycle: Record<string, unknown> = { secretless: 1 };
  cycle['self'] = cycle;
  const printed = JSON.stringify(
    redactFields({
      holder: new Holder(),
      bytes: Buffer.from(SECRET),
      map: new Map([['a', SECRET]]),
      headers: new Headers({ authorization: SECRET }),
      search: new URLSearchParams({ code: SECRET }),
      url: new URL(`http://u:${SECRET}@h.test/p?code=${SECRET}`),
      thunk: () => SECRET,
      symbol: Symbol(SECRET),
      cycle,
      long: 'x'.repeat(100_000),
      many: Array.from({ length: 10_000 }, (_, i) => i),
    }),
  );
  t.notMatch(printed, SECRET);
  t.ok(printed.length < 10_000, `${printed.length} characters`);
  t.match(printed, '[Holder]');
  t.match(printed, 'http://h.test/p');
});

t.test(
  'an error prints code, message, next, details and the system code of its root cause, nothing foreign',
  async (t) => {
    const system = Object.assign(new Error(`connect to https://idp.test/?code=${SECRET}`), { code: 'ECONNREFUSED' });
    const wrapped = new TypeError(`fetch failed ${SECRET}`, { cause: system });
    const error = new SidebearerError(
      'token_endpoint_unreachable',
      { credential: 'codex', reason: 'no route' },
      wrapped,
    );
    const printed = redactFields({ err: error });
    t.strictSame(printed, {
      err: {
        code: 'token_endpoint_unreachable',
        layer: 'refresh',
        next: 'Check DNS, network policy, TLS and proxy to the provider.',
        credential: 'codex',
        systemCode: 'ECONNREFUSED',
        message: 'The token endpoint cannot be reached; nothing was sent: no route',
      },
    });
  },
);

t.test('a foreign error becomes internal_error with its kind and places, without its message', async (t) => {
  const thrown = new RangeError(`${SECRET}\n    at ${SECRET} (file:///${SECRET}:1:1)\nsecond line`);
  const printed = JSON.stringify(redactFields({ err: thrown }));
  t.match(printed, '"code":"internal_error"');
  t.match(printed, '"kind":"RangeError"');
  t.match(printed, /redaction\.test\.ts:\d+:\d+/);
  t.notMatch(printed, SECRET);
});

t.test("a cause's code that is no system code is not printed: it may be an authorization code", async (t) => {
  const foreign = Object.assign(new Error('x'), { code: SECRET });
  const printed = JSON.stringify(redactFields({ err: new SidebearerError('exchange_failed', {}, foreign) }));
  t.notMatch(printed, SECRET);
});

t.test('a circular chain of causes ends', async (t) => {
  const first = new Error('a');
  first.cause = new Error('b', { cause: first });
  t.match(redactFields({ err: new SidebearerError('internal_error', {}, first) }), { err: { code: 'internal_error' } });
});

t.test('property: a secret under a secret name never appears, wherever it stands', async () => {
  const secret = fc.string({ minLength: 12, maxLength: 40 }).map((text) => `§${text}§`);
  const noise = fc.jsonValue({ maxDepth: 2 });
  const step = fc.oneof(
    fc.constant((inner: unknown) => ({ inner })),
    fc.constant((inner: unknown) => [inner]),
    fc.constant((inner: unknown) => [1, { inner }]),
    noise.map((extra) => (inner: unknown) => ({ extra, inner })),
  );
  fc.assert(
    fc.property(fc.constantFrom(...names), secret, fc.array(step, { maxLength: 10 }), (name, value, steps) => {
      const nested = steps.reduce<unknown>((inner, wrap) => wrap(inner), { [name]: value });
      const printed = JSON.stringify(redactFields({ nested }));
      return !printed.includes(JSON.stringify(value).slice(1, -1));
    }),
    { numRuns: 500 },
  );
});

t.test('property: any fields come out as plain JSON, without throwing', async () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.anything({ withBigInt: true, withDate: true, withMap: true })),
      (fields) => {
        JSON.parse(JSON.stringify(redactFields(fields)));
      },
    ),
    { numRuns: 300 },
  );
});
