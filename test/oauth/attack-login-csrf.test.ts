// Mallory starts a login, logs in to an account of his own, and does not open the address that he is sent back to: he
// makes the admin's browser open it. The sidecar would then work with his account, and he would read what goes there.
// Only the cookie of the browser that started the login tells (RFC 6749, section 10.12; RFC 9700, section 4.7).
import t from 'tap';
import { openBrowser, skip } from '../_chromium.ts';
import { startElsewhere } from './_elsewhere.ts';
import { ask, beginLogin, codeOf, comeBack, createFakeCredential, startPort } from './_fakes.ts';

const code = 'code-of-mallory';

t.test("another's answer in the admin's browser is refused, and ends neither login", async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const [mallory, admin] = [await beginLogin(port), await beginLogin(port)];
  const [name = ''] = mallory.cookie.split('=');
  const [, value = ''] = admin.cookie.split('=');
  for (const [what, cookie, status, refusal] of [
    ['no cookie', undefined, 401, 'login_cookie_missing'],
    ["the admin's cookie", admin.cookie, 401, 'login_cookie_missing'],
    ["the admin's cookie under the other's name", `${name}=${value}`, 403, 'login_cookie_mismatch'],
    ['an empty one', `${name}=`, 401, 'login_cookie_missing'],
  ] as const) {
    for (const answer of [{ code }, { error: 'access_denied' }]) {
      const reply = await comeBack(port, { ...answer, state: mallory.state }, cookie);
      t.equal(reply.status, status, what);
      t.equal(codeOf(reply), refusal, what);
    }
  }
  t.equal(credential.exchanges.length, 0);
  t.equal((await comeBack(port, { code: 'c', state: admin.state }, admin.cookie)).status, 200, "the admin's goes on");
});

t.test('neither does it work by the form for pasting, nor as JSON, nor by the handle of another login', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const [mallory, admin] = [await beginLogin(port), await beginLogin(port)];
  const pasted = `http://localhost:1455/oauth/callback?${new URLSearchParams({ code, state: mallory.state })}`;
  const own = { origin: `http://localhost:${port}`, cookie: admin.cookie };
  for (const [type, body] of [
    ['application/x-www-form-urlencoded', new URLSearchParams({ pasted }).toString()],
    ['application/json', JSON.stringify({ pasted })],
  ] as const) {
    const headers = { ...own, 'content-type': type };
    t.equal(codeOf(await ask(port, '/oauth/complete', { method: 'POST', headers, body })), 'login_cookie_missing');
  }
  const json = { 'content-type': 'application/json' };
  const begun = await ask(port, '/api/logins', { method: 'POST', headers: json, body: '{"credential":"codex"}' });
  const { id, handle } = JSON.parse(begun.body) as { id: string; handle: string };
  const headers = { ...json, 'login-handle': handle };
  const body = JSON.stringify({ pasted });
  const reply = await ask(port, `/api/logins/${id}/complete`, { method: 'POST', headers, body });
  t.equal(codeOf(reply), 'state_unknown', 'the state of another login');
  t.equal(credential.exchanges.length, 0);
});

t.test('a page elsewhere that leads, loads or frames the answer changes nothing', { skip }, async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential]);
  const mallory = await beginLogin(port);
  const answer = `http://localhost:${port}/oauth/callback?${new URLSearchParams({ code, state: mallory.state })}`;
  const hidden = answer.replaceAll('&', '&amp;');
  const { page, close } = await openBrowser();
  t.teardown(close);
  for (const name of ['localhost', '127.0.0.1'] as const) {
    const page1 = `<img src="${hidden}" alt=""><iframe src="${hidden}" title="x"></iframe><a href="${hidden}">win</a>`;
    await page.goto(await startElsewhere(t, page1, name), { waitUntil: 'networkidle' });
    await page.getByRole('link', { name: 'win' }).click();
    await page.getByText('login_cookie_missing').waitFor();
  }
  t.equal(credential.exchanges.length, 0);
  t.strictSame([...new Set(events.slice(1))], ['failed login_cookie_missing codex']);
});
