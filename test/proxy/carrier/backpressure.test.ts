// 1 GiB to a reader that stands still, or from a client to an upstream that does, costs at most 16 MiB of memory: whoever
// cannot take bytes holds back whoever sends them. Measured is what the proxy's process holds after a collection, more
// than before, once nothing moves any more; and that most of the gigabyte was never taken from its sender.
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { connectRaw, eventually, type Scope, startRawUpstream } from '../_proxy.ts';
import { type Carrier, carriers } from './_carriers.ts';
import { type ProxyProcess, startProxyProcess } from './_proxy-process.ts';

// A gigabyte that is not held back, and a crowded machine, take longer than a file usually has.
t.setTimeout(120_000);

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;
const allowed = 16 * MiB;
const chunk = Buffer.alloc(64 * 1024);

interface Poured {
  /** Bytes that were taken from the sender, by whoever holds them now. */
  taken(): number;
}

/** Sends `size` bytes, as fast as they are taken. */
function pour(socket: Socket, size: number, bytes: Buffer = chunk): Poured {
  let sent = 0;
  const more = (): void => {
    while (sent < size && !socket.destroyed) {
      sent += bytes.length;
      if (!socket.write(bytes)) return void socket.once('drain', more);
    }
  };
  more();
  return { taken: () => sent - socket.writableLength };
}

/** Resolves with what was taken once it was something, and no more for 100 ms. */
async function standstill(poured: Poured): Promise<number> {
  await eventually('something was taken', () => poured.taken() > 0);
  for (let before = -1; before !== poured.taken(); await new Promise((resolve) => setTimeout(resolve, 100))) {
    before = poured.taken();
  }
  return poured.taken();
}

interface World {
  readonly proxy: ProxyProcess;
  /** What the upstream sends as the answer to the request of the moment. */
  readonly upstream: { poured: Poured | undefined };
}

const heads: Readonly<Record<string, string>> = {
  length: `Content-Length: ${GiB}\r\n\r\n`,
  // One chunk of exactly that size.
  chunked: `Transfer-Encoding: chunked\r\n\r\n${GiB.toString(16)}\r\n`,
  end: '\r\n',
};

/** `GET /` is answered at once, `GET /big/<framing>` with a gigabyte, and a POST is not read. */
async function startWorld(scope: Scope, carrier: Carrier): Promise<World> {
  const upstream: World['upstream'] = { poured: undefined };
  const { url } = await startRawUpstream(scope, (socket) => {
    socket.on('data', (data) => {
      const [method, path = ''] = data.toString('latin1').split(' ', 2);
      if (method === 'POST') return void socket.pause();
      const framing = path.split('/').at(2);
      if (framing === undefined) return void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      socket.write(`HTTP/1.1 200 OK\r\n${heads[framing]}`);
      upstream.poured = pour(socket, GiB);
    });
  });
  const proxy = await startProxyProcess(scope, carrier, url);
  // Whatever is made or compiled once is so by then.
  for (let i = 0; i < 3; i += 1) {
    const client = await connectRaw(scope, proxy.port);
    client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await client.ended;
  }
  return { proxy, upstream };
}

async function connectTo(scope: Scope, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  scope.teardown(() => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

for (const carrier of carriers) {
  t.test(`${carrier.name}: who cannot take bytes holds back who sends them`, async (t) => {
    const { proxy, upstream } = await startWorld(t, carrier);

    const assertHeld = async (before: number, poured: Poured, name: string): Promise<void> => {
      const taken = await standstill(poured);
      const more = (await proxy.held()) - before;
      t.ok(taken < GiB / 8, `${name}: ${Math.round(taken / MiB)} MiB were taken`);
      t.ok(more <= allowed, `${name}: ${Math.round(more / 1024)} KiB more are held`);
    };

    for (const framing of Object.keys(heads)) {
      const before = await proxy.held();
      const client = await connectTo(t, proxy.port);
      client.pause();
      upstream.poured = undefined;
      client.write(`GET /big/${framing} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await eventually('the answer began', () => upstream.poured !== undefined);
      if (upstream.poured !== undefined) await assertHeld(before, upstream.poured, `an answer (${framing})`);
      client.destroy();
    }

    for (const framing of ['length', 'chunked']) {
      const before = await proxy.held();
      const client = await connectTo(t, proxy.port);
      client.write(`POST / HTTP/1.1\r\nHost: a\r\n${heads[framing]}`);
      await assertHeld(before, pour(client, GiB), `a request (${framing})`);
      client.destroy();
    }

    // Requests are no smaller a flood: they are read when their turn has come.
    const requests = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1000));
    const before = await proxy.held();
    const client = await connectTo(t, proxy.port);
    client.write('GET /big/end HTTP/1.1\r\nHost: a\r\n\r\n');
    await assertHeld(before, pour(client, GiB, requests), 'pipelined requests behind one at work');
    client.destroy();

    // And they are read as they are answered, not sooner.
    const steady = await connectTo(t, proxy.port);
    let answers = 0;
    steady.on('data', (data: Buffer) => {
      answers += data.toString('latin1').split('HTTP/1.1 200').length - 1;
    });
    pour(steady, GiB, requests);
    for (const count of [50, 100, 200]) {
      await eventually(`${count} answers came`, () => answers >= count);
      const more = (await proxy.held()) - before;
      t.ok(more <= allowed, `after ${count} pipelined requests ${Math.round(more / 1024)} KiB more are held`);
    }
    steady.destroy();
  });

  t.test(`${carrier.name}: what was held back arrives whole`, async (t) => {
    const size = 64 * MiB;
    const upstream = await startRawUpstream(t, (socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\nConnection: close\r\n\r\n`);
        pour(socket, size);
      });
    });
    const proxy = await carrier.start(t, upstream.url);
    const client = await connectTo(t, proxy.port);
    let received = 0;
    let stalls = 0;
    client.on('data', (data: Buffer) => {
      received += data.length;
      if (received < (stalls + 1) * (size / 8)) return;
      stalls += 1;
      client.pause();
      setTimeout(() => client.resume(), 50);
    });
    const ended = new Promise((resolve) => client.once('close', resolve));
    client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await ended;
    t.ok(received > size && received < size + 1000, `${received} bytes`);
    t.match(proxy.observer.ends, [{ status: 200, aborted: false }]);
  });
}
