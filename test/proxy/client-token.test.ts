// Who may call: where listen.clients is set, a request without the shared token gets no further than the head.
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createProxyListener } from '../../src/proxy/listener.ts';
import {
  codeOf,
  createFakeBearer,
  createRecorder,
  createRoute,
  exchangeRaw,
  limits,
  type Scope,
  startUpstream,
  statusOf,
} from './_proxy.ts';
import { requests } from './_tls-upstream.ts';

const token = 'shared-token-0123456789';
const clients = { header: 'X-Proxy-Token', token };

async function start(t: Scope, chosen = clients) {
  const seen: string[][] = [];
  const upstream = await startUpstream(t, (request, response) => {
    seen.push(request.rawHeaders);
    response.end('ok');
  });
  const observer = createRecorder();
  const listener = createProxyListener({
    address: { host: '127.0.0.1', port: 0 },
    routes: [createRoute(upstream.url, createFakeBearer())],
    hosts: [],
    clients: chosen,
    limits,
    observer,
    clock: systemClock,
  });
  const { address } = await listener.listen();
  t.teardown(() => listener.close({ minDrainMs: 0, maxDrainMs: 0 }));
  return { port: 'port' in address ? address.port : 0, seen, observer };
}

const withHeaders = (request: string, ...lines: string[]): string =>
  request.replace('Host: proxy.test\r\n', `Host: proxy.test\r\n${lines.map((line) => `${line}\r\n`).join('')}`);

const refused: readonly (readonly [string, readonly string[], string])[] = [
  ['no header', [], 'client_token_missing'],
  ['another header', [`X-Proxy-Tokens: ${token}`], 'client_token_missing'],
  ['a look-alike of the header', [`X_Proxy_Token: ${token}`], 'client_token_missing'],
  ['an empty token', ['X-Proxy-Token:'], 'client_token_wrong'],
  ['another token', ['X-Proxy-Token: shared-token-0123456780'], 'client_token_wrong'],
  ['the beginning of the token', [`X-Proxy-Token: ${token.slice(0, -1)}`], 'client_token_wrong'],
  ['more than the token', [`X-Proxy-Token: ${token}x`], 'client_token_wrong'],
  ['the token twice', [`X-Proxy-Token: ${token}`, `x-proxy-token: ${token}`], 'client_token_wrong'],
  ['the token and another', [`X-Proxy-Token: ${token}`, 'X-Proxy-Token: x'], 'client_token_wrong'],
  ['a token beyond ASCII', ['X-Proxy-Token: \xff\xfe'], 'client_token_wrong'],
];

for (const [name, lines, code] of refused) {
  t.test(`a client that shows ${name} is refused with 403 \`${code}\`, upgrades too`, async (t) => {
    const { port, seen, observer } = await start(t);
    for (const [kind, request] of Object.entries(requests)) {
      const answer = await exchangeRaw(t, port, Buffer.from(withHeaders(request, ...lines), 'latin1'));
      t.equal(statusOf(answer), 403, kind);
      t.equal(codeOf(answer), code, kind);
      t.notOk(answer.includes(token), kind);
    }
    t.strictSame(seen, [], 'nothing was sent on');
    t.equal(observer.ends.length, 3);
  });
}

t.test('a client that shows the token is served, and the upstream never sees it', async (t) => {
  const { port, seen } = await start(t);
  for (const name of ['X-Proxy-Token', 'x-proxy-token', 'X-PROXY-TOKEN']) {
    const lines = [`${name}: ${token}`, `X_Proxy_Token: ${token}`, 'X-Kept: 1'];
    t.equal(statusOf(await exchangeRaw(t, port, withHeaders(requests['a GET'] ?? '', ...lines))), 200, name);
  }
  t.equal(seen.length, 3);
  for (const headers of seen) {
    t.notOk(headers.join('\n').includes(token));
    t.match(headers.join('\n'), /X-Kept/);
    t.match(headers.join('\n'), /Bearer token-1/);
  }
});

for (const header of ['Authorization', 'Proxy-Authorization']) {
  t.test(`the token may stand in ${header}: ours takes its place`, async (t) => {
    const { port, seen } = await start(t, { header, token });
    t.equal(statusOf(await exchangeRaw(t, port, withHeaders(requests['a GET'] ?? '', `${header}: ${token}`))), 200);
    t.equal(codeOf(await exchangeRaw(t, port, requests['a GET'] ?? '')), 'client_token_missing');
    t.notOk(seen.flat().includes(token));
    t.ok(seen.flat().includes('Bearer token-1'));
  });
}
