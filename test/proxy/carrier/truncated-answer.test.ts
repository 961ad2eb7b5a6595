// An answer that is not whole must never look whole: the client sees an abort.
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
