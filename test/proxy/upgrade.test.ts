// WebSockets through the proxy: the token, the rule for a 401 on the handshake, bytes, ends, refusals.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import {
  codeOf,
  connectRaw,
  eventually,
  exchangeRaw,
  onHead,
  type Scope,
  startProxy,
  startRawUpstream,
  startUpstream,
  statusOf,
  token,
} from './_proxy.ts';

/** An echoing WebSocket server that lets in who bears `accepted`, and answers 401 with a body to others. */
async function startEcho(
  scope: Scope,
  accepted: string,
): Promise<{ url: string; seen: IncomingMessage[]; sockets: WebSocketServer }> {
  const seen: IncomingMessage[] = [];
  const sockets = new WebSocketServer({ noServer: true });
  const server = createServer();
  server.on('upgrade', (request, socket, head) => {
    seen.push(request);
    if (request.headers.authorization !== `Bearer ${accepted}`) {
      socket.end('HTTP/1.1 401 Unauthorized\r\nX-Reason: old\r\nSidebearer-Error: x\r\nContent-Length: 4\r\n\r\nwho?');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('message', (data, isBinary) => webSocket.send(data, { binary: isBinary }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.teardown(() => {
    for (const webSocket of sockets.clients) webSocket.terminate();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, sockets };
}

function opened(webSocket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    webSocket.once('open', resolve);
    webSocket.once('error', reject);
  });
}

function message(webSocket: WebSocket): Promise<Buffer> {
  return new Promise((resolve) => webSocket.once('message', (data) => resolve(data as Buffer)));
}

function closed(webSocket: WebSocket): Promise<number> {
  return new Promise((resolve) => webSocket.once('close', resolve));
}

const handshake =
  'GET /x//y? HTTP/1.1\r\nHost: evil.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

t.test('a WebSocket is opened with the token, echoes 1 MiB, and its close codes pass both ways', async (t) => {
  const echo = await startEcho(t, 'token-1');
  const proxy = await startProxy(t, `${echo.url}/base`);
  const client = new WebSocket(`ws://127.0.0.1:${proxy.port}/chat?x=1`, ['one'], {
    headers: { Authorization: 'Basic x', 'X-A': 'b' },
  });
  await opened(client);
  t.match(echo.seen[0], {
    url: '/base/chat?x=1',
    headers: { authorization: 'Bearer token-1', 'x-a': 'b', host: new URL(echo.url).host },
  });
  t.equal(proxy.observer.upgrades, 1);
  t.match(proxy.observer.ends, [{ status: 101, aborted: false }]);
  t.equal(proxy.inFlight(), 0);
  const large = Buffer.alloc(1024 * 1024, 'abc');
  const echoed = message(client);
  client.send(large);
  t.ok((await echoed).equals(large));
  client.close(4001);
  t.equal(await closed(client), 4001);
  await eventually('the upgrade is over', () => proxy.observer.upgrades === 0);
  const second = new WebSocket(`ws://127.0.0.1:${proxy.port}/`);
  await opened(second);
  const ended = closed(second);
  for (const webSocket of echo.sockets.clients) webSocket.close(4002);
  t.equal(await ended, 4002);
  await eventually('the second is over', () => proxy.observer.upgrades === 0);
  t.same(proxy.observer.failures, []);
});

t.test('401 on the handshake → one renewal → one retry', async (t) => {
  const echo = await startEcho(t, 'token-2');
  const proxy = await startProxy(t, echo.url);
  proxy.bearer.onRenewed = async () => token(2);
  const client = new WebSocket(`ws://127.0.0.1:${proxy.port}/`);
  await opened(client);
  t.same(
    echo.seen.map(({ headers }) => headers.authorization),
    ['Bearer token-1', 'Bearer token-2'],
  );
  t.same(proxy.bearer.judged, [{ generation: 2, accepted: true }]);
  t.same(proxy.observer.replays, ['accepted']);
  const echoed = message(client);
  client.send('after');
  t.equal(String(await echoed), 'after');
  client.terminate();
  await eventually('it is over', () => proxy.observer.upgrades === 0);
});

t.test('a handshake refused again, and one with nothing better, pass the 401 unchanged', async (t) => {
  for (const renewed of [token(2), undefined]) {
    const echo = await startEcho(t, 'never');
    const proxy = await startProxy(t, echo.url);
    proxy.bearer.onRenewed = async () => renewed;
    const answer = await exchangeRaw(t, proxy.port, `${handshake}\r\n`);
    t.match(
      answer,
      /^HTTP\/1\.1 401 Unauthorized\r\nX-Reason: old\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwho\?$/,
    );
    t.equal(echo.seen.length, renewed === undefined ? 1 : 2);
    t.same(proxy.bearer.judged, renewed === undefined ? [] : [{ generation: 2, accepted: false }]);
    t.same(proxy.observer.replays, [renewed === undefined ? 'refresh_failed' : 'refused_again']);
    t.match(proxy.observer.ends, [{ status: 401 }]);
    t.equal(proxy.inFlight(), 0);
  }
});

t.test('any other answer passes whole, also without a length, and is cut where the upstream cuts it', async (t) => {
  for (const isCut of [false, true]) {
    const upstream = await startRawUpstream(t, (socket) =>
      onHead(socket, () => {
        socket.write('HTTP/1.1 403 Nope\r\nX-Raw: \xe9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'latin1');
        setTimeout(() => (isCut ? socket.destroy() : socket.write('0\r\n\r\n')), 10);
      }),
    );
    const proxy = await startProxy(t, upstream.url);
    const client = await connectRaw(t, proxy.port);
    client.send(`${handshake}\r\n`);
    t.equal(await client.ended, isCut ? 'reset' : 'clean');
    if (!isCut) t.equal(client.received(), 'HTTP/1.1 403 Nope\r\nX-Raw: \xe9\r\nConnection: close\r\n\r\nabc');
  }
});

t.test('data glued to the handshake and to the 101 is kept, the path is sent as it came', async (t) => {
  for (const renews of [false, true]) {
    const heads: string[] = [];
    const upstream = await startRawUpstream(t, (socket: Socket) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        if (!text.includes('\r\n\r\n')) return;
        if (heads.push(text) === 1 && renews) {
          socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
          return;
        }
        socket.removeAllListeners('data');
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nglued-answer',
        );
        let data = text.slice(text.indexOf('\r\n\r\n') + 4);
        const look = (): void => {
          if (data.includes('glued-request')) socket.end('|got it');
        };
        socket.on('data', (more) => {
          data += more.toString('latin1');
          look();
        });
        look();
      });
    });
    const proxy = await startProxy(t, upstream.url);
    proxy.bearer.onRenewed = async () => token(2);
    const client = await connectRaw(t, proxy.port);
    client.send(`${handshake}X-Two: 1\r\nx-two: 2\r\n\r\nglued-`);
    client.send('request');
    await client.until('glued-answer|got it');
    t.match(heads.at(-1), /^GET \/x\/\/y\? HTTP\/1\.1\r\n/);
    t.equal(heads.at(-1)?.match(/^x-two: /gim)?.length, 2);
    t.equal(heads.at(-1)?.match(/^authorization: /gim)?.length, 1);
    t.notMatch(heads.join(), /evil/);
    client.socket.destroy();
    await eventually('it is over', () => proxy.observer.upgrades === 0);
  }
});

t.test(
  'a client that leaves while it waits for a token, or for the upstream, ends everything of its handshake',
  async (t) => {
    let isClosed = false;
    let connections = 0;
    const upstream = await startRawUpstream(t, (socket) => {
      connections += 1;
      socket.resume();
      socket.on('close', () => {
        isClosed = true;
      });
    });
    const proxy = await startProxy(t, upstream.url);
    proxy.bearer.current = undefined;
    const waiting = await connectRaw(t, proxy.port);
    waiting.send(`${handshake}\r\n`);
    await eventually('it waits', () => proxy.bearer.waits.length === 1);
    waiting.socket.end();
    await eventually('the wait was aborted', () => proxy.bearer.waits[0]?.signal.aborted === true);
    t.equal(connections, 0);
    proxy.bearer.current = token(1);
    const sent = await connectRaw(t, proxy.port);
    sent.send(`${handshake}\r\n`);
    await eventually('it reached the upstream', () => connections === 1);
    sent.socket.destroy();
    await eventually('the upstream saw it', () => isClosed);
    t.match(proxy.observer.ends, [
      { status: 0, aborted: true },
      { status: 0, aborted: true },
    ]);
    t.equal(proxy.inFlight(), 0);
  },
);

t.test('a handshake that fails answers with its code', async (t) => {
  const closing = await startRawUpstream(t, (socket) => onHead(socket, () => socket.destroy()));
  const lying = await startRawUpstream(t, (socket) => onHead(socket, () => void socket.end('nonsense\r\n\r\n')));
  const silent = await startRawUpstream(t, (socket) => void socket.resume());
  const gone = await startUpstream({ teardown: () => undefined }, () => undefined);
  await new Promise((resolve) => gone.server.close(resolve));
  const cases: [url: string, status: number, code: string][] = [
    [gone.url, 502, 'upstream_unreachable'],
    [closing.url, 502, 'upstream_closed'],
    [lying.url, 502, 'upstream_malformed'],
    [silent.url, 504, 'upstream_timeout'],
  ];
  for (const [url, status, code] of cases) {
    const proxy = await startProxy(t, url, { route: { timeouts: { connectMs: 500, headersMs: 100, idleMs: 0 } } });
    const answer = await exchangeRaw(t, proxy.port, `${handshake}\r\n`);
    t.equal(statusOf(answer), status, code);
    t.equal(codeOf(answer), code);
    t.match(proxy.observer.ends, [{ status, error: { code } }]);
    t.equal(proxy.inFlight(), 0);
  }
  const proxy = await startProxy(t, silent.url);
  proxy.bearer.current = undefined;
  const client = await connectRaw(t, proxy.port);
  client.send(`${handshake}\r\n`);
  await eventually('it waits', () => proxy.bearer.waits.length === 1);
  proxy.bearer.waits[0]?.reject(new SidebearerError('grant_revoked'));
  await client.ended;
  t.equal(codeOf(client.received()), 'grant_revoked');
  t.equal(statusOf(client.received()), 503);
});

t.test('an upgrade to anything but WebSocket is a plain request without the offer', async (t) => {
  let raw: string[] = [];
  const upstream = await startUpstream(t, (request, response) => {
    raw = request.rawHeaders;
    response.end('plain');
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send(
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n',
  );
  await client.until('plain');
  t.notMatch(raw.join(), /upgrade|http2/i);
});

t.test('an upstream that dies after the 101 cuts the client off', async (t) => {
  const accept = createHash('sha1')
    .update('dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
    .digest('base64');
  let socket: Socket | undefined;
  const upstream = await startRawUpstream(t, (connection) => {
    socket = connection;
    onHead(connection, () => {
      connection.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
    });
  });
  const proxy = await startProxy(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send(`${handshake}\r\n`);
  await client.until('101');
  socket?.resetAndDestroy();
  await client.ended;
  await eventually('it is over', () => proxy.observer.upgrades === 0);
  t.match(proxy.observer.failures, [{ code: 'upgrade_failed' }]);
});

t.test('shutdown: open WebSockets live through the grace and are then ended, not cut', async (t) => {
  const echo = await startEcho(t, 'token-1');
  const proxy = await startProxy(t, echo.url);
  const client = new WebSocket(`ws://127.0.0.1:${proxy.port}/`);
  await opened(client);
  const raw = await connectRaw(t, proxy.port);
  raw.send(`${handshake}\r\n`);
  await raw.until('101');
  const done = proxy.close({ minDrainMs: 0, maxDrainMs: 150 });
  const echoed = message(client);
  client.send('still here');
  t.equal(String(await echoed), 'still here');
  const ended = closed(client);
  t.equal(await raw.ended, 'clean');
  await ended;
  await done;
  t.equal(proxy.observer.upgrades, 0);
  t.same(proxy.observer.failures, []);
});

t.test('a body on a handshake is refused with 400 `request_malformed`, before an upstream byte', async (t) => {
  let connections = 0;
  const upstream = await startRawUpstream(t, () => {
    connections += 1;
  });
  const proxy = await startProxy(t, upstream.url);
  for (const body of [
    'Content-Length: 5\r\n\r\nhello',
    'Content-Length: 5\r\n\r\n',
    'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'Content-Length: 1\r\nContent-Length: 1\r\n\r\nx',
  ]) {
    const answer = await exchangeRaw(t, proxy.port, handshake + body);
    t.match(statusOf(answer), body.includes('gzip') ? 501 : 400, body);
    t.match(codeOf(answer), /^request_(malformed|coding_unknown)$/, body);
  }
  t.equal(connections, 0);
  t.equal(proxy.inFlight(), 0);
});

const offers: readonly (readonly [title: string, line: string, protocol: string])[] = [
  ['another protocol', 'GET / HTTP/1.1', 'TLS/1.0'],
  ['WebSocket and another', 'GET / HTTP/1.1', 'websocket, h2c'],
  ['WebSocket with a version', 'GET / HTTP/1.1', 'websocket/13'],
  ['WebSocket by POST', 'POST / HTTP/1.1', 'websocket'],
  ['WebSocket on HTTP/1.0', 'GET / HTTP/1.0', 'websocket'],
];

for (const [title, line, protocol] of offers) {
  t.test(`an offer of ${title} is not passed on, and the request is a plain one`, async (t) => {
    const heads: string[] = [];
    const upstream = await startRawUpstream(t, (socket) => {
      onHead(socket, (head) => {
        heads.push(head);
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain');
      });
    });
    const proxy = await startProxy(t, upstream.url);
    const client = await connectRaw(t, proxy.port);
    client.send(`${line}\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
    await client.until(/plain$/);
    t.notMatch(heads[0], /^(upgrade|connection: .*upgrade)/im);
    t.equal(proxy.observer.upgrades, 0);
  });
}

t.test(
  'an open WebSocket lives on when the token is renewed, and the next one is opened with the new one',
  async (t) => {
    const heads: string[] = [];
    const upstream = await startRawUpstream(t, (socket) => {
      socket.once('data', (chunk: Buffer) => {
        heads.push(chunk.toString('latin1'));
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
        socket.on('data', (bytes: Buffer) => socket.write(`echo ${bytes}.`));
      });
    });
    const proxy = await startProxy(t, upstream.url);
    const old = await connectRaw(t, proxy.port);
    old.send(`${handshake}\r\n`);
    await old.until(/\r\n\r\n$/);
    proxy.bearer.current = token(2);
    const next = await connectRaw(t, proxy.port);
    next.send(`${handshake}\r\n`);
    await next.until(/\r\n\r\n$/);
    proxy.bearer.current = undefined;
    for (const client of [old, next]) {
      client.send('hello');
      await client.until('echo hello.');
    }
    t.match(heads[0], /^authorization: Bearer token-1$/im);
    t.match(heads[1], /^authorization: Bearer token-2$/im);
    t.equal(proxy.observer.upgrades, 2);
  },
);

t.test('shutdown ends open WebSockets the oldest first, and what is on its way arrives', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nlast words');
    });
  });
  const proxy = await startProxy(t, upstream.url);
  const order: number[] = [];
  const clients = [];
  for (let index = 0; index < 4; index += 1) {
    const client = await connectRaw(t, proxy.port);
    client.send(`${handshake}\r\n`);
    await client.until('last words');
    client.socket.once('end', () => order.push(index));
    clients.push(client);
  }
  await proxy.close({ minDrainMs: 0, maxDrainMs: 50 });
  for (const client of clients) t.equal(await client.ended, 'clean');
  t.strictSame(order, [0, 1, 2, 3]);
});
