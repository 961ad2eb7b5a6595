import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { ask, codeOf, createFakeCredential, credentialStatus, postForm, startPort } from './_fakes.ts';

t.test('GET /oauth/start shows what will happen and starts nothing', async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential]);
  const reply = await ask(port, '/oauth/start?credential=codex', { headers: { host: 'localhost:1455' } });
  t.equal(reply.status, 200);
  t.match(reply.body, 'Continue to idp.example');
  t.match(reply.body, 'http://localhost:1455/oauth/callback');
  t.notMatch(reply.body, 'kubectl');
  t.notMatch(reply.body, 'checkbox');
  t.equal(reply.headers['set-cookie'], undefined);
  t.match(
    reply.headers['content-security-policy'],
    "form-action 'self' https://idp.example http://localhost:1455 https:;",
  );
  t.notMatch(reply.body, credential.requested[0]?.state ?? 'nothing');
  t.same(events, []);
});

for (const [what, status] of [
  ['a token without an account', { state: 'fresh', generation: 1 }],
  ['a dead grant', { state: 'dead' }],
] as const) {
  t.test(`where ${what} is stored, GET /oauth/start asks whether it may be replaced`, async (t) => {
    const credential = createFakeCredential();
    credential.behaviour.status = () => credentialStatus(status);
    const { port } = await startPort(t, [credential]);
    const reply = await ask(port, '/oauth/start?credential=codex');
    t.match(reply.body, /<input type="checkbox" id="replace" name="replace" value="yes"/);
  });
}

t.test('POST /oauth/start binds the login to the browser and redirects to the provider', async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential]);
  const reply = await postForm(port, { credential: 'codex' });
  t.equal(reply.status, 303);
  const [request] = credential.requested;
  t.match(request?.state, /^[A-Za-z0-9_-]{43}$/);
  t.match(request?.nonce, /^[A-Za-z0-9_-]{43}$/);
  t.equal(request?.verifier.length, 128);
  t.equal(reply.headers.location, `https://idp.example/authorize?state=${request?.state}`);
  t.match(
    reply.headers['set-cookie']?.[0],
    /^sidebearer-login-[0-9a-f]{32}=[A-Za-z0-9_-]{43}; Max-Age=1800; Path=\/; HttpOnly; SameSite=Lax$/,
  );
  t.same(events, ['started codex']);
});

t.test('behind https the cookie is Secure, and the browser is led to the registered origin', async (t) => {
  const credential = createFakeCredential('codex', { redirectUri: 'https://login.example.test/oauth/callback' });
  const { port } = await startPort(t, [credential]);
  const moved = await ask(port, '/oauth/start');
  t.equal(moved.status, 302);
  t.equal(moved.headers.location, 'https://login.example.test/oauth/start?credential=codex&moved=yes');
  const headers = { host: 'login.example.test', origin: 'https://login.example.test' };
  const begun = await postForm(port, { credential: 'codex' }, headers);
  t.equal(begun.status, 303);
  t.match(begun.headers['set-cookie']?.[0], 'Secure');
});

t.test("a browser on 127.0.0.1 is led to the redirect URI's name first, on the port it uses, once", async (t) => {
  const { port, events } = await startPort(t, [createFakeCredential()]);
  const headers = { host: '127.0.0.1:9000' };
  const moved = await ask(port, '/oauth/start', { headers });
  t.equal(moved.status, 302);
  t.equal(moved.headers.location, 'http://localhost:9000/oauth/start?credential=codex&moved=yes');
  const arrived = await ask(port, '/oauth/start?credential=codex&moved=yes', { headers });
  t.equal(arrived.status, 200, 'a proxy that rewrites Host makes no loop');
  t.match(arrived.body, 'You opened this page as 127.0.0.1');
  t.match(arrived.body, '<input type="hidden" name="moved" value="yes">');
  const posted = await postForm(port, { credential: 'codex' }, { ...headers, origin: 'http://127.0.0.1:9000' });
  t.equal(posted.status, 303);
  t.equal(posted.headers.location, 'http://localhost:9000/oauth/start?credential=codex&moved=yes');
  t.same(events, [], 'nothing was started where the cookie would be lost');
});

t.test('a browser on another port than the registered one is told the exact command', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()], { podName: 'web-7f9c' });
  const reply = await ask(port, '/oauth/start', { headers: { host: 'localhost:9000' } });
  t.match(reply.body, `kubectl port-forward web-7f9c 1455:${port}`);
  t.match(reply.body, 'port 9000');
  t.match(reply.body, 'href="http://localhost:1455/oauth/start?credential=codex"');
});

t.test('several credentials: a choice of those with a login', async (t) => {
  const all = [
    createFakeCredential('a'),
    createFakeCredential('b'),
    createFakeCredential('machine', { hasLogin: false }),
  ];
  const { port } = await startPort(t, all);
  const reply = await ask(port, '/oauth/start');
  t.equal(reply.status, 200);
  t.match(reply.body, 'href="/oauth/start?credential=a"');
  t.match(reply.body, 'href="/oauth/start?credential=b"');
  t.notMatch(reply.body, 'machine');
});

t.test('no credential with a login: the page says so', async (t) => {
  const { port } = await startPort(t, [createFakeCredential('machine', { hasLogin: false })]);
  const reply = await ask(port, '/oauth/start');
  t.equal(reply.status, 200);
  t.match(reply.body, 'No configured credential is obtained by a login');
});

t.test('where an account is stored, the form asks whether another may replace it', async (t) => {
  const credential = createFakeCredential();
  credential.behaviour.status = () => credentialStatus({ account: { email: '"><script>x' } });
  const { port } = await startPort(t, [credential]);
  const reply = await ask(port, '/oauth/start');
  t.match(reply.body, 'name="replace" value="yes"');
  t.match(reply.body, '&quot;&gt;&lt;script&gt;x');
  t.notMatch(reply.body, '<script');
});

t.test('refusals of /oauth/start, each with its code', async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential, createFakeCredential('machine', { hasLogin: false })]);
  const form = 'application/x-www-form-urlencoded';
  const json = 'application/json';
  const post = (type: string, body: string) =>
    ask(port, '/oauth/start', {
      method: 'POST',
      headers: { origin: `http://localhost:${port}`, 'content-type': type },
      body,
    });
  for (const [reply, status, code] of [
    [await ask(port, '/oauth/start?credential=nobody'), 404, 'credential_unknown'],
    [await ask(port, '/oauth/start?credential=machine'), 409, 'login_unsupported'],
    [await postForm(port, { credential: 'nobody' }), 404, 'credential_unknown'],
    [await postForm(port, { credential: 'machine' }), 409, 'login_unsupported'],
    [await postForm(port, {}), 400, 'admin_request_malformed'],
    [await post('multipart/form-data; boundary=x', '--x--'), 400, 'admin_request_malformed'],
    [await post(json, '{'), 400, 'admin_request_malformed'],
    [await post(json, '[]'), 400, 'admin_request_malformed'],
    [await post(form, `credential=codex&x=${'y'.repeat(17_000)}`), 413, 'admin_request_too_large'],
  ] as const) {
    t.equal(codeOf(reply), code);
    t.equal(reply.status, status);
    t.equal(events.shift(), `refused ${code}`);
  }
  t.equal(credential.requested.length, 0);
});

t.test('a program starts a login by JSON, without an Origin', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const reply = await ask(port, '/oauth/start', {
    method: 'POST',
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify({ credential: 'codex', replace: true }),
  });
  t.equal(reply.status, 303);
});

t.test(
  'a provider that cannot be reached is told before the redirect: 502 `provider_unreachable`, nothing pending',
  async (t) => {
    const credential = createFakeCredential();
    const { port, events } = await startPort(t, [credential]);
    credential.behaviour.authorizationUrl = () => Promise.reject(new SidebearerError('provider_unreachable'));
    for (const reply of [await ask(port, '/oauth/start'), await postForm(port, { credential: 'codex' })]) {
      t.equal(reply.status, 502);
      t.equal(codeOf(reply), 'provider_unreachable');
      t.match(reply.body, '<a class="button" href="/oauth/start?credential=codex">Try again</a>');
    }
    t.same(events, ['failed provider_unreachable codex', 'failed provider_unreachable codex']);
  },
);

t.test('the 17th pending login is 503 `logins_pending_limit`', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  for (let count = 0; count < 16; count += 1) t.equal((await postForm(port, { credential: 'codex' })).status, 303);
  const reply = await postForm(port, { credential: 'codex' });
  t.equal(reply.status, 503);
  t.equal(codeOf(reply), 'logins_pending_limit');
});

t.test(
  'what would fail only after the login is told before it, with its own code and a way to try again',
  async (t) => {
    const unreachable = new SidebearerError('provider_unreachable', { reason: 'DNS does not know its name here' });
    const credential = createFakeCredential();
    const unwritable = new SidebearerError('store_write_failed', { systemCode: 'ENOSPC' });
    let storeFails = false;
    const { port, events } = await startPort(t, [credential], {
      probeStore: () => (storeFails ? Promise.reject(unwritable) : Promise.resolve()),
    });
    credential.behaviour.reach = () => Promise.reject(unreachable);
    const first = await ask(port, '/oauth/start');
    t.equal(first.status, 502);
    t.equal(codeOf(first), 'provider_unreachable');
    t.match(first.body, 'DNS does not know its name here');
    t.match(first.body, 'href="/oauth/start?credential=codex"');

    credential.behaviour.reach = async () => undefined;
    storeFails = true;
    const second = await ask(port, '/oauth/start');
    t.equal(second.status, unwritable.row.status);
    t.equal(codeOf(second), 'store_write_failed');
    t.match(second.body, 'ENOSPC');

    storeFails = false;
    t.equal((await ask(port, '/oauth/start')).status, 200);
    t.strictSame(events, ['failed provider_unreachable codex', 'failed store_write_failed codex']);
  },
);
