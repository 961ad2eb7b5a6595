// What may happen at the callback, each with its own code; and the order of the checks, which is the defence.
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createMemoryStore } from '../../src/stores/memory.ts';
import { createFakeClock } from '../_fake-clock.ts';
import {
  ask,
  beginLogin,
  codeOf,
  comeBack,
  createFakeCredential,
  credentialStatus,
  redirectUri,
  startPort,
  tokenAnswer,
} from './_fakes.ts';

t.test('a login that comes back with its state and cookie is exchanged, stored and shown', async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential], { storedIn: 'file /var/lib/sidebearer' });
  const { state, cookie } = await beginLogin(port);
  const reply = await comeBack(port, { code: 'c1', state, iss: 'https://idp.example' }, cookie);

  t.equal(reply.status, 200);
  t.match(reply.body, 'You are logged in');
  t.match(reply.body, 'ada@example.test');
  t.match(reply.body, 'file /var/lib/sidebearer');
  t.match(reply.body, 'You may close this page');
  t.match(reply.body, '<a class="button quiet" href="/">');
  t.notMatch(reply.body, 'SECRET');
  t.match(
    reply.headers['set-cookie']?.[0],
    /^sidebearer-login-[0-9a-f]{32}=; Max-Age=0; Path=\/; HttpOnly; SameSite=Lax$/,
  );
  const [request] = credential.requested;
  const [answer] = credential.exchanges;
  t.same([answer?.state, answer?.nonce, answer?.verifier], [request?.state, request?.nonce, request?.verifier]);
  t.same(Object.fromEntries(answer?.parameters ?? []), { code: 'c1', state, iss: 'https://idp.example' });
  t.same(credential.accepted, [{ tokens: tokenAnswer(), replaceAccount: false }]);
  t.same(events, ['started codex', 'succeeded codex']);
});

t.test(
  'the other callback path serves its redirect URIs, and a suffix that OpenAI appends to the state is passed over',
  async (t) => {
    const credential = createFakeCredential('codex', { redirectUri: 'http://localhost:1455/auth/callback' });
    const { port } = await startPort(t, [credential]);
    const { state, cookie } = await beginLogin(port);
    const query = new URLSearchParams({ code: 'c', state: `${state}.onboarding_entrypoint=life_sciences` });
    const reply = await ask(port, `/auth/callback?${query}`, { headers: { cookie } });
    t.equal(reply.status, 200);
    t.equal(credential.exchanges[0]?.parameters.get('state'), state);
  },
);

const refusals: readonly {
  readonly name: string;
  readonly code: string;
  readonly status: number;
  readonly query: (state: string) => Record<string, string> | string;
  readonly cookie?: (cookie: string) => string | undefined;
}[] = [
  { name: 'without state', code: 'state_missing', status: 400, query: () => ({ code: 'c' }) },
  { name: 'with an empty state', code: 'state_missing', status: 400, query: () => ({ code: 'c', state: '' }) },
  {
    name: 'with a wrong state',
    code: 'state_unknown',
    status: 400,
    query: () => ({ code: 'c', state: 'x'.repeat(43) }),
  },
  {
    name: 'with the state twice',
    code: 'state_unknown',
    status: 400,
    query: (state) => `code=c&state=${state}&state=${state}`,
  },
  {
    name: 'with an error and a wrong state',
    code: 'state_unknown',
    status: 400,
    query: () => ({ error: 'access_denied', state: 'x' }),
  },
  { name: 'with an error and no state', code: 'state_missing', status: 400, query: () => ({ error: 'access_denied' }) },
  {
    name: 'without any cookie',
    code: 'login_cookie_missing',
    status: 401,
    query: (state) => ({ code: 'c', state }),
    cookie: () => undefined,
  },
  {
    name: "with another login's cookie alone",
    code: 'login_cookie_missing',
    status: 401,
    query: (state) => ({ code: 'c', state }),
    cookie: () => `sidebearer-login-${'0'.repeat(32)}=x`,
  },
  {
    name: "with another browser's cookie",
    code: 'login_cookie_mismatch',
    status: 403,
    query: (state) => ({ code: 'c', state }),
    cookie: (cookie) => `${cookie.split('=')[0]}=${'A'.repeat(43)}`,
  },
];

for (const { name, code, status, query, cookie: change = (cookie: string) => cookie } of refusals) {
  t.test(`a return ${name} answers ${status} \`${code}\` and ends no pending login`, async (t) => {
    const credential = createFakeCredential();
    const { port, events } = await startPort(t, [credential]);
    const { state, cookie } = await beginLogin(port);
    const refused = await comeBack(port, query(state), change(cookie));
    t.equal(refused.status, status);
    t.equal(codeOf(refused), code);
    t.equal(refused.headers['set-cookie'], undefined, 'the cookie stays');
    t.equal(credential.exchanges.length, 0);
    t.match(events[1], `failed ${code}`);

    const good = await comeBack(port, { code: 'c', state }, cookie);
    t.equal(good.status, 200, 'the login can still be finished');
  });
}

t.test('a state that was used answers 400 `state_used`, with or without its cookie', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  await comeBack(port, { code: 'c', state }, cookie);
  for (const jar of [cookie, undefined]) {
    const again = await comeBack(port, { code: 'c', state }, jar);
    t.equal(again.status, 400);
    t.equal(codeOf(again), 'state_used');
  }
  t.equal(credential.exchanges.length, 1);
});

t.test('a state older than 30 minutes answers 400 `state_expired`', async (t) => {
  const credential = createFakeCredential();
  const { port, clock } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  await clock.advance(30 * 60_000);
  const reply = await comeBack(port, { code: 'c', state }, cookie);
  t.equal(reply.status, 400);
  t.equal(codeOf(reply), 'state_expired');
  t.equal(credential.exchanges.length, 0);
});

t.test('callbacks at once with one state, all past the first look, make exactly one exchange', async (t) => {
  const credential = createFakeCredential();
  const { logins } = createMemoryStore({ clock: createFakeClock() });
  const count = 8;
  const allLooked = Promise.withResolvers<void>();
  let looked = 0;
  const find: typeof logins.find = async (id) => {
    const found = await logins.find(id);
    looked += 1;
    if (looked === count) allLooked.resolve();
    await allLooked.promise;
    return found;
  };
  const { port } = await startPort(t, [credential], { logins: { ...logins, find } });
  const { state, cookie } = await beginLogin(port);
  const replies = await Promise.all(Array.from({ length: count }, () => comeBack(port, { code: 'c', state }, cookie)));
  t.equal(credential.exchanges.length, 1);
  t.equal(replies.filter(({ status }) => status === 200).length, 1);
  t.equal(replies.filter((reply) => codeOf(reply) === 'state_used').length, count - 1);
});

t.test('the browser leaves during the exchange: the exchange ends well and is stored', async (t) => {
  const credential = createFakeCredential();
  const { port, server } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  const begun = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  credential.behaviour.exchange = async () => {
    begun.resolve();
    await answered.promise;
    return tokenAnswer();
  };
  const gone = new AbortController();
  const query = new URLSearchParams({ code: 'c', state });
  const left = fetch(`http://127.0.0.1:${port}/oauth/callback?${query}`, { headers: { cookie }, signal: gone.signal });
  await begun.promise;
  gone.abort();
  await t.rejects(left);
  let isClosed = false;
  const closed = server.close().then(() => {
    isClosed = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(isClosed, false, 'stopping waits for it, though its connection is gone');
  answered.resolve();
  await closed;
  t.equal(credential.accepted.length, 1);
});

t.test("the provider's error with a good state ends the login, and its words are text only", async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  credential.behaviour.exchange = async ({ parameters }) => {
    throw new SidebearerError('authorize_denied', { providerCode: parameters.get('error') ?? '' });
  };
  const description = `<script>alert(1)</script>\u0000\u202e\r\nx ${'y'.repeat(400)}`;
  const reply = await comeBack(port, { error: 'access_denied', error_description: description, state }, cookie);
  t.equal(reply.status, 400);
  t.equal(codeOf(reply), 'authorize_denied');
  t.match(reply.body, '<code>access_denied</code>');
  t.match(reply.body, `&lt;script&gt;alert(1)&lt;/script&gt; x ${'y'.repeat(260)}`);
  t.notMatch(reply.body, '<script');
  t.notMatch(reply.body, 'y'.repeat(300));
  t.match(reply.body, '<form method="post" action="/oauth/start">');
  t.match(reply.headers['content-security-policy'], "form-action 'self' https://idp.example https:;");
  t.match(reply.headers['set-cookie']?.[0], 'Max-Age=0');
  t.same(events, ['started codex', 'failed authorize_denied codex']);
  t.equal(codeOf(await comeBack(port, { code: 'c', state }, cookie)), 'state_used');
});

t.test('words in a return whose state is bad are not shown at all', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const reply = await comeBack(port, { error: 'x', error_description: 'Call this number', state: 'bad' }, undefined);
  t.notMatch(reply.body, 'Call this number');
});

for (const [code, status] of [
  ['code_missing', 400],
  ['callback_issuer_mismatch', 400],
  ['workspace_restriction', 403],
  ['exchange_unreachable', 502],
  ['id_token_invalid', 502],
] as const) {
  t.test(`an exchange that fails with \`${code}\` answers ${status} with a button to try again`, async (t) => {
    const credential = createFakeCredential();
    const { port } = await startPort(t, [credential]);
    const { state, cookie } = await beginLogin(port);
    credential.behaviour.exchange = () => Promise.reject(new SidebearerError(code));
    const reply = await comeBack(port, { code: 'c', state }, cookie);
    t.equal(reply.status, status);
    t.equal(codeOf(reply), code);
    t.match(reply.body, 'Try again</button>');
    t.equal(credential.accepted.length, 0);
  });
}

t.test('an error that nobody expected is 500 `internal_error` and shows nothing of itself', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  credential.behaviour.exchange = () => Promise.reject(new Error('SECRET'));
  const reply = await comeBack(port, { code: 'c', state }, cookie);
  t.equal(reply.status, 500);
  t.equal(codeOf(reply), 'internal_error');
  t.notMatch(reply.body, 'SECRET');
});

t.test('another account is 409 `account_differs`, and the form to try again asks whether to replace it', async (t) => {
  const credential = createFakeCredential();
  const account = { email: 'old@example.test' };
  credential.behaviour.status = () => credentialStatus({ account });
  const { port } = await startPort(t, [credential]);
  const first = await beginLogin(port);
  credential.behaviour.accept = () => Promise.reject(new SidebearerError('account_differs'));
  const reply = await comeBack(port, { code: 'c', state: first.state }, first.cookie);
  t.equal(reply.status, 409);
  t.match(reply.body, /<input type="checkbox" id="replace" name="replace" value="yes"/);
  t.match(reply.body, 'old@example.test');

  credential.behaviour.accept = async () => undefined;
  const second = await beginLogin(port, { replace: 'yes' });
  t.equal((await comeBack(port, { code: 'c', state: second.state }, second.cookie)).status, 200);
  t.equal(credential.accepted[0]?.replaceAccount, true);
});

t.test('where no account is known `account_differs` asks whether to replace it, too', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const first = await beginLogin(port);
  credential.behaviour.accept = () => Promise.reject(new SidebearerError('account_differs'));
  const reply = await comeBack(port, { code: 'c', state: first.state }, first.cookie);
  t.equal(codeOf(reply), 'account_differs');
  t.match(reply.body, /<input type="checkbox" id="replace" name="replace" value="yes"/);
  t.match(reply.body, 'an account that is not known');
});

t.test('a login without a refresh token succeeds and says `no_refresh_token`', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  const { refreshToken: _none, ...tokens } = tokenAnswer();
  credential.behaviour.exchange = async () => tokens;
  const reply = await comeBack(port, { code: 'c', state }, cookie);
  t.equal(reply.status, 200);
  t.match(reply.body, '<code>no_refresh_token</code>');
});

t.test('an answer is redeemed by the client that its login was begun with, or by nobody', async (t) => {
  const first = createFakeCredential('codex', { boundTo: 'a' });
  const second = createFakeCredential('codex', { boundTo: 'b' });
  const credentials = new Map([['codex', first]]);
  const { port } = await startPort(t, [], { credentials });
  const begun = await beginLogin(port);
  credentials.set('codex', second);
  t.equal(codeOf(await comeBack(port, { code: 'c', state: begun.state }, begun.cookie)), 'state_unknown');
  t.strictSame([first.exchanges, second.exchanges], [[], []], 'its code is sent nowhere');
  credentials.set('codex', createFakeCredential('codex', { boundTo: 'a' }));
  t.equal((await comeBack(port, { code: 'c', state: begun.state }, begun.cookie)).status, 200, 'and it is not spent');

  // Changed while its code was being redeemed.
  const next = createFakeCredential('codex', { boundTo: 'a' });
  credentials.set('codex', next);
  const again = await beginLogin(port);
  next.behaviour.exchange = async () => {
    Object.assign(next.login ?? {}, { boundTo: 'b' });
    return tokenAnswer();
  };
  t.equal(codeOf(await comeBack(port, { code: 'c', state: again.state }, again.cookie)), 'state_unknown');
  t.strictSame(next.accepted, []);
});

t.test('a credential whose redirect URI changed meanwhile takes no old login', async (t) => {
  const credential = createFakeCredential();
  const credentials = new Map([['codex', credential]]);
  const { port } = await startPort(t, [], { credentials });
  const { state, cookie } = await beginLogin(port);
  credentials.set('codex', createFakeCredential('codex', { redirectUri: redirectUri.replace('1455', '1457') }));
  t.equal(codeOf(await comeBack(port, { code: 'c', state }, cookie)), 'state_unknown');
  credentials.delete('codex');
  const reply = await comeBack(port, { code: 'c', state }, cookie);
  t.equal(reply.status, 404);
  t.equal(codeOf(reply), 'credential_unknown');
});

t.test('a program gets problem+json, and the status after a success', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  const headers = { accept: 'application/json' };
  const refused = await comeBack(port, { code: 'c', state: 'bad' }, cookie, headers);
  t.equal(refused.headers['content-type'], 'application/problem+json');
  t.match(JSON.parse(refused.body), { status: 400, code: 'state_unknown', title: String, next: String });
  const good = await comeBack(port, { code: 'c', state }, cookie, headers);
  t.match(JSON.parse(good.body), { credential: { name: 'codex', usable: true }, warnings: [] });
  t.notMatch(good.body, 'SECRET');
});

t.test('a login that never comes back is told once, when its 30 minutes are over', async (t) => {
  const credential = createFakeCredential();
  const { port, clock, events } = await startPort(t, [credential]);
  await beginLogin(port);
  await clock.advance(60_000);
  const finished = await beginLogin(port);
  await clock.advance(60_000);
  await beginLogin(port);
  await comeBack(port, { code: 'c', state: finished.state }, finished.cookie);
  await clock.advance(28 * 60_000 - 1);
  t.notOk(events.includes('expired codex'));
  await clock.advance(1);
  t.equal(events.filter((event) => event === 'expired codex').length, 1);
  await clock.advance(60 * 60_000);
  t.equal(events.filter((event) => event === 'expired codex').length, 2);
  t.equal(clock.armed, 0);
});
