// `/oauth/device`: a login on another device, from its question to its end, for a browser and for a program.
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFakeDevice, withDevice } from './_device.ts';
import { ask, codeOf, createFakeCredential, credentialStatus, type Reply, startPort, tokenAnswer } from './_fakes.ts';

function post(port: number, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Reply> {
  return ask(port, '/oauth/device', {
    method: 'POST',
    headers: { origin: `http://localhost:${port}`, 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(fields).toString(),
  });
}

t.test('the page shows the code, where to type it, a QR code and a warning; then how it ended', async (t) => {
  const device = createFakeDevice();
  const credential = withDevice(createFakeCredential(), device);
  const { port, clock, events } = await startPort(t, [credential]);
  const question = await ask(port, '/oauth/device?credential=codex');
  t.match(question.body, 'Get a code');
  t.strictSame(events, [], 'a GET begins nothing');

  const begun = await post(port, { credential: 'codex' });
  t.match(begun, { status: 303, headers: { location: '/oauth/device' } });
  const [setCookie = ''] = begun.headers['set-cookie'] ?? [];
  t.match(setCookie, /^sidebearer-device=[\w-]{43}; Max-Age=1800; Path=\/oauth\/device; HttpOnly; SameSite=Strict$/);
  const cookie = setCookie.split(';')[0] ?? '';
  const page = await ask(port, '/oauth/device', { headers: { cookie } });
  t.match(page.body, '<code id="user-code">WDJB-MJHT</code>');
  t.match(page.body, 'href="https://idp.example/device" target="_blank" rel="noopener noreferrer"');
  t.match(page.body, /<svg class="qr" role="img"/);
  t.match(page.body, 'Go on only if you started this login yourself.');
  t.match(page.body, /The code expires <span id="left" data-ms="600000" data-in="in {}"><time [^>]*>in 10 min/);
  t.notMatch(page.body, 'SECRET');

  device.next = async () => ({ kind: 'tokens', tokens: tokenAnswer() });
  await clock.advance(5_000);
  const end = await ask(port, '/oauth/device', { headers: { cookie } });
  t.match(end.body, 'You are logged in');
  t.match(end.body, 'ada@example.test');
  t.equal(credential.accepted.length, 1);
  t.strictSame(events, ['started codex', 'succeeded codex']);
});

t.test('a denial ends it with its page, and a login can be cancelled', async (t) => {
  const device = createFakeDevice();
  const { port, clock } = await startPort(t, [withDevice(createFakeCredential(), device)]);
  const begin = async (): Promise<string> =>
    (await post(port, { credential: 'codex' })).headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  const denied = await begin();
  device.next = () => Promise.reject(new SidebearerError('device_denied'));
  await clock.advance(5_000);
  t.equal(codeOf(await ask(port, '/oauth/device', { headers: { cookie: denied } })), 'device_denied');

  device.next = async () => ({ kind: 'pending' });
  const cancelled = await begin();
  t.match(await post(port, { cancel: 'yes' }, { cookie: cancelled }), { status: 303 });
  t.equal(codeOf(await ask(port, '/oauth/device', { headers: { cookie: cancelled } })), 'device_cancelled');
});

t.test('a program holds a handle instead of a cookie', async (t) => {
  const device = createFakeDevice();
  const { port, clock } = await startPort(t, [withDevice(createFakeCredential(), device)]);
  const json = { 'content-type': 'application/json' };
  const order = (body: object, headers = {}): Promise<Reply> =>
    ask(port, '/oauth/device', { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) });
  const begun = await order({ credential: 'codex' });
  t.equal(begun.status, 201);
  const { handle, ...shown } = JSON.parse(begun.body);
  t.match(handle, /^[\w-]{43}$/);
  t.match(shown, { credential: 'codex', userCode: 'WDJB-MJHT', state: 'waiting', expiresAt: /Z$/ });
  t.notMatch(begun.body, 'SECRET');
  const look = async (header: Record<string, string>): Promise<Reply> =>
    ask(port, '/oauth/device', { headers: { accept: 'application/json', ...header } });
  t.match(JSON.parse((await look({ 'login-handle': handle })).body), { state: 'waiting' });
  t.match(await look({}), { status: 401, body: /login_handle_missing/ });
  t.match(await look({ 'login-handle': 'x'.repeat(43) }), { status: 400, body: /state_unknown/ });

  device.next = async () => ({ kind: 'tokens', tokens: tokenAnswer() });
  await clock.advance(5_000);
  t.match(JSON.parse((await look({ 'login-handle': handle })).body), { state: 'succeeded' });

  device.next = async () => ({ kind: 'pending' });
  const second = JSON.parse((await order({ credential: 'codex' })).body);
  const end = JSON.parse((await order({ cancel: true }, { 'login-handle': second.handle })).body);
  t.match(end, { state: 'failed', code: 'device_cancelled' });
});

t.test('behind https the cookie is Secure', async (t) => {
  const { port } = await startPort(t, [withDevice(createFakeCredential())]);
  const begun = await post(port, { credential: 'codex' }, { origin: `https://localhost:${port}` });
  t.match(begun.headers['set-cookie']?.[0], /; HttpOnly; Secure; SameSite=Strict$/);
});

t.test('where another device is the only way, the start page leads there', async (t) => {
  const credential = withDevice(createFakeCredential('codex', { hasLogin: false }));
  const { port } = await startPort(t, [credential]);
  for (const path of ['/oauth/start', '/oauth/start?credential=codex']) {
    t.match(await ask(port, path), { status: 302, headers: { location: '/oauth/device?credential=codex' } });
  }
});

t.test('what cannot begin says why; another account asks first', async (t) => {
  const device = createFakeDevice();
  const credential = withDevice(createFakeCredential(), device);
  const { port } = await startPort(t, [credential, createFakeCredential('plain')]);
  t.equal(codeOf(await ask(port, '/oauth/device?credential=nobody')), 'credential_unknown');
  t.equal(codeOf(await ask(port, '/oauth/device?credential=plain')), 'login_unsupported');
  t.equal(codeOf(await post(port, { credential: 'plain' })), 'login_unsupported');
  t.equal(codeOf(await post(port, {})), 'admin_request_malformed');
  device.begin = () => Promise.reject(new SidebearerError('device_login_disabled'));
  const disabled = await post(port, { credential: 'codex' });
  t.equal(codeOf(disabled), 'device_login_disabled');
  t.match(disabled.body, 'Settings, Security');
  t.match(await ask(port, '/oauth/device'), { status: 303, headers: { location: '/' } }, 'nothing to show');

  t.notMatch((await ask(port, '/oauth/device?credential=codex')).body, 'Replace the account');
  credential.behaviour.status = () => credentialStatus({ state: 'fresh', account: { email: 'ada@example.test' } });
  t.match((await ask(port, '/oauth/device?credential=codex')).body, /Replace the account.*ada@example\.test/s);
});
