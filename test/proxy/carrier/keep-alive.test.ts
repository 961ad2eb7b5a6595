// Who closes an idle connection first (RFC 9112 §9.3, §9.5): towards clients never we, towards the upstream always we.
import { configSchema } from '../../../src/config/schema.ts';
import { connectRaw, eventually, exchangeRaw } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startOrigin } from './_origin.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

onEachCarrier(
  'one connection serves many requests, and says how long it is kept: 65 s or more by default',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => ok);
    const limits = configSchema.shape.limits.parse({});
    const proxy = await carrier.start(t, origin.url, { limits: { keepAliveMs: limits.keepAlive } });
    const client = await connectRaw(t, proxy.port);
    for (let count = 1; count <= 20; count += 1) {
      client.send(get);
      await client.until(new RegExp(`^([\\s\\S]*?\\r\\n\\r\\nok){${count}}$`));
    }
    t.equal(origin.connections.length, 1, 'so does the one to the upstream');
    const seconds = Number(/^Keep-Alive: timeout=(\d+)\r$/m.exec(client.received())?.[1]);
    t.ok(seconds >= 65, `${seconds} s`);
  },
);

onEachCarrier(
  'an idle connection is closed after limits.keepAlive, by a clean end, and not before',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => ok);
    const proxy = await carrier.start(t, origin.url, { limits: { keepAliveMs: 600, headerTimeoutMs: 100 } });
    const client = await connectRaw(t, proxy.port);
    client.send(get);
    await client.until(/ok$/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    t.notOk(client.socket.destroyed, 'the time for a head is not the time to be idle');
    client.send(get);
    await client.until(/ok[\s\S]*ok$/);
    t.equal(await client.ended, 'clean');
  },
);

onEachCarrier('the hint of the upstream is honoured: its connection is given up before it is', async (t, carrier) => {
  for (const [hint, connections] of [
    ['', 1],
    ['Keep-Alive: timeout=60\r\n', 1],
    ['Keep-Alive: timeout=1\r\n', 2],
    ['Keep-Alive: max=100, timeout=1\r\n', 2],
    ['Keep-Alive: timeout=99999999999999999999\r\n', 1],
    ['Keep-Alive: timeout=-1\r\nKeep-Alive: x\r\n', 1],
    ['Keep-Alive: timeout=0\r\n', 2],
    ['Connection: close\r\n', 2],
  ] as const) {
    const origin = await startOrigin(t, () => ok.replace('\r\n\r\n', `\r\n${hint}\r\n`));
    const proxy = await carrier.start(t, origin.url);
    for (let count = 0; count < 2; count += 1) {
      await exchangeRaw(t, proxy.port, get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    }
    t.equal(origin.connections.length, connections, hint);
    if (connections === 2) await eventually('it closed', () => origin.connections[0]?.isClosed === true);
  }
});
