// Slowloris: a client that sends its head a byte at a time, for ever, holds a connection and costs nothing. A head has
// a time as a whole; bytes do not extend it.
import { codeOf, connectRaw, exchangeRaw, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

onEachCarrier('a head that comes byte by byte is cut as a whole: 408 request_timeout', async (t, carrier) => {
  const origin = await startOrigin(t, () => ok);
  const proxy = await carrier.start(t, origin.url, { limits: { headerTimeoutMs: 200 } });
  for (const [name, first] of [
    ['at once', ''],
    ['after a request on the same connection', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ]) {
    const client = await connectRaw(t, proxy.port);
    if (first !== '') {
      client.send(first ?? '');
      await client.until(/ok$/);
    }
    client.send('GET /slow HTTP/1.1\r\nHost: a\r\n');
    const trickle = setInterval(() => client.send('X'), 20);
    await client.ended;
    clearInterval(trickle);
    const answer = client.received().slice(first === '' ? 0 : client.received().indexOf('ok') + 2);
    t.equal(statusOf(answer), 408, String(name));
    t.equal(codeOf(answer), 'request_timeout', String(name));
  }
  t.notMatch(origin.requests.map(({ line }) => line).join(), /slow/);
});

onEachCarrier('hundreds of them hold nobody else up, and are gone in time', async (t, carrier) => {
  const origin = await startOrigin(t, () => ok);
  const proxy = await carrier.start(t, origin.url, { limits: { headerTimeoutMs: 300 } });
  const slow = await Promise.all(Array.from({ length: 200 }, () => connectRaw(t, proxy.port)));
  for (const client of slow) client.send('GET / HTTP/1.1\r\nHost: ');
  t.match(
    await exchangeRaw(t, proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
    /ok$/,
    'a request among them is served',
  );
  await Promise.all(slow.map(({ ended }) => ended));
  t.equal(slow.filter((client) => statusOf(client.received()) === 408).length, 200);
  t.equal(proxy.inFlight(), 0);
});
