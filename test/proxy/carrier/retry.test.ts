// A pooled connection that the upstream closed meanwhile (RFC 9110 §9.2.2): the request is repeated once, on a new
// connection, where that is safe, and never otherwise.
import type { Socket } from 'node:net';
import { codeOf, connectRaw, eventually, exchangeRaw, startRawUpstream, statusOf } from '../_proxy.ts';
import { type Carrier, onEachCarrier } from './_carriers.ts';
import { dataOf, type OriginConnection, startOrigin } from './_origin.ts';

interface Kept {
  readonly url: string;
  /** Requests received, `index of the connection: request line`. */
  readonly seen: string[];
  readonly bodies: string[];
  /** What connections that stand do with their next request. */
  mood: 'answer' | 'close' | 'reset' | 'begin';
}

/** Answers the first request of each connection, and later ones as its mood is. */
async function startKept(scope: { teardown(end: () => unknown): void }): Promise<Kept> {
  let count = 0;
  const kept: Kept & { mood: Kept['mood'] } = { url: '', seen: [], bodies: [], mood: 'answer' };
  const { url } = await startRawUpstream(scope, (socket: Socket) => {
    const index = count;
    count += 1;
    let text = '';
    let isFirst = true;
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      const length = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? 0);
      if (end === -1 || text.length < end + 4 + length) return;
      kept.seen.push(`${index}: ${text.slice(0, text.indexOf('\r\n'))}`);
      kept.bodies.push(text.slice(end + 4));
      text = '';
      const mood = isFirst ? 'answer' : kept.mood;
      isFirst = false;
      if (mood === 'answer') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      else if (mood === 'begin') socket.end('HTTP/1.1 200 OK\r\nX: ');
      else if (mood === 'reset') socket.resetAndDestroy();
      else socket.end();
    });
  });
  return Object.assign(kept, { url });
}

async function warm(t: { teardown(end: () => unknown): void }, carrier: Carrier, kept: Kept, connections: number) {
  const proxy = await carrier.start(t, kept.url, { route: { replayMaxBodyBytes: 1000 } });
  const clients = await Promise.all(Array.from({ length: connections }, () => connectRaw(t, proxy.port)));
  for (const client of clients) client.send('GET /warm HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  for (const client of clients) await client.until(/ok$/);
  kept.seen.length = 0;
  kept.bodies.length = 0;
  return proxy;
}

function request(method: string, body = ''): string {
  const length = body === '' && method === 'GET' ? '' : `Content-Length: ${body.length}\r\n`;
  return `${method} /it HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${length}\r\n${body}`;
}

onEachCarrier(
  'an idempotent request is repeated once, on a new connection, though every pooled one is dead',
  async (t, carrier) => {
    for (const mood of ['close', 'reset'] as const) {
      for (const [method, body] of [
        ['GET', ''],
        ['HEAD', ''],
        ['DELETE', ''],
        ['OPTIONS', ''],
        ['QUERY', 'body'],
        ['PUT', 'body'],
      ] as const) {
        const kept = await startKept(t);
        const proxy = await warm(t, carrier, kept, 4);
        kept.mood = mood;
        const answer = await exchangeRaw(t, proxy.port, request(method, body));
        t.equal(statusOf(answer), 200, `${method} ${mood}`);
        t.equal(kept.seen.length, 2, `${method} ${mood}: twice`);
        t.match(kept.seen[1], /^4: /, 'the second time on a new connection');
        t.same(kept.bodies, [body, body]);
      }
    }
  },
);

onEachCarrier(
  'POST, PATCH and a body that was not kept are never repeated: 502 upstream_closed',
  async (t, carrier) => {
    for (const [method, body] of [
      ['POST', 'body'],
      ['POST', ''],
      ['PATCH', 'body'],
      ['PUT', 'x'.repeat(1001)],
    ] as const) {
      const kept = await startKept(t);
      const proxy = await warm(t, carrier, kept, 1);
      kept.mood = 'close';
      const answer = await exchangeRaw(t, proxy.port, request(method, body));
      t.equal(statusOf(answer), 502, method);
      t.equal(codeOf(answer), 'upstream_closed', method);
      t.equal(kept.seen.length, 1, `${method}: once`);
    }
  },
);

onEachCarrier('an answer that had begun is never asked for again', async (t, carrier) => {
  const kept = await startKept(t);
  const proxy = await warm(t, carrier, kept, 1);
  kept.mood = 'begin';
  const answer = await exchangeRaw(t, proxy.port, request('GET'));
  t.equal(codeOf(answer), 'upstream_malformed');
  t.equal(kept.seen.length, 1);
});

onEachCarrier('the repetition is the only one: a second failure is 502 upstream_closed', async (t, carrier) => {
  let connections = 0;
  const upstream = await startRawUpstream(t, (socket) => {
    connections += 1;
    socket.once('data', () => socket.end());
  });
  const proxy = await carrier.start(t, upstream.url);
  const answer = await exchangeRaw(t, proxy.port, request('GET'));
  t.equal(codeOf(answer), 'upstream_closed');
  t.equal(connections, 2);
});

onEachCarrier(
  'a connection that the upstream closed while it was idle is not used: even POST goes through',
  async (t, carrier) => {
    const sockets: Socket[] = [];
    const upstream = await startRawUpstream(t, (socket) => {
      sockets.push(socket);
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    });
    const proxy = await carrier.start(t, upstream.url);
    for (let count = 1; count <= 3; count += 1) {
      t.equal(statusOf(await exchangeRaw(t, proxy.port, request('POST', 'body'))), 200);
      t.equal(sockets.length, count);
      let isGone = false;
      sockets.at(-1)?.on('close', () => {
        isGone = true;
      });
      sockets.at(-1)?.end();
      await eventually('it closed', () => isGone);
    }
  },
);

onEachCarrier(
  'a pooled connection that ends before the first byte of a body: nothing was sent, so that even POST is repeated',
  async (t, carrier) => {
    for (const [method, framing, body] of [
      ['POST', 'Content-Length: 4', 'body'],
      ['PATCH', 'Content-Length: 4\r\nExpect: 100-continue', 'body'],
      ['POST', 'Transfer-Encoding: chunked', '4\r\nbody\r\n0\r\n\r\n'],
    ] as const) {
      for (const end of ['close', 'reset'] as const) {
        const kept: OriginConnection[] = [];
        const origin = await startOrigin(t, ({ connection }) => {
          kept.push(connection);
          return 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
        });
        const proxy = await carrier.start(t, origin.url);
        await exchangeRaw(t, proxy.port, request('GET'));
        const client = await connectRaw(t, proxy.port);
        client.send(`${method} /it HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${framing}\r\n\r\n`);
        if (framing.includes('Expect')) await client.until('100 Continue');
        else await eventually('it is at work', () => proxy.inFlight() === 1);
        // undici takes the connection within a turn of its own.
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (end === 'close') kept[0]?.socket.end();
        else kept[0]?.socket.resetAndDestroy();
        await eventually('the pooled connection is gone', () => kept[0]?.isClosed === true);
        client.send(body);
        await client.ended;
        const what = `${method} ${framing} ${end}`;
        if (carrier.differences.has('head-with-first-byte')) {
          t.match(client.received(), /^(HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 200 OK/, what);
          t.equal(origin.requests.length, 2, `${what}: once`);
          t.equal(dataOf(origin.requests[1]?.body ?? ''), 'body', what);
        } else {
          t.equal(codeOf(client.received()), 'upstream_closed', what);
        }
      }
    }
  },
);

onEachCarrier('a PUT that is cut within its upload starts over, and what still comes follows', async (t, carrier) => {
  const connections: { text: string }[] = [];
  const upstream = await startRawUpstream(t, (socket) => {
    const connection = { text: '' };
    const isFirst = connections.push(connection) === 1;
    socket.on('data', (chunk: Buffer) => {
      connection.text += chunk.toString('latin1');
      if (isFirst && connection.text.endsWith('first ')) socket.resetAndDestroy();
      if (!isFirst && connection.text.includes('second')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    });
  });
  const proxy = await carrier.start(t, upstream.url);
  const client = await connectRaw(t, proxy.port);
  client.send('PUT /it HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 12\r\n\r\nfirst ');
  await eventually('it came again', () => connections[1]?.text.endsWith('first ') === true);
  client.send('second');
  await client.ended;
  t.equal(statusOf(client.received()), 200);
  t.match(connections[1]?.text, /\r\n\r\nfirst second$/);
  t.equal(connections.length, 2);
});

onEachCarrier(
  'an upstream that takes no connection is 502 upstream_unreachable, and asked once',
  async (t, carrier) => {
    const ends: (() => unknown)[] = [];
    const gone = await startRawUpstream({ teardown: (end) => void ends.push(end) }, () => undefined);
    await Promise.all(ends.map((end) => end()));
    const proxy = await carrier.start(t, gone.url);
    for (const [method, body] of [
      ['GET', ''],
      ['POST', 'body'],
    ] as const) {
      const answer = await exchangeRaw(t, proxy.port, request(method, body));
      t.equal(statusOf(answer), 502, method);
      t.equal(codeOf(answer), 'upstream_unreachable', method);
    }
  },
);
