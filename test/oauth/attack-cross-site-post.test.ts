// A page elsewhere posts a form at our port: it could start logins (and fill the store), or later log a credential
// out. A browser tells such a form by its Origin; and what no form can send is JSON.
import t from 'tap';
import { ask, codeOf, createFakeCredential, postForm, startPort } from './_fakes.ts';

t.test('a POST from another origin is 403 `origin_forbidden` and starts nothing', async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential]);
  for (const origin of [
    'http://evil.test',
    'null',
    '',
    'http://localhost',
    `http://localhost:${port + 1}`,
    `http://127.0.0.1:${port}`,
    `http://localhost:${port}.evil.test`,
    `http://localhost:${port}/`,
    `ftp://localhost:${port}`,
    `http://user@localhost:${port}`,
    `http://localhost:${port} http://evil.test`,
  ]) {
    const reply = await postForm(port, { credential: 'codex' }, { origin });
    t.equal(reply.status, 403, origin);
    t.equal(codeOf(reply), 'origin_forbidden', origin);
    t.equal(events.pop(), 'refused origin_forbidden');
  }
  t.equal(credential.requested.length, 0);
});

t.test('another origin is refused even with JSON, and a form without any Origin is refused', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const body = '{"credential":"codex"}';
  for (const headers of [
    { origin: 'http://evil.test', 'content-type': 'application/json' },
    { 'content-type': 'application/x-www-form-urlencoded' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'text/plain; application/json' },
    {},
  ]) {
    t.equal((await ask(port, '/oauth/start', { method: 'POST', headers, body })).status, 403);
  }
  t.equal(credential.requested.length, 0);
});

t.test('our own origin is let in, over https in front of us too', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  for (const [host, origin] of [
    [`localhost:${port}`, `http://localhost:${port}`],
    ['localhost', 'http://localhost'],
    ['localhost:80', 'http://localhost'],
    ['localhost', 'https://localhost'],
    ['LOCALHOST:443', 'https://localhost'],
  ]) {
    t.equal((await postForm(port, { credential: 'codex' }, { host, origin })).status, 303, `${host} ${origin}`);
  }
});
