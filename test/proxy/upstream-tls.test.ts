// TLS to the upstream: whose certificates are accepted, and that nobody else sees a byte of a request. The upstream
// counts what comes out of its TLS.
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import t from 'tap';
import type { RouteOptions } from '../../src/proxy/admission.ts';
import { openWay, type WayChoice } from '../egress/_way.ts';
import { type Certificate, type Claims, createAuthority, createCertificate } from '../providers/_certificate.ts';
import { codeOf, connectRaw, exchangeRaw, type Scope, startProxy, statusOf } from './_proxy.ts';
import { requests, startTlsUpstream } from './_tls-upstream.ts';

const authority = createAuthority();
const other = createAuthority('another authority');
const here: Claims = { addresses: ['127.0.0.1'] };

async function routeOf(scope: Scope, choice: WayChoice): Promise<{ route: Partial<RouteOptions> }> {
  return { route: { way: await openWay(scope, choice) } };
}

interface Refused {
  readonly name: string;
  readonly certificate: Certificate;
  readonly serverName?: string;
}

const refused: readonly Refused[] = [
  { name: 'an expired certificate', certificate: authority.issue({ ...here, until: '20010101000000Z' }) },
  { name: 'a certificate of the future', certificate: authority.issue({ ...here, from: '20980101000000Z' }) },
  { name: 'the certificate of another address', certificate: authority.issue({ addresses: ['127.0.0.2'] }) },
  { name: 'the certificate of a name', certificate: authority.issue({ names: ['api.test'] }) },
  {
    name: 'the certificate of another name than serverName',
    certificate: authority.issue({ ...here, names: ['api.test'] }),
    serverName: 'other.test',
  },
  { name: 'a certificate of an unknown authority', certificate: other.issue(here) },
  { name: 'a self-signed certificate', certificate: createCertificate() },
];

for (const { name, certificate, serverName } of refused) {
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    t.test(`${name} is 502 \`upstream_tls_failed\` over ${maxVersion}, and no byte of a request is sent`, async (t) => {
      const upstream = await startTlsUpstream(t, { ...certificate, maxVersion });
      const choice = { ca: authority.cert, ...(serverName !== undefined && { serverName }) };
      const proxy = await startProxy(t, upstream.url, await routeOf(t, choice));
      for (const [kind, request] of Object.entries(requests)) {
        const answer = await exchangeRaw(t, proxy.port, request);
        t.equal(statusOf(answer), 502, kind);
        t.equal(codeOf(answer), 'upstream_tls_failed', kind);
        t.match(answer, '"next":"Check the upstream', kind);
      }
      t.equal(upstream.connections(), 3, 'it was dialled each time, and nothing was tried twice');
      t.equal(upstream.bytes(), 0, 'no byte of a request');
    });
  }
}

t.test('without any setting the authorities that Node trusts are trusted, and no others', async (t) => {
  const upstream = await startTlsUpstream(t, authority.issue(here));
  const proxy = await startProxy(t, upstream.url);
  for (const request of Object.values(requests)) {
    t.equal(codeOf(await exchangeRaw(t, proxy.port, request)), 'upstream_tls_failed');
  }
  t.equal(upstream.bytes(), 0);
});

t.test('a configured authority is trusted, for requests and upgrades', async (t) => {
  const upstream = await startTlsUpstream(t, authority.issue(here));
  const proxy = await startProxy(t, upstream.url, await routeOf(t, { ca: authority.cert }));
  for (const kind of ['a GET', 'a POST']) {
    t.equal(statusOf(await exchangeRaw(t, proxy.port, requests[kind] ?? '')), 200, kind);
  }
  const client = await connectRaw(t, proxy.port);
  client.send(requests['an upgrade'] ?? '');
  t.equal(statusOf(await client.until('hello')), 101);
  for (const head of upstream.heads) t.match(head, /^authorization: Bearer token-1$/im);
  t.equal(upstream.heads.length, 3);
  t.equal(upstream.connections(), 2, 'requests share a connection');
});

t.test('next to a configured authority those that Node trusts stay trusted', async (t) => {
  const known = getCACertificates('default');
  t.teardown(() => setDefaultCACertificates(known));
  setDefaultCACertificates([...known, other.cert]);
  const configured = await startTlsUpstream(t, authority.issue(here));
  const system = await startTlsUpstream(t, other.issue(here));
  const neither = await startTlsUpstream(t, createAuthority('nobody').issue(here));
  const { route } = await routeOf(t, { ca: authority.cert });
  for (const [upstream, status] of [
    [configured, 200],
    [system, 200],
    [neither, 502],
  ] as const) {
    const proxy = await startProxy(t, upstream.url, { route });
    t.equal(statusOf(await exchangeRaw(t, proxy.port, requests['a GET'] ?? '')), status);
  }
  t.equal(neither.bytes(), 0);
});

t.test('a variable of the environment that switches verification off is not heard', async (t) => {
  const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  t.teardown(() => {
    if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
  });
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  const upstream = await startTlsUpstream(t, createCertificate());
  for (const http2 of ['never', 'auto'] as const) {
    for (const change of [{}, (await routeOf(t, { ca: authority.cert })).route]) {
      const proxy = await startProxy(t, upstream.url, { route: { ...change, http2 } });
      for (const [kind, request] of Object.entries(requests)) {
        t.equal(codeOf(await exchangeRaw(t, proxy.port, request)), 'upstream_tls_failed', `${kind}, ${http2}`);
      }
    }
  }
  t.equal(upstream.bytes(), 0);
});

t.test('serverName is asked for and is what the certificate must be for', async (t) => {
  const upstream = await startTlsUpstream(t, authority.issue({ names: ['api.test'] }));
  const proxy = await startProxy(t, upstream.url, await routeOf(t, { ca: authority.cert, serverName: 'api.test' }));
  t.equal(statusOf(await exchangeRaw(t, proxy.port, requests['a GET'] ?? '')), 200);
  const client = await connectRaw(t, proxy.port);
  client.send(requests['an upgrade'] ?? '');
  await client.until('hello');
  t.strictSame(upstream.serverNames, ['api.test', 'api.test']);
  t.match(upstream.heads[0], new RegExp(`^host: 127\\.0\\.0\\.1:${upstream.port}$`, 'im'), 'Host stays the upstream’s');
});

for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  t.test(`a client certificate is shown over ${maxVersion}; without it nothing is read of a request`, async (t) => {
    const demands = { requestCert: true, rejectUnauthorized: true, ca: authority.cert, maxVersion };
    const upstream = await startTlsUpstream(t, { ...authority.issue(here), ...demands });
    const { cert, key } = authority.issue({ names: ['client.test'] });
    const proxy = await startProxy(t, upstream.url, await routeOf(t, { ca: authority.cert, cert, key }));
    t.equal(statusOf(await exchangeRaw(t, proxy.port, requests['a GET'] ?? '')), 200);

    const bare = await startProxy(t, upstream.url, await routeOf(t, { ca: authority.cert }));
    const stranger = await startProxy(
      t,
      upstream.url,
      await routeOf(t, { ca: authority.cert, ...other.issue({ names: ['client.test'] }) }),
    );
    const before = upstream.bytes();
    for (const { port } of [bare, stranger]) {
      const answer = await exchangeRaw(t, port, requests['a GET'] ?? '');
      // Which alert, if any, is up to the server: upstream-error.test.ts has them.
      t.equal(statusOf(answer), 502);
    }
    t.equal(upstream.bytes(), before, 'it read nothing of them');
  });
}

t.test('routes to one upstream with different certificates never share a connection', async (t) => {
  const demands = { requestCert: true, rejectUnauthorized: false, ca: authority.cert };
  const upstream = await startTlsUpstream(t, { ...authority.issue(here), ...demands });
  const bare = await openWay(t, { ca: authority.cert });
  const shown = await openWay(t, { ca: authority.cert, ...authority.issue({ names: ['client.test'] }) });
  const proxy = await startProxy(t, upstream.url, {
    routes: (bearer) =>
      [bare, shown].map((way, index) => ({
        name: String(index),
        path: `/${index}`,
        stripPath: false,
        upstream: new URL(upstream.url),
        bearer,
        timeouts: { connectMs: 2000, headersMs: 0, idleMs: 0 },
        replayMaxBodyBytes: 0,
        http2: 'never',
        way,
      })),
  });
  for (const path of ['/0', '/1', '/0', '/1']) {
    t.equal(statusOf(await exchangeRaw(t, proxy.port, requests['a GET']?.replace('/x', path) ?? '')), 200);
  }
  t.equal(upstream.connections(), 2);
});
