import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import type { AddressInfo, LookupFunction } from 'node:net';
import t, { type Test } from 'tap';
import { Agent, Pool } from 'undici';
import { systemClock } from '../../src/clock.ts';
import type { TokenCall } from '../../src/providers/provider.ts';
import { createEndpointCaller, type EndpointRequest } from '../../src/providers/token-endpoint.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { createCertificate } from './_certificate.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, createScriptedEndpoint, type EndpointScript, type ScriptedEndpoint } from './_scripted-endpoint.ts';

const secret = 'rt-SECRET-0123456789';
const post: EndpointRequest = {
  method: 'POST',
  headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: `Basic ${secret}` },
  body: `refresh_token=${secret}`,
};
const patient: TokenCall = { timeoutMs: 20_000, mayBegin: () => true };

async function scripted(t: Test, script: EndpointScript): Promise<ScriptedEndpoint> {
  const endpoint = await createScriptedEndpoint(script);
  t.teardown(() => endpoint.close());
  return endpoint;
}

t.test('an answer is read whole, with the wall time at which its request began', async (t) => {
  const clock = createFakeClock();
  const endpoint = await scripted(t, { reply: () => answerOf(200, '{"é":1}') });
  const answer = await createEndpointCaller({ clock })(`${endpoint.origin}/token?tenant=a`, post, patient);
  t.strictSame(answer, { status: 200, body: '{"é":1}', sentAtMs: clock.wallMs() });
  t.equal(clock.armed, 0, 'no timer is left');
  t.match(endpoint.requests[0], { method: 'POST', target: '/token?tenant=a', form: { refresh_token: secret } });
});

t.test('a byte order mark is no part of an answer', async (t) => {
  const endpoint = await scripted(t, { reply: () => answerOf(200, '\uFEFF{}') });
  const answer = await createEndpointCaller({ clock: systemClock })(`${endpoint.origin}/token`, post, patient);
  t.equal(answer.body, '{}');
});

t.test('every call has a connection of its own', async (t) => {
  const server = createServer((_request, response) => response.end('{}')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  t.teardown(() => server.close());
  const call = createEndpointCaller({ clock: systemClock });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  await call(url, post, patient);
  // Time for a connection that were kept to be found free.
  await new Promise((resolve) => setTimeout(resolve, 20));
  await call(url, post, patient);
  t.equal(connections, 2);
});

t.test('HTTP/2 is not spoken, even where both sides could: it may send a request twice', async (t) => {
  const certificate = createCertificate();
  const server = createSecureServer({ ...certificate, allowHTTP1: true }, (request, response) => {
    response.end(request.httpVersion);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const dispatcher = new Agent({ allowH2: true, connect: { ca: certificate.cert } });
  t.teardown(() => dispatcher.destroy());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  t.equal((await createEndpointCaller({ clock: systemClock, dispatcher })(url, post, patient)).body, '1.1');
});

t.test('mayBegin saying no is lease_lost, and not one byte is sent', async (t) => {
  const endpoint = await scripted(t, { reply: () => answerOf(200, '{}') });
  let asked = 0;
  const call = createEndpointCaller({ clock: systemClock });
  const error = await rejectionOf(
    t,
    call(`${endpoint.origin}/token`, post, {
      timeoutMs: 20_000,
      mayBegin: () => {
        asked += 1;
        return false;
      },
    }),
  );
  await endpoint.idle();
  t.equal(error.code, 'lease_lost');
  t.equal(asked, 1);
  t.equal(endpoint.connections, 1, 'it was asked when the connection stood');
  t.equal(endpoint.bytesReceived, 0);
});

t.test('over TLS mayBegin saying no sends nothing inside the connection either', async (t) => {
  const certificate = createCertificate();
  const endpoint = await scripted(t, { reply: () => answerOf(200, '{}'), certificate });
  const dispatcher = new Agent({ connect: { ca: certificate.cert } });
  t.teardown(() => dispatcher.destroy());
  const call = createEndpointCaller({ clock: systemClock, dispatcher });
  const url = `${endpoint.origin}/token`;
  t.equal((await call(url, post, patient)).status, 200, 'the certificate serves');
  const before = endpoint.bytesReceived;
  const error = await rejectionOf(t, call(url, post, { ...patient, mayBegin: () => false }));
  await endpoint.idle();
  t.equal(error.code, 'lease_lost');
  t.equal(endpoint.bytesReceived, before);
});

t.test('a redirect is an answer and is not followed', async (t) => {
  const endpoint = await scripted(t, { reply: () => answerOf(307, '', { location: '/elsewhere' }) });
  const answer = await createEndpointCaller({ clock: systemClock })(`${endpoint.origin}/token`, post, patient);
  t.equal(answer.status, 307);
  t.equal(endpoint.connections, 1);
});

t.test('an answer above 1 MiB is cut off and counts as empty', async (t) => {
  const endpoint = await scripted(t, { reply: () => answerOf(200, 'x'.repeat(1024 * 1024 + 1)) });
  const answer = await createEndpointCaller({ clock: systemClock })(`${endpoint.origin}/token`, post, patient);
  t.match(answer, { status: 200, body: '' });
  await endpoint.idle();
});

t.test('an answer of exactly 1 MiB is read', async (t) => {
  const endpoint = await scripted(t, { reply: () => answerOf(200, 'x'.repeat(1024 * 1024)) });
  const answer = await createEndpointCaller({ clock: systemClock })(`${endpoint.origin}/token`, post, patient);
  t.equal(answer.body.length, 1024 * 1024);
});

t.test('a 103 before the answer is passed over', async (t) => {
  const endpoint = await scripted(t, { reply: () => `HTTP/1.1 103 Early Hints\r\n\r\n${answerOf(200, '{}')}` });
  const answer = await createEndpointCaller({ clock: systemClock })(`${endpoint.origin}/token`, post, patient);
  t.equal(answer.status, 200);
});

t.test('Retry-After is told with the answer', async (t) => {
  const endpoint = await scripted(t, { reply: () => answerOf(429, '', { 'retry-after': '9' }) });
  const answer = await createEndpointCaller({ clock: systemClock })(`${endpoint.origin}/token`, post, patient);
  t.equal(answer.retryAfterMs, 9_000);
});

t.test('a request that was sent and gets no answer in time is token_endpoint_no_answer', async (t) => {
  const clock = createFakeClock();
  const endpoint = await scripted(t, { reply: () => ({ end: 'silence' }) });
  const calling = rejectionOf(t, createEndpointCaller({ clock })(`${endpoint.origin}/token`, post, patient));
  await endpoint.seen(1);
  await clock.advance(20_000);
  const error = await calling;
  t.equal(error.code, 'token_endpoint_no_answer');
  await endpoint.idle();
});

t.test('an answer that stops halfway is token_endpoint_no_answer', async (t) => {
  const clock = createFakeClock();
  const half = answerOf(200, `{"access_token":"${secret}"}`).slice(0, -5);
  const endpoint = await scripted(t, { reply: () => ({ end: 'silence', after: half }) });
  const calling = rejectionOf(t, createEndpointCaller({ clock })(`${endpoint.origin}/token`, post, patient));
  await endpoint.seen(1);
  await clock.advance(20_000);
  t.equal((await calling).code, 'token_endpoint_no_answer');
});

const sentAndLost: readonly (readonly [string, EndpointScript])[] = [
  ['a reset at the first byte', { onConnection: (socket) => socket.once('data', () => socket.resetAndDestroy()) }],
  ['a reset after the request was read', { reply: () => ({ end: 'reset' }) }],
  ['a close after the request was read', { reply: () => ({ end: 'close' }) }],
  [
    'a reset within the answer',
    { reply: () => ({ end: 'reset', after: answerOf(200, `{"access_token":"${secret}"}`).slice(0, -5) }) },
  ],
  [
    'a close within the answer',
    { reply: () => ({ end: 'close', after: answerOf(200, `{"access_token":"${secret}"}`).slice(0, -5) }) },
  ],
  ['an answer that is not HTTP', { reply: () => `${secret} is not HTTP\r\n\r\n` }],
  [
    'a 101 that nobody asked for',
    { reply: () => 'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n' },
  ],
];

for (const [title, script] of sentAndLost) {
  t.test(`${title} is token_endpoint_no_answer, with what is known of the cause and without a secret`, async (t) => {
    const endpoint = await scripted(t, script);
    const call = createEndpointCaller({ clock: systemClock });
    const error = await rejectionOf(t, call(`${endpoint.origin}/token`, post, patient));
    t.equal(error.code, 'token_endpoint_no_answer');
    t.equal(error.row.outcome, 'unknown');
    t.type(error.details.systemCode ?? error.details.reason, 'string');
    holdsNone(t, error, [secret]);
    t.equal(endpoint.connections, 1, 'it is not sent again');
  });
}

t.test('an idle connection that the endpoint closes as it is used again is token_endpoint_no_answer', async (t) => {
  const endpoint = await scripted(t, {
    reply: (_request, index) =>
      index === 0
        ? { end: 'silence', after: answerOf(200, '{}').replace('connection: close', 'connection: keep-alive') }
        : { end: 'reset' },
  });
  const dispatcher = new Pool(endpoint.origin, { connections: 1 });
  t.teardown(() => dispatcher.destroy());
  await dispatcher.request({ path: '/other', method: 'GET' }).then(({ body }) => body.dump());
  const call = createEndpointCaller({ clock: systemClock, dispatcher });
  const error = await rejectionOf(t, call(`${endpoint.origin}/token`, post, patient));
  t.equal(error.code, 'token_endpoint_no_answer');
  t.equal(endpoint.connections, 1, 'the connection was the one that had served before');
});

t.test('a dispatcher that would send a second time is stopped: token_endpoint_no_answer', async (t) => {
  const endpoint = await scripted(t, { reply: () => ({ end: 'silence' }) });
  const agent = new Agent();
  t.teardown(() => agent.destroy());
  const dispatcher = agent.compose((dispatch) => (options, handler) => {
    dispatch(options, handler);
    return dispatch(options, handler);
  });
  const call = createEndpointCaller({ clock: systemClock, dispatcher });
  const error = await rejectionOf(t, call(`${endpoint.origin}/token`, post, patient));
  await endpoint.idle();
  t.equal(error.code, 'token_endpoint_no_answer');
  t.ok(endpoint.requests.length <= 1);
});

t.test('a refused connection is token_endpoint_unreachable with ECONNREFUSED', async (t) => {
  const endpoint = await createScriptedEndpoint({});
  await endpoint.close();
  const call = createEndpointCaller({ clock: systemClock });
  const error = await rejectionOf(t, call(`${endpoint.origin}/token`, post, patient));
  t.equal(error.code, 'token_endpoint_unreachable');
  t.equal(error.row.outcome, 'temporary');
  t.match(error.details, { systemCode: 'ECONNREFUSED', address: `127.0.0.1:${endpoint.port}` });
  holdsNone(t, error, [secret]);
});

t.test('a name that does not resolve is token_endpoint_unreachable with ENOTFOUND', async (t) => {
  const lookup: LookupFunction = (hostname, _options, done) =>
    done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), []);
  const dispatcher = new Agent({ connect: { lookup } });
  t.teardown(() => dispatcher.destroy());
  const call = createEndpointCaller({ clock: systemClock, dispatcher });
  const error = await rejectionOf(t, call('https://idp.example/token', post, patient));
  t.equal(error.code, 'token_endpoint_unreachable');
  t.equal(error.details.systemCode, 'ENOTFOUND');
  holdsNone(t, error, [secret]);
});

t.test('a certificate that nobody vouches for is token_endpoint_unreachable, and nothing is sent', async (t) => {
  const endpoint = await scripted(t, { reply: () => answerOf(200, '{}'), certificate: createCertificate() });
  const call = createEndpointCaller({ clock: systemClock });
  const error = await rejectionOf(t, call(`${endpoint.origin}/token`, post, patient));
  t.equal(error.code, 'token_endpoint_unreachable');
  t.equal(error.details.systemCode, 'DEPTH_ZERO_SELF_SIGNED_CERT');
  t.equal(endpoint.bytesReceived, 0);
  holdsNone(t, error, [secret]);
});

t.test('a certificate of another host is token_endpoint_unreachable, and nothing is sent', async (t) => {
  const certificate = createCertificate('127.0.0.9');
  const endpoint = await scripted(t, { reply: () => answerOf(200, '{}'), certificate });
  const dispatcher = new Agent({ connect: { ca: certificate.cert } });
  t.teardown(() => dispatcher.destroy());
  const call = createEndpointCaller({ clock: systemClock, dispatcher });
  const error = await rejectionOf(t, call(`${endpoint.origin}/token`, post, patient));
  t.equal(error.code, 'token_endpoint_unreachable');
  t.equal(error.details.systemCode, 'ERR_TLS_CERT_ALTNAME_INVALID');
  t.equal(endpoint.bytesReceived, 0);
});

t.test('plain HTTP where TLS is spoken is token_endpoint_unreachable', async (t) => {
  const endpoint = await scripted(t, { onConnection: (socket) => socket.end(answerOf(400, '')) });
  const call = createEndpointCaller({ clock: systemClock });
  const error = await rejectionOf(t, call(`${endpoint.origin.replace('http', 'https')}/token`, post, patient));
  t.equal(error.code, 'token_endpoint_unreachable');
  t.type(error.details.systemCode, 'string');
});

t.test(
  'a connection that does not stand in time is token_endpoint_unreachable, and is not used when it stands',
  async (t) => {
    const clock = createFakeClock();
    const endpoint = await scripted(t, { reply: () => answerOf(200, '{}') });
    let resolveNow: (() => void) | undefined;
    const lookup: LookupFunction = (_hostname, _options, done) => {
      resolveNow = () => done(null, [{ address: '127.0.0.1', family: 4 }]);
    };
    const dispatcher = new Agent({ connect: { lookup } });
    t.teardown(() => dispatcher.destroy());
    let asked = 0;
    const mayBegin = (): boolean => {
      asked += 1;
      return true;
    };
    const call = createEndpointCaller({ clock, dispatcher });
    const calling = rejectionOf(
      t,
      call(`http://idp.example:${endpoint.port}/token`, post, { timeoutMs: 5_000, mayBegin }),
    );
    await clock.advance(5_000);
    const error = await calling;
    t.equal(error.code, 'token_endpoint_unreachable');
    t.ok(resolveNow);
    resolveNow?.();
    while (endpoint.connections === 0) await new Promise((resolve) => setImmediate(resolve));
    await endpoint.idle();
    t.equal(endpoint.bytesReceived, 0);
    t.equal(asked, 0);
  },
);
