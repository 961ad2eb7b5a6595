// The proxy's listener by https in the running program: only clients of its own authority are let in, and those that
// are not are counted.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect } from 'node:tls';
import t from 'tap';
import { createAuthority } from '../providers/_certificate.ts';
import { statusOf } from '../proxy/_proxy.ts';
import { requests, startTlsUpstream } from '../proxy/_tls-upstream.ts';
import { eventually, runProgram } from './_process.ts';
import { metric } from './_world.ts';

const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const servers = createAuthority('servers');
const clients = createAuthority('clients');
const own = servers.issue({ addresses: ['127.0.0.1'] });

t.test('a client with a certificate of listen.clients.ca is served, another is refused and counted', async (t) => {
  const upstream = await startTlsUpstream(t, servers.issue({ addresses: ['127.0.0.1'] }));
  const program = await runProgram(`
listen:
  proxy: "127.0.0.1:0"
  oauth: "off"
  telemetry: "127.0.0.1:0"
  tls: { cert: ${file('proxy.crt', own.cert)}, key: ${file('proxy.key', own.key)} }
  clients: { ca: ${file('clients.pem', clients.cert)} }
routes:
  - { upstream: "${upstream.url}", credential: written, tls: { ca: ${file('servers.pem', servers.cert)} } }
credentials:
  written: { provider: file, path: ${file('token', 'token-1')} }
store: { kind: memory }
`);
  t.teardown(() => program.end());
  t.match(program.proxyUrl, /^https:/);
  const call = (options: ConnectionOptions): Promise<string> => {
    const { hostname, port } = new URL(program.proxyUrl);
    const socket = connect({ host: hostname, port: Number(port), ca: servers.cert, ...options });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => undefined);
    socket.write(requests['a GET'] ?? '');
    return new Promise((resolve) => socket.on('close', () => resolve(text)));
  };
  t.equal(statusOf(await call(clients.issue({}))), 200);
  t.match(upstream.heads[0], /^authorization: Bearer token-1$/im);
  t.equal(await call({}), '');
  t.equal(await call(servers.issue({})), '');
  const series = 'sidebearer_errors_total{layer="proxy",code="client_certificate_refused"}';
  await eventually('both are counted', async () =>
    (await metric(program.telemetryUrl, series)) === 2 ? true : undefined,
  );
  t.ok(program.lines.some(({ code }) => code === 'client_certificate_refused'));
  t.equal(upstream.heads.length, 1);
  t.equal(await program.end(), 0);
});
