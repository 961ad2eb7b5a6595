// The webhook's listener over real sockets: the API server is answered, anybody else is told what is wanted, and nothing
// that is sent ends it.
import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import { type AddressInfo, connect, type Server } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import type { Review } from '../../src/inject/admission-review.ts';
import { createAdmissionServer } from '../../src/inject/admission-server.ts';
import { injectPod } from '../../src/inject/pod-injection.ts';
import { type Certificate, createAuthority } from '../providers/_certificate.ts';
import { options, podWith } from './_pods.ts';
import { reviewOf } from './_review.ts';

const authority = createAuthority('webhook');
const certified = (): Certificate & { expiresAtMs: number } => ({
  ...authority.issue({ addresses: ['127.0.0.1'] }),
  expiresAtMs: 0,
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  /** Of the certificate that was shown. */
  readonly serial: string;
}

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly agent?: Agent;
}

async function start(t: Test) {
  const failures: string[] = [];
  const reviews: Review[] = [];
  const admission = createAdmissionServer(certified(), (pod) => injectPod(pod, options), {
    reviewed: (each) => void reviews.push(each),
    failed: ({ code }) => void failures.push(code),
  });
  admission.server.listen(0, '127.0.0.1');
  await once(admission.server, 'listening');
  t.teardown(() => admission.close(0));
  const { port } = admission.server.address() as AddressInfo;
  const send = ({ method = 'POST', path = '/mutate?timeout=5s', headers, body, agent }: Sent): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const type = { 'content-type': 'application/json' };
      const sent = httpsRequest(
        {
          host: '127.0.0.1',
          port,
          method,
          path,
          ca: authority.cert,
          headers: { ...type, ...headers },
          agent: agent ?? false,
        },
        (answer) => {
          const { serialNumber } = (answer.socket as import('node:tls').TLSSocket).getPeerCertificate();
          let text = '';
          answer.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          answer.on('end', () =>
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text, serial: serialNumber }),
          );
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  return { admission, port, failures, reviews, send };
}

t.test('the API server gets its answer', async (t) => {
  const { send, reviews, failures } = await start(t);
  const { status, headers, body } = await send({ body: reviewOf(podWith()) });
  t.equal(status, 200);
  t.match(headers, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' });
  t.match(JSON.parse(body), { response: { uid: 'review-1', allowed: true, patchType: 'JSONPatch' } });
  t.match(reviews, [{ outcome: 'injected', namespace: 'team-a' }]);
  t.equal(reviews.length, 1);
  const type = { 'content-type': 'Application/JSON; charset=utf-8' };
  t.match(await send({ headers: type, body: reviewOf(podWith()) }), { status: 200 });
  t.strictSame(failures, []);
});

t.test('anybody else is told what is wanted', async (t) => {
  const { send, failures, reviews } = await start(t);
  const large = Buffer.alloc(9 * 1_048_576, ' ');
  const cases: readonly [what: string, sent: Sent, status: number, code: string][] = [
    ['another path', { path: '/', body: '{}' }, 404, 'admission_request_invalid'],
    ['another method', { method: 'PUT', body: '{}' }, 405, 'admission_request_invalid'],
    ['another type', { headers: { 'content-type': 'text/plain' }, body: '{}' }, 415, 'admission_request_invalid'],
    ['a compressed body', { headers: { 'content-encoding': 'gzip' }, body: 'x' }, 415, 'admission_request_invalid'],
    ['no JSON', { body: '{' }, 400, 'admission_request_invalid'],
    ['no UTF-8', { body: Buffer.from([0xff, 0xfe]) }, 400, 'admission_request_invalid'],
    ['no review', { body: '{}' }, 400, 'admission_request_invalid'],
    ['too much', { headers: { 'content-length': String(large.length) }, body: '' }, 413, 'admission_request_too_large'],
    [
      'too much in chunks',
      { headers: { 'transfer-encoding': 'chunked' }, body: large },
      413,
      'admission_request_too_large',
    ],
  ];
  for (const [what, sent, status, code] of cases) {
    const answer = await send(sent);
    const allow = status === 405 ? 'POST' : undefined;
    t.match(answer, { status, headers: { allow }, body: new RegExp(`^${code}: `) }, what);
    t.equal(failures.at(-1), code, what);
  }
  t.match((await send({ body: Buffer.from([0xff, 0xfe]) })).body, 'is not UTF-8');
  t.equal(failures.length, cases.length + 1, 'each is told once');
  t.strictSame(reviews, []);
  t.match(await send({ body: reviewOf(podWith()) }), { status: 200 });
});

t.test('whoever sends too much is read to the end, and then told', async (t) => {
  const { port, failures } = await start(t);
  const socket = connectTls({ host: '127.0.0.1', port, ca: authority.cert });
  await once(socket, 'secureConnect');
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    answer += text;
  });
  const end = once(socket, 'end');
  socket.write(
    'POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  const chunk = `100000\r\n${' '.repeat(1_048_576)}\r\n`;
  for (let sent = 0; sent < 12; sent += 1) {
    await new Promise<void>((resolve, reject) => socket.write(chunk, (error) => (error ? reject(error) : resolve())));
  }
  t.equal(answer, '', 'not before the end');
  socket.write('0\r\n\r\n');
  await end;
  t.match(answer, /^HTTP\/1\.1 413 /);
  t.strictSame(failures, ['admission_request_too_large']);
});

t.test('a refusal ends its connection, whether or not more of the body would come; an answer keeps it', async (t) => {
  const { send } = await start(t);
  const agent = new Agent({ keepAlive: true, ca: authority.cert });
  t.teardown(() => agent.destroy());
  const more = { 'content-length': String(9 * 1_048_576) };
  const refusals = [{ path: '/', body: '{}' }, { body: '{' }, { headers: more, body: '' }];
  for (const refused of refusals) t.match(await send({ ...refused, agent }), { headers: { connection: 'close' } });
  t.match(await send({ body: reviewOf(podWith()), agent }), {
    status: 200,
    // Longer than the API server's own client keeps it.
    headers: { connection: 'keep-alive', 'keep-alive': 'timeout=180' },
  });
});

t.test('who leaves half way, speaks plain HTTP or sends garbage ends nothing', async (t) => {
  const { port, send, failures } = await start(t);
  const half = connectTls({ host: '127.0.0.1', port, ca: authority.cert });
  await once(half, 'secureConnect');
  half.write('POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a":');
  half.destroy();
  for (const bytes of ['POST /mutate HTTP/1.1\r\nHost: a\r\n\r\n', '\x16\x03\x01\xff\xff', '']) {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => undefined);
    socket.end(bytes, 'latin1');
    socket.resume();
    await once(socket, 'close');
  }
  t.equal(failures.length, 2, 'who says nothing at all is a probe of the port');
  const foreign = connectTls({ host: '127.0.0.1', port, ca: createAuthority('other').cert });
  await once(foreign, 'error');
  t.match(await send({ body: reviewOf(podWith()) }), { status: 200 });
  t.ok(
    failures.every((code) => code === 'admission_tls_failed'),
    failures.join(),
  );
});

t.test('a new certificate is shown to new connections; an open one goes on', async (t) => {
  const { admission, send } = await start(t);
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.cert });
  t.teardown(() => agent.destroy());
  const body = reviewOf(podWith());
  const before = await send({ body, agent });
  admission.renew(certified());
  const open = await send({ body, agent });
  const fresh = await send({ body });
  t.strictSame([before.status, open.status, fresh.status], [200, 200, 200]);
  t.equal(open.serial, before.serial);
  t.not(fresh.serial, before.serial);
});

t.test('once it leaves, each answer ends its connection; close lets what is under way end', async (t) => {
  const { admission, send, port } = await start(t);
  const agent = new Agent({ keepAlive: true, ca: authority.cert });
  t.teardown(() => agent.destroy());
  t.match((await send({ body: reviewOf(podWith()), agent })).headers, { connection: 'keep-alive' });
  admission.leave();
  t.match((await send({ body: reviewOf(podWith()), agent })).headers, { connection: 'close' });

  const text = reviewOf(podWith());
  const socket = connectTls({ host: '127.0.0.1', port, ca: authority.cert });
  await once(socket, 'secureConnect');
  const head = `POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n`;
  socket.write(head + text.slice(0, 10));
  let answer = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    answer += chunk;
  });
  await new Promise((resolve) => admission.server.once('request', resolve));
  const closed = admission.close(10_000);
  socket.write(text.slice(10));
  await once(socket, 'end');
  socket.end();
  await closed;
  t.match(answer, /^HTTP\/1\.1 200 /);
  t.notOk(admission.server.listening);
});

t.test('the end waits for nobody longer than its grace: half a review, half a handshake', async (t) => {
  const { admission, port } = await start(t);
  const half = connectTls({ host: '127.0.0.1', port, ca: authority.cert });
  await once(half, 'secureConnect');
  half.write('POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{');
  await once(admission.server, 'request');
  const silent = connect(port, '127.0.0.1');
  await once(admission.server, 'connection');
  const cut = [half, silent].map((socket) => {
    socket.on('error', () => undefined).resume();
    return new Promise((resolve) => socket.once('close', resolve));
  });
  let hasTimedOut = false;
  admission.server.on('tlsClientError', () => {
    hasTimedOut = true;
  });
  await admission.close(20);
  await Promise.all(cut);
  t.notOk(hasTimedOut, 'not only by the limit of a handshake');
});

t.test('above 500 connections further ones are dropped, and room is made by those that leave', async (t) => {
  const { admission, port, send } = await start(t);
  const sockets = await Promise.all(
    Array.from({ length: 500 }, async () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      return socket;
    }),
  );
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  const one = connect(port, '127.0.0.1');
  one.on('error', () => undefined).resume();
  await new Promise((resolve) => one.once('close', resolve));
  sockets[0]?.destroy();
  await countOf(admission.server, 499);
  t.match(await send({ body: reviewOf(podWith()) }), { status: 200 });
});

async function countOf(server: Server, wanted: number): Promise<void> {
  for (;;) {
    const count = await new Promise<number>((resolve) => server.getConnections((_, found) => resolve(found)));
    if (count === wanted) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
