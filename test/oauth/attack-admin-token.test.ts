// The application's container shares the pod's loopback: it may log the credential out, or log in to an account of its
// own. With `admin.token` set, whatever changes something must show a secret that only the admin has.
import t from 'tap';
import { ask, beginLogin, createFakeCredential, type Reply, startPort } from './_fakes.ts';

const adminToken = 'correct-horse-battery-staple';

const changes = [
  ['POST', '/oauth/start'],
  ['POST', '/oauth/complete'],
  ['POST', '/oauth/refresh'],
  ['POST', '/oauth/resume'],
  ['POST', '/oauth/logout'],
  ['POST', '/api/logins'],
  ['POST', `/api/logins/${'0'.repeat(64)}/complete`],
  ['DELETE', `/api/logins/${'0'.repeat(64)}`],
] as const;

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

function send(
  port: number,
  [method, path]: readonly [string, string],
  headers: Record<string, string | string[]>,
): Promise<Reply> {
  const body = method === 'DELETE' ? '' : '{"credential":"codex"}';
  return ask(port, path, { method, headers: { 'content-type': 'application/json', ...headers }, body });
}

t.test('without the admin token, or with another, everything that changes something is 401', async (t) => {
  const credential = createFakeCredential();
  let acts = 0;
  const count = async () => {
    acts += 1;
    return 'refreshed' as const;
  };
  credential.behaviour.refresh = count;
  credential.behaviour.logout = async () => ({ outcome: (await count()) && 'revoked' });
  credential.behaviour.resume = () => {
    acts += 1;
    return [];
  };
  const { port, events } = await startPort(t, [credential], { adminToken: () => adminToken });
  for (const change of changes) {
    for (const [headers, code] of [
      [{}, 'admin_token_missing'],
      [{ authorization: '' }, 'admin_token_missing'],
      [{ authorization: adminToken }, 'admin_token_missing'],
      [{ authorization: `Digest ${adminToken}` }, 'admin_token_missing'],
      [{ authorization: [`Bearer ${adminToken}`, `Bearer ${adminToken}`] }, 'admin_token_missing'],
      [{ authorization: `Basic ${Buffer.from(adminToken).toString('base64')}` }, 'admin_token_missing'],
      [{ authorization: 'Bearer wrong' }, 'admin_token_wrong'],
      [{ authorization: `Bearer ${adminToken}x` }, 'admin_token_wrong'],
      [{ authorization: `Bearer ${adminToken.slice(0, -1)}` }, 'admin_token_wrong'],
      [{ authorization: `Bearer ${adminToken.toUpperCase()}` }, 'admin_token_wrong'],
      [{ authorization: basic(adminToken, '') }, 'admin_token_wrong'],
      [{ authorization: basic('admin', 'wrong') }, 'admin_token_wrong'],
    ] as const) {
      const reply = await send(port, change, headers as Record<string, string | string[]>);
      t.equal(reply.status, 401, `${change.join(' ')} ${JSON.stringify(headers)}`);
      t.equal(JSON.parse(reply.body).code, code);
      t.match(reply.headers['www-authenticate'], /^Basic realm=/, 'a browser asks its person');
      t.equal(events.pop(), `refused ${code}`);
    }
  }
  t.equal(acts, 0);
  t.equal(credential.requested.length, 0);
});

t.test('with it, as the bearer token or as the password of any name, they are done', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential], { adminToken: () => adminToken });
  for (const authorization of [
    `Bearer ${adminToken}`,
    `bearer   ${adminToken}`,
    basic('', adminToken),
    basic('admin', adminToken),
  ]) {
    t.equal((await send(port, ['POST', '/oauth/refresh'], { authorization })).status, 200, authorization);
  }
});

t.test('it does not stand in for the Origin: a form elsewhere may make a browser send what it remembers', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()], { adminToken: () => adminToken });
  const headers = { authorization: basic('', adminToken), origin: 'http://evil.test' };
  t.equal((await send(port, ['POST', '/oauth/logout'], headers)).status, 403);
});

t.test('what only shows, and the way back from the provider, needs none', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()], { adminToken: () => adminToken });
  for (const path of ['/', '/status.json', '/oauth/start', '/cancel']) t.equal((await ask(port, path)).status, 200);
  t.equal((await ask(port, '/oauth/callback')).status, 400);
});

t.test('where none is configured none is looked at', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  t.equal((await send(port, ['POST', '/oauth/refresh'], { authorization: 'Bearer anything' })).status, 200);
  t.ok((await beginLogin(port)).state);
});
