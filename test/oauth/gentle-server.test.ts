// `kubectl port-forward` ends as a whole at the first RST from the pod: the admin's login dies with it. So, whatever
// a peer does, it must see the end of the stream, never a reset; also when it goes on sending after our FIN.
import { connect } from 'node:net';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { GentleServer, type GentleServerOptions } from '../../src/oauth/gentle-server.ts';

interface Peer {
  /** All that was received. */
  readonly received: string;
  /** `end` and `close` when all is well; an error's code otherwise. */
  readonly events: readonly string[];
}

async function startServer(
  t: { teardown: (end: () => Promise<void>) => void },
  change: Partial<GentleServerOptions> = {},
): Promise<{ server: GentleServer; port: number; refusals: string[]; close: () => Promise<void> }> {
  const refusals: string[] = [];
  const server = new GentleServer({
    clock: systemClock,
    headerTimeoutMs: 10_000,
    requestTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    lingerMs: 2_000,
    maxHeaderBytes: 8_192,
    maxConnections: 100,
    serve: (request, response) => {
      request.resume();
      response.end('hello');
    },
    refuse: (error) => {
      refusals.push(error.code);
      return `HTTP/1.1 ${error.row.status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
    },
    ...change,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  t.teardown(async () => {
    const closed = close();
    server.endAll();
    await closed;
  });
  return { server, port: address.port, refusals, close };
}

/**
 * A peer that sends `chunks`, then, each time it has been told FIN, goes on sending `after` a few times before it
 * ends its own side: what a socket that was closed, and not only ended, answers with RST.
 */
function converse(port: number, chunks: readonly (string | Buffer)[], after = 'x'.repeat(1000)): Promise<Peer> {
  return new Promise((resolve) => {
    let received = '';
    const events: string[] = [];
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('connect', () => {
      for (const chunk of chunks) socket.write(chunk);
    });
    socket.on('data', (chunk) => {
      received += chunk.toString();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => events.push(error.code ?? 'error'));
    socket.on('end', () => {
      events.push('end');
      let left = 5;
      const timer = setInterval(() => {
        left -= 1;
        if (left > 0 && !socket.destroyed) socket.write(after);
        else {
          clearInterval(timer);
          socket.end();
        }
      }, 10);
    });
    socket.on('close', () => {
      events.push('close');
      resolve({ received, events });
    });
  });
}

const get = 'GET / HTTP/1.1\r\nHost: localhost\r\n';
const megabyte = Buffer.alloc(1024 * 1024, 'y');

const peers: readonly {
  readonly name: string;
  readonly chunks: readonly (string | Buffer)[];
  readonly status: number;
  readonly refusal?: string;
}[] = [
  { name: 'asks with Connection: close and sends on', chunks: [`${get}Connection: close\r\n\r\n`], status: 200 },
  {
    name: 'asks with Connection: close and pipelines more',
    chunks: [`${get}Connection: close\r\n\r\n${get}\r\n`, megabyte],
    status: 200,
  },
  { name: 'speaks HTTP/1.0', chunks: ['GET / HTTP/1.0\r\n\r\n'], status: 200 },
  {
    name: 'sends no HTTP',
    chunks: ['\u0016\u0003\u0001 this is TLS\r\n\r\n', megabyte],
    status: 400,
    refusal: 'request_malformed',
  },
  {
    name: 'contradicts itself on the length',
    chunks: [`${get}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`, megabyte],
    status: 400,
    refusal: 'request_malformed',
  },
  {
    name: 'sends a broken chunk',
    chunks: [
      `${get.replace('GET', 'POST')}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n`,
      'zz\r\n',
      megabyte,
    ],
    status: 200,
  },
  {
    name: 'sends too long a head',
    chunks: [`${get}X: ${'y'.repeat(20_000)}`, megabyte],
    status: 431,
    refusal: 'request_headers_too_large',
  },
  {
    name: 'wants a tunnel',
    chunks: ['CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n', megabyte],
    status: 405,
    refusal: 'page_method_unknown',
  },
  {
    name: 'speaks HTTP/2 at once',
    chunks: ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', megabyte],
    status: 400,
    refusal: 'request_malformed',
  },
];

for (const { name, chunks, status, refusal } of peers) {
  t.test(`a peer that ${name} gets ${status} and sees the end, no reset`, async (t) => {
    const { port, refusals } = await startServer(t);
    const { received, events } = await converse(port, chunks);
    t.same(events, ['end', 'close']);
    t.match(received, new RegExp(`^HTTP/1.1 ${status} `));
    t.same(refusals, refusal === undefined ? [] : [refusal]);
  });
}

t.test('a body of 5 MB that is answered before it was read ends without a reset', async (t) => {
  const { port } = await startServer(t, {
    serve: (request, response) => {
      request.resume();
      response.writeHead(413, { connection: 'close' });
      response.end();
    },
  });
  const head = `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${5 * megabyte.length}\r\n\r\n`;
  const { received, events } = await converse(port, [head, ...Array.from({ length: 5 }, () => megabyte)]);
  t.match(received, 'HTTP/1.1 413');
  t.same(events, ['end', 'close']);
});

t.test('a head that does not arrive in time is 408, a connection that never spoke is just ended', async (t) => {
  const { port, refusals } = await startServer(t, { headerTimeoutMs: 100 });
  const [slow, silent] = await Promise.all([converse(port, [get]), converse(port, [])]);
  t.match(slow.received, 'HTTP/1.1 408');
  t.same(slow.events, ['end', 'close']);
  t.equal(silent.received, '');
  t.same(silent.events, ['end', 'close']);
  t.same(refusals, ['request_timeout']);
});

t.test('a body that does not arrive in time is 408, without a reset, and its handler hears of it', async (t) => {
  const heard = Promise.withResolvers<void>();
  const { port } = await startServer(t, {
    headerTimeoutMs: 100,
    requestTimeoutMs: 150,
    serve: (request) => {
      request.resume();
      request.on('close', () => heard.resolve());
    },
  });
  const { received, events } = await converse(port, ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc']);
  t.match(received, 'HTTP/1.1 408');
  t.same(events, ['end', 'close']);
  await heard.promise;
});

t.test('an unused connection is ended after its time, without a reset', async (t) => {
  const { port } = await startServer(t, { idleTimeoutMs: 50 });
  const { received, events } = await converse(port, [`${get}\r\n`]);
  t.match(received, 'hello');
  t.same(events, ['end', 'close']);
});

t.test('closing ends unused connections, half-sent heads and silent ones, without a reset', async (t) => {
  const { port, close, server } = await startServer(t);
  const talks = [[`${get}\r\n`], [get], [], [`${get}\r\n${get}`]].map((chunks) => converse(port, chunks));
  while ((await connectionCount(server)) < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await close();
  for (const { events } of await Promise.all(talks)) t.same(events, ['end', 'close']);
});

t.test('closing lets a request at work have its answer first', async (t) => {
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const { port, close } = await startServer(t, {
    serve: (request, response) => {
      request.resume();
      begun.resolve();
      void go.promise.then(() => response.end('late'));
    },
  });
  const talk = converse(port, [`${get}\r\n`]);
  await begun.promise;
  const closed = close();
  go.resolve();
  await closed;
  const { received, events } = await talk;
  t.match(received, 'late');
  t.same(events, ['end', 'close']);
});

t.test('bytes that are no request, behind one at work, do not get an answer before it', async (t) => {
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const { port, refusals } = await startServer(t, {
    serve: (request, response) => {
      request.resume();
      begun.resolve();
      void go.promise.then(() => response.end('late'));
    },
  });
  const talk = converse(port, [`${get}\r\nnonsense\r\n\r\n`]);
  await begun.promise;
  await new Promise((resolve) => setTimeout(resolve, 30));
  go.resolve();
  const { received, events } = await talk;
  t.match(received, /^HTTP\/1.1 200 .*late$/s);
  t.same(events, ['end', 'close']);
  t.same(refusals, []);
});

t.test('a flood of pipelined requests that nobody reads the answers of ends without a reset', async (t) => {
  const { port, close } = await startServer(t, { lingerMs: 500 });
  const events: string[] = [];
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', (error: NodeJS.ErrnoException) => events.push(error.code ?? 'error'));
  socket.on('end', () => {
    events.push('end');
    socket.end();
  });
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write(`${get}\r\n`.repeat(50_000));
  await new Promise((resolve) => setTimeout(resolve, 100));
  const stopped = close();
  socket.resume();
  await Promise.all([stopped, closed]);
  t.same(events, ['end']);
});

t.test('a peer that never ends its side is let go after the time to linger', async (t) => {
  const { port, close } = await startServer(t, { lingerMs: 50 });
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.resume();
  await new Promise<void>((resolve) => socket.on('connect', resolve));
  const ended = new Promise((resolve) => socket.on('end', resolve));
  await close();
  await ended;
  socket.destroy();
});

function connectionCount(server: GentleServer): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );
}
