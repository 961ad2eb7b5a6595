// Before a login: can its tokens be fetched at all? A connection tells, and nothing is sent on it.
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createEndpointDispatcher } from '../../src/egress/connector.ts';
import { startConnectProxy } from '../egress/_connect-proxy.ts';
import { openWay } from '../egress/_way.ts';
import { createCertificate } from './_certificate.ts';
import { codexAt, oauth2At, scripted } from './_providers.ts';
import { rejectionOf } from './_rejections.ts';

async function closedPort(): Promise<number> {
  const { createServer } = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

t.test('an endpoint that takes the connection is reached, and gets no byte', async (t) => {
  const endpoint = await scripted(t, {});
  await oauth2At(endpoint.origin).login?.reach();
  await codexAt(endpoint.origin).login?.reach();
  await endpoint.idle();
  t.equal(endpoint.bytesReceived, 0);
  t.equal(endpoint.connections, 2);
});

t.test('DNS, the network and TLS are told apart', async (t) => {
  const strange = await scripted(t, { certificate: createCertificate() });
  for (const [origin, reason, next] of [
    ['https://idp.invalid', /DNS does not know its name/, /DNS of the pod/],
    [`https://127.0.0.1:${await closedPort()}`, /refuses the connection/, /network policy/],
    [strange.origin, /certificate is not accepted/, /tls\.ca/],
  ] as const) {
    const error = await rejectionOf(t, oauth2At(origin).login?.reach() ?? Promise.resolve());
    t.equal(error.code, 'provider_unreachable', origin);
    t.match(error.details.reason, reason);
    t.match(error.next, next);
    t.equal(error.details.address, new URL(origin).host);
  }
});

t.test('an egress proxy that refuses is told by its own code', async (t) => {
  const proxy = await startConnectProxy(t, { reply: 'HTTP/1.1 403 Forbidden\r\n\r\n' });
  const dispatcher = createEndpointDispatcher(await openWay(t, { proxy: proxy.url }));
  t.teardown(() => dispatcher.destroy());
  const provider = oauth2At('https://idp.test', {}, { clock: systemClock, dispatcher });
  const error = await rejectionOf(t, provider.login?.reach() ?? Promise.resolve());
  t.equal(error.code, 'egress_refused');
});
