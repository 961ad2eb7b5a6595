// The built program behind an egress proxy that keeps every byte it is given: token endpoint and upstream are names
// that only the egress proxy can lead anywhere, with certificates of an authority that only the configuration names.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startConnectProxy } from '../egress/_connect-proxy.ts';
import { createAuthority } from '../providers/_certificate.ts';
import { createScriptedEndpoint, jsonOf } from '../providers/_scripted-endpoint.ts';
import { codeOf, connectRaw, exchangeRaw, statusOf } from '../proxy/_proxy.ts';
import { requests, startTlsUpstream } from '../proxy/_tls-upstream.ts';
import { eventually, runProgram, startProgram } from './_process.ts';
import { metric } from './_world.ts';

const folder = mkdtempSync(join(tmpdir(), 'sidebearer-egress-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string): string => join(folder, name);

const authority = createAuthority();
const providerAuthority = createAuthority('the provider’s');
const proxyAuthority = createAuthority('the egress proxy’s');
const own = authority.issue({ names: ['client.test'] });
writeFileSync(path('ca.pem'), authority.cert);
writeFileSync(path('idp-ca.pem'), providerAuthority.cert);
writeFileSync(path('proxy-ca.pem'), proxyAuthority.cert);
writeFileSync(path('tls.crt'), own.cert);
writeFileSync(path('tls.key'), own.key);

const secret = 'at-SECRET-4c1d';
const clientToken = 'client-token-0123456789';

/** @param lines further ones at the end */
function configOf(lines: string, credential = ''): string {
  return `
listen:
  proxy: "127.0.0.1:0"
  oauth: off
  telemetry: "127.0.0.1:0"
  clients: { header: X-Proxy-Token, token: ${clientToken} }
routes:
  - name: api
    upstream: https://api.test/v1
    credential: machine
    tls: { ca: ${path('ca.pem')}, cert: ${path('tls.crt')}, key: ${path('tls.key')} }
credentials:
  machine:
    provider: oauth2
    grant: client_credentials
    tokenUrl: https://idp.test/token
    clientId: machine
    clientSecret: cs-SECRET-77aa
    tls: { ca: ${path('idp-ca.pem')} }
    refresh: { attempts: 1, cooldown: 200ms }
${credential}
store: { kind: memory }
log: { level: trace, access: true }
shutdown: { maxDrain: 1s }
${lines}
`;
}

const withToken = (request: string): string =>
  request.replace('Host: proxy.test\r\n', `Host: proxy.test\r\nX-Proxy-Token: ${clientToken}\r\n`);
const portOf = (url: string): number => Number(new URL(url).port);

for (const scheme of ['http', 'https']) {
  t.test(
    `requests, upgrades and the token endpoint leave by an ${scheme} egress proxy, which reads no secret`,
    async (t) => {
      const upstream = await startTlsUpstream(t, {
        ...authority.issue({ names: ['api.test'] }),
        requestCert: true,
        rejectUnauthorized: true,
        ca: authority.cert,
      });
      const endpoint = await createScriptedEndpoint({
        certificate: providerAuthority.issue({ names: ['idp.test'] }),
        reply: () => jsonOf(200, { access_token: secret, token_type: 'Bearer', expires_in: 3600 }),
      });
      t.teardown(() => endpoint.close());
      const egress = await startConnectProxy(t, {
        ways: { 'api.test:443': upstream.port, 'idp.test:443': endpoint.port },
        ...(scheme === 'https' && { certificate: proxyAuthority.issue({ addresses: ['127.0.0.1'] }) }),
      });
      const program = await runProgram(configOf(''), {
        HTTPS_PROXY: egress.url.replace('://', '://user:pw-SECRET@'),
        NO_PROXY: 'unrelated.test',
        NODE_EXTRA_CA_CERTS: path('proxy-ca.pem'),
      });
      t.teardown(() => program.end());
      const port = portOf(program.proxyUrl);

      t.equal(statusOf(await exchangeRaw(t, port, withToken(requests['a GET'] ?? ''))), 200);
      t.equal(statusOf(await exchangeRaw(t, port, withToken(requests['a POST'] ?? ''))), 200);
      const client = await connectRaw(t, port);
      client.send(withToken(requests['an upgrade'] ?? ''));
      t.equal(statusOf(await client.until('hello')), 101);
      const refused = await exchangeRaw(t, port, requests['a GET'] ?? '');
      t.equal(codeOf(refused), 'client_token_missing');

      t.equal(upstream.heads.length, 3);
      for (const head of upstream.heads) {
        t.match(head, new RegExp(`^authorization: Bearer ${secret}$`, 'im'));
        t.notOk(head.includes(clientToken));
        t.match(head, /^(?:GET|POST) \/v1\/x HTTP/);
      }
      t.strictSame([...new Set(egress.heads.map((head) => head.split(' ')[1]))].sort(), [
        'api.test:443',
        'idp.test:443',
      ]);
      const seen = egress.outside() + egress.inside();
      for (const word of [secret, 'cs-SECRET', btoa('machine:cs-SECRET-77aa'), clientToken, '/v1']) {
        t.notOk(seen.includes(word), word);
      }
      const state = `sidebearer_breaker_state{endpoint="https://idp.test/token",egress="${egress.name}",state="closed"}`;
      t.equal(await metric(program.telemetryUrl, state), 1);
      client.socket.destroy();
      t.equal(await program.end(), 0);
      for (const word of ['pw-SECRET', btoa('user:pw-SECRET'), secret, 'cs-SECRET', clientToken]) {
        t.notOk(program.output().includes(word), `${word} in the log`);
      }
    },
  );
}

t.test('a refused tunnel costs no token: `egress_refused` in the log, 503, and recovery by itself', async (t) => {
  const upstream = await startTlsUpstream(t, authority.issue({ names: ['api.test'] }));
  const endpoint = await createScriptedEndpoint({
    certificate: providerAuthority.issue({ names: ['idp.test'] }),
    reply: () => jsonOf(200, { access_token: secret, token_type: 'Bearer', expires_in: 3600 }),
  });
  t.teardown(() => endpoint.close());
  const ways: Record<string, number> = { 'api.test:443': upstream.port };
  const egress = await startConnectProxy(t, { ways });
  const global = 'egress: { proxy: "http://127.0.0.1:9" }';
  const program = await runProgram(configOf(global, `    egress: { proxy: "${egress.url}" }`));
  t.teardown(() => program.end());
  const call = () => exchangeRaw(t, portOf(program.proxyUrl), withToken(requests['a GET'] ?? ''));

  const first = await call();
  t.equal(statusOf(first), 503);
  await eventually('the refusal in the log', () => program.lines.some(({ code }) => code === 'egress_refused'));
  t.match(
    program.lines.find(({ code }) => code === 'egress_refused'),
    { address: egress.name, next: /egress\.noProxy/ },
  );
  ways['idp.test:443'] = endpoint.port;
  await eventually('an answer', async () => (statusOf(await call()) === 200 ? true : undefined));
  t.equal(endpoint.requests.length, 1);
  t.equal(await program.end(), 0);
});

t.test('a certificate file that cannot be used ends the start with 1, its setting and its path', async (t) => {
  const started = await startProgram(configOf('').replace(path('idp-ca.pem'), path('absent.pem')));
  if ('process' in started) {
    await started.end();
    throw new Error('it started');
  }
  t.equal(started.exit, 1);
  t.match(started.output, /tls_file_unusable/);
  t.match(started.output, /credentials\.machine\.tls\.ca/);
  t.match(started.output, path('absent.pem'));
});
