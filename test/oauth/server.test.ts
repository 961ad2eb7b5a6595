import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import t from 'tap';
import { ask, beginLogin, codeOf, comeBack, createFakeCredential, startPort } from './_fakes.ts';

t.test('every answer carries the secure headers', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const asked = [
    ask(port, '/'),
    ask(port, '/status.json'),
    ask(port, '/oauth/start'),
    ask(port, '/oauth/start', { headers: { host: '127.0.0.1' } }),
    ask(port, '/oauth/callback'),
    ask(port, '/cancel'),
    ask(port, '/nowhere'),
    ask(port, '/nowhere', { headers: { accept: 'application/json' } }),
    ask(port, '/', { headers: { host: 'evil.test' } }),
    ask(port, '/', { headers: { expect: 'the-unexpected' } }),
    ask(port, '/oauth/start', { method: 'POST' }),
  ];
  for (const { headers } of await Promise.all(asked)) {
    t.match(
      headers['content-security-policy'],
      /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; img-src data:; /,
    );
    t.match(headers['content-security-policy'], "; frame-ancestors 'none'; base-uri 'none'");
    t.notMatch(headers['content-security-policy'], 'unsafe');
    t.match(headers, {
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'same-origin',
      'cache-control': 'no-store',
      'cross-origin-opener-policy': 'same-origin',
      'permissions-policy': /camera=\(\)/,
    });
  }
});

t.test(
  'no page has an event handler, anything to fetch, or a script but for the one that its policy names',
  async (t) => {
    const { port } = await startPort(t, [createFakeCredential()]);
    for (const path of ['/', '/?refresh=off', '/oauth/start', '/oauth/callback', '/nowhere']) {
      const page = await ask(port, path);
      const policy = String(page.headers['content-security-policy']);
      const [, script] = /<script>(.*?)<\/script>/s.exec(page.body) ?? [];
      const hash = script === undefined ? undefined : createHash('sha256').update(script).digest('base64');
      t.equal(script !== undefined, path === '/', path);
      if (hash === undefined) t.notMatch(policy, 'script-src');
      else t.match(policy, `script-src 'sha256-${hash}'; connect-src 'self';`);
      const body = page.body.replace(`<script>${script}</script>`, '');
      t.notMatch(body, /<script|\son\w+=|style="|@import|src=|<link(?! rel="icon" href="data:)/);
      t.match(body, '<html lang="en">');
      t.match(body, '<main id="content">');
      t.match(body, 'name="viewport"');
    }
  },
);

t.test('an unknown page is 404 `page_unknown`, whatever it is', async (t) => {
  const { port, events } = await startPort(t, [createFakeCredential()]);
  for (const path of [
    '/nowhere',
    '//',
    '/oauth/start/',
    '/../oauth/start',
    '/%2f',
    '/OAUTH/START',
    'http://localhost/',
  ]) {
    const reply = await ask(port, path);
    t.equal(reply.status, 404, path);
    t.equal(codeOf(reply), 'page_unknown');
  }
  t.equal(events[0], 'refused page_unknown');
});

t.test('a wrong method is 405 `page_method_unknown` with Allow', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  for (const [method, path, allow] of [
    ['POST', '/', 'GET, HEAD'],
    ['DELETE', '/status.json', 'GET, HEAD'],
    ['PUT', '/oauth/start', 'GET, HEAD, POST'],
    ['OPTIONS', '/oauth/start', 'GET, HEAD, POST'],
    ['POST', '/oauth/callback', 'GET, HEAD'],
  ] as const) {
    const reply = await ask(port, path, { method });
    t.equal(reply.status, 405);
    t.equal(codeOf(reply), 'page_method_unknown');
    t.equal(reply.headers.allow, allow);
  }
});

t.test('HEAD is answered like GET, without the body', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const [head, get] = [await ask(port, '/', { method: 'HEAD' }), await ask(port, '/')];
  t.equal(head.status, 200);
  t.equal(head.headers['content-length'], get.headers['content-length']);
  t.equal(head.body, '');
});

t.test('GET /cancel of another Codex CLI is answered and no pending login is lost', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const { state, cookie } = await beginLogin(port);
  const reply = await ask(port, '/cancel', { headers: { connection: 'close', host: '127.0.0.1:1455' } });
  t.equal(reply.status, 200);
  t.match(reply.body, 'nothing was cancelled');
  t.equal((await comeBack(port, { code: 'c', state }, cookie)).status, 200);
});

t.test('a failure is a page unless Accept prefers JSON', async (t) => {
  const { port } = await startPort(t, []);
  const json = 'application/problem+json';
  const page = 'text/html; charset=utf-8';
  for (const [accept, type] of [
    ['application/json', json],
    ['application/problem+json', json],
    ['text/html;q=0.5, application/json', json],
    ['text/html, application/json', page],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', page],
    ['application/json;q=0', page],
    ['application/json;q=nonsense', page],
    ['*/*', page],
  ] as const) {
    t.equal((await ask(port, '/nowhere', { headers: { accept } })).headers['content-type'], type, accept);
  }
});

t.test(
  'a form of 4 MB is 413 `admin_request_too_large` at once, and the connection ends without a reset',
  async (t) => {
    const { port, events } = await startPort(t, [createFakeCredential()]);
    const seen: string[] = [];
    let received = '';
    await new Promise<void>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => {
        socket.write(`POST /oauth/start HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n`);
        socket.write('Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 4194304\r\n\r\n');
        socket.write(Buffer.alloc(64 * 1024, 'x'));
      });
      socket.on('data', (chunk) => {
        received += chunk.toString();
      });
      socket.on('error', (error: NodeJS.ErrnoException) => seen.push(error.code ?? 'error'));
      // Our FIN has come: what is sent now would be answered by RST if the socket were closed.
      socket.on('end', () => socket.end(Buffer.alloc(4_194_304 - 64 * 1024, 'x')));
      socket.on('close', () => resolve());
    });
    t.match(received, /^HTTP\/1.1 413 .*connection: close.*admin_request_too_large/is);
    t.same(seen, []);
    t.same(events, ['refused admin_request_too_large']);
  },
);

t.test('listen fails with `listen_port_busy`, and can be called again', async (t) => {
  const { port } = await startPort(t, []);
  const second = await startPort(t, []);
  await second.server.close();
  await t.rejects(second.server.listen({ host: '127.0.0.1', port }, 'listen.oauth'), {
    code: 'listen_port_busy',
    details: { setting: 'listen.oauth' },
  });
  const { url } = await second.server.listen({ host: '127.0.0.1', port: 0 }, 'listen.oauth');
  t.equal((await fetch(url)).status, 200);
});

t.test('closing what never listened, or twice, does no harm', async (t) => {
  const { server } = await startPort(t, []);
  await server.close();
  await server.close();
});
