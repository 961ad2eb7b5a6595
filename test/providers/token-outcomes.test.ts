// Every line of docs/token-answers.md over a real socket: what a call comes to, for each grant and for a login, whether
// it may be tried again at once, and whether it counts for the breaker. A line that no case meets fails the test.
import { createServer, type LookupFunction } from 'node:net';
import t, { type Test } from 'tap';
import { Agent, type Dispatcher } from 'undici';
import { type Clock, systemClock } from '../../src/clock.ts';
import { mayRepeat } from '../../src/credentials/attempts.ts';
import { isOutage } from '../../src/credentials/breaker.ts';
import { createEndpointDispatcher } from '../../src/egress/connector.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import type { TokenAnswer, TokenCall } from '../../src/providers/provider.ts';
import { refusals } from '../../src/providers/rejection.ts';
import { unusableAnswers, withoutAnswer } from '../../src/providers/token-outcomes.ts';
import { startConnectProxy } from '../egress/_connect-proxy.ts';
import { openWay } from '../egress/_way.ts';
import { createCertificate } from './_certificate.ts';
import { codexAt, oauth2At, scripted } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, createScriptedEndpoint, jsonOf, type Reply } from './_scripted-endpoint.ts';

const secrets = ['rt-SECRET', 'cs-SECRET', 'sub-SECRET', 'code-SECRET', 'v-SECRET'];
const tokens = { access_token: 'at', token_type: 'Bearer', expires_in: 3600, refresh_token: 'rt2' };

interface Place {
  readonly origin: string;
  readonly dispatcher?: Dispatcher;
  /** Attempts end after so long, logins included. */
  readonly timeoutMs?: number;
  readonly mayBegin?: boolean;
}

const callers = ['refresh', 'codex', 'client_credentials', 'token_exchange', 'jwt_bearer', 'login'] as const;
type Caller = (typeof callers)[number];

/** One call of each kind. */
function callsAt({
  origin,
  dispatcher,
  timeoutMs,
  mayBegin = true,
}: Place): Record<Caller, () => Promise<TokenAnswer>> {
  const clock: Clock =
    timeoutMs === undefined
      ? systemClock
      : { ...systemClock, after: (ms, fire, options) => systemClock.after(Math.min(ms, timeoutMs), fire, options) };
  const parts = { clock, dispatcher };
  const call: TokenCall = { timeoutMs: 20_000, mayBegin: () => mayBegin };
  const client = { clientSecret: 'cs-SECRET' };
  const subject = { ...client, subjectTokenFile: '/nowhere' };
  const obtain = (grant: 'client_credentials' | 'token_exchange' | 'jwt_bearer') => (): Promise<TokenAnswer> =>
    oauth2At(origin, { ...subject, grant }, parts).obtain(call, 'sub-SECRET');
  return {
    refresh: () => oauth2At(origin, client, parts).refresh('rt-SECRET', call),
    codex: () => codexAt(origin, {}, parts).refresh('rt-SECRET', call),
    client_credentials: obtain('client_credentials'),
    token_exchange: obtain('token_exchange'),
    jwt_bearer: obtain('jwt_bearer'),
    async login() {
      const { login } = oauth2At(origin, client, parts);
      if (login === undefined) throw new Error('a login is expected');
      const parameters = new URLSearchParams({ code: 'code-SECRET', state: 's' });
      return login.exchange({ state: 's', nonce: 'n', verifier: 'v-SECRET'.padEnd(43, 'v'), parameters });
    },
  };
}

interface Expected {
  readonly codes: Readonly<Record<Caller, ErrorCode>>;
  /** Again at once: a refresh, and a grant that spends nothing. */
  readonly repeats: readonly [boolean, boolean];
  readonly outage: boolean;
}

async function check(t: Test, place: Place, { codes, repeats, outage }: Expected): Promise<void> {
  const calls = callsAt(place);
  for (const caller of callers) {
    const error = await rejectionOf(t, calls[caller]());
    t.equal(error.code, codes[caller], caller);
    holdsNone(t, error, secrets);
    if (caller !== 'refresh') continue;
    t.strictSame([mayRepeat(error, true), mayRepeat(error, false)], repeats, 'tried again at once');
    t.equal(isOutage(error), outage, 'counts for the breaker');
  }
}

const all = (code: ErrorCode, login: ErrorCode): Expected['codes'] => ({
  refresh: code,
  codex: code,
  client_credentials: code,
  token_exchange: code,
  jwt_bearer: code,
  login,
});

const temporary = { repeats: [true, true], outage: true } as const;
const unknown = { repeats: [false, true], outage: true } as const;
const unreachable: Expected = { codes: all('token_endpoint_unreachable', 'exchange_unreachable'), ...temporary };
const noAnswer: Expected = { codes: all('token_endpoint_no_answer', 'exchange_no_answer'), ...unknown };
const malformed: Expected = { codes: all('token_endpoint_malformed', 'exchange_malformed'), ...unknown };

function agentWith(t: Test, lookup: LookupFunction): Dispatcher {
  const agent = new Agent({ connect: { lookup } });
  t.teardown(() => agent.destroy());
  return agent;
}

async function answering(t: Test, reply: Reply): Promise<Place> {
  return { origin: (await scripted(t, { reply: () => reply })).origin };
}

/** Bytes as soon as a connection stands, in the place of TLS. */
async function insteadOfTls(t: Test, bytes: Buffer | 'reset'): Promise<Place> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => (bytes === 'reset' ? socket.resetAndDestroy() : socket.end(bytes)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const address = server.address();
  return { origin: `https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` };
}

async function behind(t: Test, reply: string | 'close'): Promise<Place> {
  const proxy = await startConnectProxy(t, { reply });
  const dispatcher = createEndpointDispatcher(await openWay(t, { proxy: proxy.url }));
  t.teardown(() => dispatcher.destroy());
  return { origin: 'https://idp.test', dispatcher };
}

/** Fatal, handshake_failure (RFC 8446, section 6). */
const alert = Buffer.from('15030300020228', 'hex');
const cut = jsonOf(200, tokens).slice(0, -5);

type Ids = (typeof withoutAnswer)[number]['id'] | (typeof unusableAnswers)[number]['id'];

const cases: readonly (readonly [Ids, string, (t: Test) => Promise<Place>, Expected])[] = [
  [
    'dns',
    'a name that does not resolve',
    async (t) => ({
      origin: 'https://idp.test',
      dispatcher: agentWith(t, (_name, _options, done) =>
        done(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), []),
      ),
    }),
    unreachable,
  ],
  [
    'refused',
    'a connection that is refused',
    async () => {
      const endpoint = await createScriptedEndpoint({});
      await endpoint.close();
      return { origin: endpoint.origin };
    },
    unreachable,
  ],
  [
    'late',
    'a name that resolves too late',
    async (t) => ({ origin: 'https://idp.test', dispatcher: agentWith(t, () => undefined), timeoutMs: 30 }),
    unreachable,
  ],
  [
    'tls',
    'a certificate that nobody vouches for',
    async (t) => ({ origin: (await scripted(t, { certificate: createCertificate() })).origin }),
    unreachable,
  ],
  ['tls', 'a handshake that is ended', (t) => insteadOfTls(t, alert), unreachable],
  ['tls', 'HTTP where TLS is spoken', (t) => insteadOfTls(t, Buffer.from(answerOf(400, ''))), unreachable],
  ['reset-before', 'a reset within the handshake', (t) => insteadOfTls(t, 'reset'), unreachable],
  [
    'egress-down',
    'an egress proxy that ends the connection',
    (t) => behind(t, 'close'),
    {
      codes: all('egress_unreachable', 'egress_unreachable'),
      ...temporary,
    },
  ],
  [
    'egress-refuses',
    'an egress proxy that says no',
    (t) => behind(t, 'HTTP/1.1 403 No\r\n\r\n'),
    {
      codes: all('egress_refused', 'egress_refused'),
      ...temporary,
    },
  ],
  ['reset-after', 'a reset after the request', (t) => answering(t, { end: 'reset' }), noAnswer],
  ['reset-after', 'a close after the request', (t) => answering(t, { end: 'close' }), noAnswer],
  ['cut', 'a reset within the answer', (t) => answering(t, { end: 'reset', after: cut }), noAnswer],
  ['cut', 'a close within the answer', (t) => answering(t, { end: 'close', after: cut }), noAnswer],
  ['slow', 'no answer', async (t) => ({ ...(await answering(t, { end: 'silence' })), timeoutMs: 200 }), noAnswer],
  [
    'slow',
    'half an answer',
    async (t) => ({ ...(await answering(t, { end: 'silence', after: cut })), timeoutMs: 200 }),
    noAnswer,
  ],
  ['no-http', 'bytes that are not HTTP', (t) => answering(t, 'SSH-2.0-x\r\n\r\n'), noAnswer],
  ['empty', '200 with nothing', (t) => answering(t, answerOf(200, '')), malformed],
  ['empty', '204', (t) => answering(t, 'HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n'), malformed],
  [
    'huge',
    '200 above 1 MiB',
    (t) => answering(t, answerOf(200, JSON.stringify({ ...tokens, x: 'x'.repeat(1_100_000) }))),
    malformed,
  ],
  ['html', '200 with HTML', (t) => answering(t, answerOf(200, '<h1>hello</h1>')), malformed],
  [
    'torn',
    '200 with JSON that is cut off',
    (t) => answering(t, answerOf(200, JSON.stringify(tokens).slice(0, -9))),
    malformed,
  ],
  ['no-object', '200 with a list', (t) => answering(t, jsonOf(200, [tokens])), malformed],
  ['no-object', '200 with null', (t) => answering(t, jsonOf(200, null)), malformed],
  ['no-token', '200 with an empty object', (t) => answering(t, jsonOf(200, {})), malformed],
  [
    'no-token',
    '200 with a number for a token',
    (t) => answering(t, jsonOf(200, { access_token: 7, refresh_token: [] })),
    malformed,
  ],
  [
    'not-ascii',
    '200 with a token of two lines',
    (t) => answering(t, jsonOf(200, { access_token: 'a\nb' })),
    {
      codes: all('access_token_malformed', 'access_token_malformed'),
      ...unknown,
    },
  ],
];

const met = new Set<string>();

for (const [id, title, place, expected] of cases) {
  t.test(`${title} is ${expected.codes.refresh}`, async (t) => {
    met.add(id);
    const row = [...withoutAnswer, ...unusableAnswers].find((each) => each.id === id);
    t.equal(row?.code, expected.codes.refresh, 'as the table has it');
    await check(t, await place(t), expected);
  });
}

t.test(
  'a lease that runs out before the first byte is lease_lost: not repeated on its own, and no outage',
  async (t) => {
    met.add('lease');
    const endpoint = await scripted(t, { reply: () => jsonOf(200, tokens) });
    const calls = callsAt({ origin: endpoint.origin, mayBegin: false });
    for (const caller of callers.filter((each) => each !== 'login')) {
      const error = await rejectionOf(t, calls[caller]());
      t.match(error, { code: 'lease_lost' }, caller);
      t.strictSame([mayRepeat(error, true), mayRepeat(error, false), isOutage(error)], [false, false, false]);
    }
    t.equal(endpoint.bytesReceived, 0);
  },
);

// --- refusals -----------------------------------------------------------------------------------------------------

const refused = (code: ErrorCode, login: ErrorCode, change: Partial<Expected['codes']> = {}): Expected => ({
  codes: { ...all(code, login), ...change },
  repeats: [false, false],
  outage: false,
});
const rejectedClient = refused('client_rejected', 'exchange_failed');
const otherwise = refused('token_endpoint_refused', 'exchange_failed');
const judged = { repeats: [true, true], outage: false } as const;

const answers: readonly (readonly [number, string | undefined, Expected])[] = [
  [
    400,
    'invalid_grant',
    refused('grant_rejected', 'code_rejected', {
      client_credentials: 'client_rejected',
      token_exchange: 'subject_token_rejected',
      jwt_bearer: 'subject_token_rejected',
    }),
  ],
  [400, 'invalid_client', rejectedClient],
  [400, 'unauthorized_client', rejectedClient],
  [400, 'invalid_scope', rejectedClient],
  [400, 'unsupported_grant_type', rejectedClient],
  [400, 'invalid_target', rejectedClient],
  [400, 'invalid_request', { ...otherwise, codes: { ...otherwise.codes, token_exchange: 'subject_token_rejected' } }],
  [400, 'something_else', otherwise],
  [400, undefined, otherwise],
  [401, undefined, { ...rejectedClient, codes: { ...rejectedClient.codes, codex: 'grant_rejected' } }],
  [401, 'invalid_grant', { ...rejectedClient, codes: { ...rejectedClient.codes, codex: 'grant_rejected' } }],
  [403, undefined, otherwise],
  [403, 'unsupported_country_region_territory', refused('region_unsupported', 'exchange_failed')],
  [404, undefined, otherwise],
  ...[301, 302, 307, 308].map(
    (status) => [status, undefined, refused('token_endpoint_redirected', 'exchange_failed')] as const,
  ),
  [408, undefined, { codes: all('token_endpoint_failing', 'exchange_busy'), ...judged }],
  [429, undefined, { codes: all('token_endpoint_limited', 'exchange_busy'), ...judged }],
  ...[500, 502, 503, 504].map(
    (status) => [status, undefined, { codes: all('token_endpoint_failing', 'exchange_busy'), ...temporary }] as const,
  ),
  [999, undefined, malformed],
];

/** Where a provider's code is seen. */
const shapes: readonly (readonly [string, (code: string) => object])[] = [
  ['at error', (error) => ({ error, error_description: 'rt-SECRET is not known' })],
  ['at error.code', (code) => ({ error: { code, message: 'rt-SECRET is not known' } })],
  ['at code, in capitals', (code) => ({ code: code.toUpperCase() })],
];

for (const [status, providerCode, expected] of answers) {
  const forms: readonly (readonly [string, string])[] =
    providerCode === undefined
      ? [
          ['with nothing', ''],
          ['with HTML', '<h1>rt-SECRET</h1>'],
          ['with a code that is none', '{"error":["rt-SECRET"]}'],
        ]
      : shapes.map(([where, shape]) => [`${providerCode} ${where}`, JSON.stringify(shape(providerCode))]);
  for (const [title, body] of forms) {
    t.test(`${status} ${title} is ${expected.codes.refresh}`, async (t) => {
      const headers = status >= 300 && status < 400 ? { location: 'https://elsewhere.test/token' } : {};
      await check(t, await answering(t, answerOf(status, body, headers)), expected);
    });
  }
}

t.test('every line of the tables was met', async (t) => {
  for (const { id } of [...withoutAnswer, ...unusableAnswers]) t.ok(met.has(id), id);
  for (const { from, to, providerCode } of refusals) {
    const hit = answers.some(([status, given]) => status >= from && status <= to && given === providerCode);
    t.ok(hit, `${from} to ${to} ${providerCode ?? ''}`);
  }
});
