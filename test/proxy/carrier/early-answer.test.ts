// A final answer while the client still uploads (RFC 9112 §9.5): 413 is worth nothing if it is lost to a reset.
import { codeOf, connectRaw, eventually, onHead, startRawUpstream, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const answer = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much';

onEachCarrier('an answer before any of the body was read reaches the client', async (t, carrier) => {
  for (const end of ['stays', 'ends', 'closes'] as const) {
    for (const framing of ['Content-Length: 20000000', 'Transfer-Encoding: chunked']) {
      const upstream = await startRawUpstream(t, (socket) => {
        onHead(socket, () => {
          socket.pause();
          socket.write(answer);
          if (end === 'ends') socket.end();
          // As nginx does: it reads on for a while before it closes.
          if (end === 'closes') socket.end(() => socket.resume());
        });
      });
      const proxy = await carrier.start(t, upstream.url);
      const client = await connectRaw(t, proxy.port);
      const last = end === 'ends' ? 'Connection: close\r\n' : '';
      client.send(`POST / HTTP/1.1\r\nHost: a\r\n${last}${framing}\r\n\r\n`);
      const chunk = Buffer.alloc(64 * 1024, 'x');
      let isOver = false;
      const push = (): void => {
        for (let i = 0; i < 16 && !isOver; i += 1) {
          if (framing.startsWith('T')) client.send('10000\r\n');
          client.send(chunk);
          if (framing.startsWith('T')) client.send('\r\n');
        }
        if (!isOver) setTimeout(push, 2);
      };
      push();
      await client.until('too much').catch(() => t.fail(`${end} ${framing}: ${client.received()}`));
      isOver = true;
      t.equal(statusOf(client.received()), 413, `${end} ${framing}`);
      await eventually('the exchange ended', () => proxy.inFlight() === 0);
      t.match(proxy.observer.ends, [{ status: 413, aborted: false }]);
      client.socket.destroy();
    }
  }
});

onEachCarrier(
  'the whole upload is read after an early answer, and the connection serves the next request',
  async (t, carrier) => {
    const upstream = await startRawUpstream(t, (socket) => onHead(socket, () => void socket.write(answer)));
    const proxy = await carrier.start(t, upstream.url);
    const client = await connectRaw(t, proxy.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\nx');
    await client.until('too much');
    client.send(Buffer.alloc(2_999_999, 'x'));
    client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    t.equal(await client.ended, 'clean');
    t.equal(client.received().match(/HTTP\/1\.1 413/g)?.length, 2);
  },
);

onEachCarrier(
  'the head of an upload leaves before its body, or with the first byte of it (head-with-first-byte)',
  async (t, carrier) => {
    const upstream = await startRawUpstream(t, (socket) => onHead(socket, () => void socket.write(answer)));
    const proxy = await carrier.start(t, upstream.url);
    const client = await connectRaw(t, proxy.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n');
    if (carrier.differences.has('head-with-first-byte')) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      t.equal(client.received(), '');
      client.send('x');
    }
    await client.until('too much');
  },
);

onEachCarrier('our own refusal of an upload reaches the client that sends it all the same', async (t, carrier) => {
  const origin = await startOrigin(t, () => undefined);
  const proxy = await carrier.start(t, origin.url);
  const client = await connectRaw(t, proxy.port);
  client.send('POST /../x HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n');
  client.send(Buffer.alloc(3_000_000, 'x'));
  await client.until('request_malformed');
  t.equal(statusOf(client.received()), 400);
  t.equal(origin.connections.length, 0);
});

onEachCarrier(
  'whatever is refused while more of it comes, the refusal arrives, and then the end',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => undefined);
    const proxy = await carrier.start(t, origin.url);
    const post = 'POST / HTTP/1.1\r\nHost: a\r\n';
    for (const [begin, code] of [
      ['GET / HTTP/1.1\r\nHost: a\r\nX: ', 'request_headers_too_large'],
      ['hello\r\n\r\n', 'request_malformed'],
      ['POST /../x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n', 'request_malformed'],
      [`${post}Transfer-Encoding: gzip, chunked\r\n\r\nfffffff\r\n`, 'request_coding_unknown'],
      [`${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 'request_malformed'],
      [`${post}Content-Length: 99999999\r\nExpect: miracle\r\n\r\n`, 'request_expectation_unknown'],
      [
        `${post}Content-Length: 99999999\r\nConnection: close\r\n${'a: 1\r\n'.repeat(1001)}\r\n`,
        'request_headers_too_large',
      ],
      ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 'request_method_refused'],
    ] as const) {
      // What a reset destroys is a matter of moments.
      for (let count = 0; count < 5; count += 1) {
        const client = await connectRaw(t, proxy.port);
        client.send(begin);
        const chunk = Buffer.alloc(64 * 1024, 'x');
        let left = 200;
        const more = setInterval(() => {
          for (let i = 0; i < 8 && left > 0; i += 1) {
            left -= 1;
            client.send(chunk);
          }
        }, 1);
        await client.ended;
        clearInterval(more);
        t.equal(codeOf(client.received()), code, begin.slice(0, 60));
        t.match(client.received(), /^Connection: close\r$/m);
      }
    }
    t.equal(origin.requests.length, 0);
  },
);
