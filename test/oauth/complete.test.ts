// The paste form: for the browser that started a login and could not be sent back here. What it pastes is judged as a
// callback is, its cookie included.
import t from 'tap';
import { ask, beginLogin, codeOf, createFakeCredential, type Reply, startPort } from './_fakes.ts';

function paste(port: number, pasted: string, cookie: string | undefined, more = {}): Promise<Reply> {
  const headers = {
    origin: `http://localhost:${port}`,
    'content-type': 'application/x-www-form-urlencoded',
    ...(cookie === undefined ? {} : { cookie }),
    ...more,
  };
  return ask(port, '/oauth/complete', { method: 'POST', headers, body: new URLSearchParams({ pasted }).toString() });
}

t.test('each form of the answer completes the login, and takes the cookie away', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const forms: ((code: string, state: string) => string)[] = [
    (code, state) => `http://localhost:1455/oauth/callback?code=${code}&state=${state}`,
    (code, state) => `localhost:1455/oauth/callback?code=${code}&state=${state}`,
    (code, state) => `?code=${code}&state=${state}`,
    (code, state) => `http://localhost:1455/oauth/callback#code=${code}&state=${state}`,
    (code, state) => `${code}#${state}`,
  ];
  for (const [index, form] of forms.entries()) {
    const { state, cookie } = await beginLogin(port);
    const reply = await paste(port, form(`code-${index}`, state), cookie);
    t.equal(reply.status, 200);
    t.match(reply.body, 'You are logged in');
    t.match(String(reply.headers['set-cookie']), /Max-Age=0/);
    t.equal(credential.exchanges.at(-1)?.parameters.get('code'), `code-${index}`);
  }
});

t.test("a pasted error reaches the provider's judge as at the callback", async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const { state, cookie } = await beginLogin(port);
  await paste(port, `http://localhost/cb?error=access_denied&error_description=no&state=${state}`, cookie);
  t.equal(credential.exchanges[0]?.parameters.get('error'), 'access_denied');
});

t.test('the cookie is wanted as at the callback, and nothing is lost by one who has none', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const { state, cookie } = await beginLogin(port);
  const { cookie: others } = await beginLogin(port);
  const stolen = cookie.replace(/=.*/, `=${others.replace(/.*=/, '')}`);
  for (const [sent, status, code] of [
    [undefined, 401, 'login_cookie_missing'],
    [others, 401, 'login_cookie_missing'],
    [stolen, 403, 'login_cookie_mismatch'],
  ] as const) {
    const reply = await paste(port, `c#${state}`, sent);
    t.equal(reply.status, status);
    t.equal(codeOf(reply), code);
  }
  t.equal((await paste(port, `c#${state}`, cookie)).status, 200);
});

t.test('what is no answer is 400 `paste_not_understood`, with the next step', async (t) => {
  const { port, events } = await startPort(t, [createFakeCredential()]);
  for (const pasted of ['', 'hello', 'http://localhost:1455/oauth/callback', '<script>alert(1)</script>']) {
    const reply = await paste(port, pasted, undefined);
    t.equal(reply.status, 400);
    t.equal(codeOf(reply), 'paste_not_understood');
    t.match(reply.body, /whole address/);
    t.notMatch(reply.body, 'alert(');
    t.equal(events.pop(), 'refused paste_not_understood');
  }
});

t.test('a paste from another page is 403, and loses nothing', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const { state, cookie } = await beginLogin(port);
  t.equal((await paste(port, `c#${state}`, cookie, { origin: 'http://evil.test' })).status, 403);
  t.equal((await paste(port, `c#${state}`, cookie)).status, 200);
});
