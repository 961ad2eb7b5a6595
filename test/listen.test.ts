// Binding: addresses as they are written, refusals of the system as rows of the catalogue, stale socket files.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { bind, findHolder, formatListenAddress, parseListenAddress } from '../src/listen.ts';

function end(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

t.test('addresses are host:port, [v6]:port or unix:/path, and nothing else', async (t) => {
  t.same(parseListenAddress('127.0.0.1:8080'), { host: '127.0.0.1', port: 8080 });
  t.same(parseListenAddress('localhost:0'), { host: 'localhost', port: 0 });
  t.same(parseListenAddress('[::1]:80'), { host: '::1', port: 80 });
  t.same(parseListenAddress('unix:/run/s'), { path: '/run/s' });
  const wrong = [
    '',
    '8080',
    ':8080',
    'a:',
    'a:65536',
    'a:-1',
    'a:1x',
    '::1:80',
    '[::1]',
    'unix:s',
    'unix:',
    'a b:1',
    `unix:/${'x'.repeat(107)}`,
  ];
  for (const text of wrong) t.equal(parseListenAddress(text), undefined, text);
  for (const text of ['127.0.0.1:1', '[::1]:2', 'unix:/a']) {
    const address = parseListenAddress(text);
    t.equal(address === undefined ? undefined : formatListenAddress(address), text);
  }
});

t.test('port 0 is bound and told', async (t) => {
  const server = createServer();
  t.teardown(() => end(server));
  const bound = await bind(server, { host: '127.0.0.1', port: 0 }, 'listen.proxy');
  t.match(bound.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  t.match(bound.address, { host: '127.0.0.1', port: Number(bound.url.split(':')[2]) });
});

t.test('a busy port is listen_port_busy with address, setting and holder; the server can be bound later', async (t) => {
  const first = createServer();
  t.teardown(() => end(first));
  const { address } = await bind(first, { host: '127.0.0.1', port: 0 }, 'a');
  const port = 'port' in address ? address.port : 0;
  const second = createServer();
  t.teardown(() => end(second));
  await t.rejects(bind(second, address, 'listen.oauth'), {
    code: 'listen_port_busy',
    details: {
      address: `127.0.0.1:${port}`,
      setting: 'listen.oauth',
      systemCode: 'EADDRINUSE',
      ...(existsSync('/proc/net/tcp') ? { holder: new RegExp(`\\(pid ${process.pid}\\)$`) } : {}),
    },
  });
  t.match(await bind(second, { host: '127.0.0.1', port: 0 }, 'listen.oauth'), { url: String });
});

t.test('an address of another machine is listen_address_unavailable, a folder that is not there too', async (t) => {
  const server = createServer();
  await t.rejects(bind(server, { host: '192.0.2.1', port: 0 }, 's'), {
    code: 'listen_address_unavailable',
    details: { setting: 's' },
  });
  await t.rejects(bind(server, { path: '/nonexistent/s' }, 's'), {
    code: 'listen_address_unavailable',
    details: { address: 'unix:/nonexistent/s' },
  });
});

t.test('a socket file whose process was killed is taken over, a living one and a plain file are not', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 's');
  const child = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`,
  ]);
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const server = createServer();
  t.teardown(() => end(server));
  await t.rejects(bind(server, { path }, 's'), { code: 'listen_port_busy' });
  if (existsSync('/proc/net/unix')) t.match(await findHolder({ path }), `(pid ${child.pid})`);
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  t.ok(existsSync(path), 'it left its file');
  t.equal((await bind(server, { path }, 's')).url, `unix:${path}`);
  const file = join(folder, 'file');
  writeFileSync(file, 'precious');
  await t.rejects(bind(createServer(), { path: file }, 's'), { code: 'listen_port_busy' });
  t.ok(existsSync(file));
});
