// An answer that is not whole must never look whole: the client sees an abort.
import { type AddressInfo, connect } from 'node:net';
import { createServer } from 'node:tls';
import { openWay } from '../../egress/_way.ts';
import { createAuthority } from '../../providers/_certificate.ts';
import { connectRaw, onHead, startRawUpstream } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';

const ok = 'HTTP/1.1 200 OK\r\n';

const cuts: [name: string, answer: string][] = [
  ['a length, no body', `${ok}Content-Length: 10\r\n\r\n`],
  ['a length, some body', `${ok}Content-Length: 10\r\n\r\npart`],
  ['a length, all but one', `${ok}Content-Length: 5\r\n\r\npart`],
  ['a length and close', `${ok}Content-Length: 10\r\nConnection: close\r\n\r\npart`],
  ['chunks, none', `${ok}Transfer-Encoding: chunked\r\n\r\n`],
  ['chunks, within one', `${ok}Transfer-Encoding: chunked\r\n\r\n9\r\npart`],
  ['chunks, between two', `${ok}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n`],
  ['chunks and close', `${ok}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\npart\r\n`],
  ['chunks, within the last', `${ok}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n`],
  ['chunks, within the trailers', `${ok}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\nX: 1\r\n`],
];

onEachCarrier(
  'an upstream that dies within its answer: the client sees an abort, never a clean end',
  async (t, carrier) => {
    for (const [name, answer] of cuts) {
      for (const end of ['FIN', 'RST'] as const) {
        for (const version of ['1.1', '1.0']) {
          const upstream = await startRawUpstream(t, (socket) =>
            onHead(socket, () => {
              socket.write(answer);
              setTimeout(() => (end === 'FIN' ? socket.end() : socket.resetAndDestroy()), 20);
            }),
          );
          const proxy = await carrier.start(t, upstream.url);
          const client = await connectRaw(t, proxy.port);
          client.send(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`);
          const outcome = await client.ended;
          const received = client.received();
          const what = `${name}, ${end}, HTTP/${version}`;
          t.match(received, /^HTTP\/1\.1 200 /, what);
          t.notMatch(received, /\r\n0\r\n/, what);
          const isLengthKnown = /^content-length: /im.test(received);
          if (version === '1.0' && !isLengthKnown) t.equal(outcome, 'reset', what);
          t.match(proxy.observer.ends, [{ status: 200, aborted: true, error: { code: /^upstream_/ } }], what);
          t.equal(proxy.inFlight(), 0);
        }
      }
    }
  },
);

onEachCarrier(
  'over TLS, a FIN without close_notify is no end of an answer that only the end delimits (tls-close-unseen)',
  async (t, carrier) => {
    const authority = createAuthority();
    const behind = createServer(authority.issue({ addresses: ['127.0.0.1'] }), (socket) => {
      socket.on('error', () => undefined);
      onHead(socket, () => void socket.write(`${ok}\r\npart`));
    });
    await new Promise<void>((resolve) => behind.listen(0, '127.0.0.1', resolve));
    t.teardown(() => behind.close());
    let cut = (): void => undefined;
    const upstream = await startRawUpstream(t, (socket) => {
      const onward = connect((behind.address() as AddressInfo).port, '127.0.0.1');
      onward.on('error', () => undefined);
      onward.on('data', (chunk: Buffer) => socket.write(chunk));
      socket.on('data', (chunk: Buffer) => onward.write(chunk));
      socket.on('close', () => onward.destroy());
      cut = () => void socket.end();
    });
    const way = await openWay(t, { ca: authority.cert });
    const proxy = await carrier.start(t, upstream.url.replace('http:', 'https:'), { route: { way } });
    const client = await connectRaw(t, proxy.port);
    client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await client.until('part');
    cut();
    await client.ended;
    if (carrier.differences.has('tls-close-unseen')) t.match(client.received(), /part\r\n0\r\n\r\n$/);
    else t.notMatch(client.received(), /\r\n0\r\n/);
  },
);
