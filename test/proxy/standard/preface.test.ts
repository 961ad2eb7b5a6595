// A connection's first bytes, and the time that they have: what came in time is answered, however late it is looked at.
import t from 'tap';
import { codeOf, connectRaw, eventually, startProxy, startUpstream, statusOf } from '../_proxy.ts';

const nothing = 'http://127.0.0.1:9';

/** Keeps everything else from running, as a crowd of other connections does. */
function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

t.test('a request that came in time is answered although its time is over when it is read', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => response.end('ok'));
  const proxy = await startProxy(t, upstream.url, { limits: { headerTimeoutMs: 60 } });
  for (let round = 0; round < 5; round += 1) {
    const clients = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const opened = connectRaw(t, proxy.port);
        const client = await opened;
        client.send(index % 2 === 0 ? 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' : 'hello\r\n\r\n');
        // After the connections were accepted, and before what they say is read.
        setImmediate(block, 20);
        return client;
      }),
    );
    for (const [index, client] of clients.entries()) {
      await client.ended;
      t.equal(statusOf(client.received()), index % 2 === 0 ? 200 : 400, `round ${round}, ${index}`);
    }
  }
});

t.test('a beginning that never tells which protocol it is gets 408, a silent connection only its end', async (t) => {
  const proxy = await startProxy(t, nothing, { limits: { headerTimeoutMs: 100 } });
  for (const beginning of ['P', 'PRI * HTTP/2.0\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n']) {
    const client = await connectRaw(t, proxy.port);
    client.send(beginning);
    await client.ended;
    t.equal(statusOf(client.received()), 408, beginning);
    t.equal(codeOf(client.received()), 'request_timeout', beginning);
  }
  t.equal(proxy.observer.failures.length, 3);
  const silent = await connectRaw(t, proxy.port);
  t.equal(await silent.ended, 'clean');
  t.equal(silent.received(), '');
  t.equal(proxy.observer.failures.length, 3, 'silence is nobody’s mistake');
  await eventually('nothing is left', () => proxy.inFlight() === 0);
});
