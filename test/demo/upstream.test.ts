import { once } from 'node:events';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { createDemoUpstream } from '../../demo/upstream.ts';

const TOKEN = 'good-token-0123456789';
const good = { authorization: `Bearer ${TOKEN}` };

async function startUpstream(t: Test) {
  const upstream = await createDemoUpstream({ introspect: async (token) => token === TOKEN });
  t.teardown(() => upstream.close());
  return upstream;
}

t.test('it tells what it received, and never the whole token', async (t) => {
  const { url, counts } = await startUpstream(t);
  const headers = { ...good, 'x-custom': 'yes' };
  const response = await fetch(`${url}/a/b?c=d`, { method: 'POST', headers, body: 'hello' });
  const text = await response.text();
  t.notMatch(text, TOKEN);
  t.match(JSON.parse(text), {
    method: 'POST',
    path: '/a/b?c=d',
    body: { bytes: 5, sha256: '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824' },
    token: /^good… \(sha256 [0-9a-f]{12}\)$/,
  });
  t.match(text, '"x-custom"');
  t.strictSame(counts, { accepted: 1, refused: 0 });
});

t.test('a token that is not active is 401 invalid_token, none at all is 401 without an error', async (t) => {
  const { url, counts } = await startUpstream(t);
  const refused = await fetch(url, {
    method: 'POST',
    headers: { authorization: 'Bearer old' },
    body: 'x'.repeat(100_000),
  });
  t.equal(refused.status, 401);
  t.equal(refused.headers.get('www-authenticate'), 'Bearer realm="demo", error="invalid_token"');
  const without = await fetch(url);
  t.equal(without.status, 401);
  t.equal(without.headers.get('www-authenticate'), 'Bearer realm="demo"');
  t.strictSame(counts, { accepted: 0, refused: 2 });
});

t.test('/sse sends its events one by one', async (t) => {
  const { url } = await startUpstream(t);
  const response = await fetch(`${url}/sse?count=3&every=1`, { headers: good });
  t.equal(response.headers.get('content-type'), 'text/event-stream');
  t.equal((await response.text()).match(/^id: \d$/gm)?.length, 3);
});

t.test('/slow answers in the end', async (t) => {
  const { url } = await startUpstream(t);
  t.equal((await fetch(`${url}/slow?ms=5`, { headers: good })).status, 200);
});

t.test('a WebSocket echoes texts and bytes; its handshake needs the token', async (t) => {
  const { url } = await startUpstream(t);
  const socket = new WebSocket(url.replace('http', 'ws'), { headers: good });
  await once(socket, 'open');
  socket.send('text');
  t.strictSame(await once(socket, 'message').then(([data, isBinary]) => [String(data), isBinary]), ['text', false]);
  socket.send(Buffer.from([1, 2]));
  t.strictSame(await once(socket, 'message').then(([data, isBinary]) => [[...data], isBinary]), [[1, 2], true]);
  socket.close();
  await once(socket, 'close');
  const refused = new WebSocket(url.replace('http', 'ws'));
  const [error] = await once(refused, 'error');
  t.match(error, { message: /401/ });
});
