// A page of evil.test lets its name point at 127.0.0.1 after it was loaded: the browser then takes our port for
// evil.test's own, and its script may read our pages and post our forms. Only the Host header tells.
import { connect } from 'node:net';
import t from 'tap';
import { ask, codeOf, createFakeCredential, startPort } from './_fakes.ts';

t.test("a Host that is neither loopback nor a redirect URI's is 403 `host_forbidden`, on every path", async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential]);
  for (const path of ['/', '/status.json', '/oauth/start', '/oauth/callback', '/cancel', '/nowhere']) {
    const reply = await ask(port, path, { headers: { host: `evil.test:${port}` } });
    t.equal(reply.status, 403);
    t.equal(codeOf(reply), 'host_forbidden');
    t.equal(events.pop(), 'refused host_forbidden');
  }
});

t.test('which Host names are let in', async (t) => {
  const credential = createFakeCredential('codex', { redirectUri: 'https://login.example.test/oauth/callback' });
  const { port } = await startPort(t, [credential]);
  for (const [host, status] of [
    ['localhost', 200],
    ['LocalHost:9000', 200],
    ['127.0.0.1:1455', 200],
    ['[::1]:1455', 200],
    ['login.example.test', 200],
    ['login.example.test:443', 200],
    ['localhost.evil.test', 403],
    ['evil.test#localhost', 403],
    ['localhost@evil.test', 403],
    ['user@localhost', 403],
    ['localhost:80:80', 403],
    ['127.0.0.1.evil.test', 403],
    ['127.0.0.2', 403],
    ['0.0.0.0', 403],
    ['[::ffff:127.0.0.1]', 403],
  ] as const) {
    t.equal((await ask(port, '/status.json', { headers: { host } })).status, status, host);
  }
});

t.test('no Host, and two of them, are refused too', async (t) => {
  const { port } = await startPort(t, []);
  for (const head of [
    'GET / HTTP/1.1\r\n',
    'GET / HTTP/1.0\r\n',
    'GET / HTTP/1.1\r\nHost:\r\n',
    'GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n',
  ]) {
    const answer = await new Promise<string>((resolve, reject) => {
      let received = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(`${head}Connection: close\r\n\r\n`));
      socket.on('data', (chunk) => {
        received += chunk.toString();
      });
      socket.on('end', () => resolve(received));
      socket.on('error', reject);
    });
    t.match(answer, /^HTTP\/1\.1 403 /);
    t.match(answer, /content-security-policy/i);
  }
});
