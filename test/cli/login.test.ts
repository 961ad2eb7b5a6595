// `login` against a real OAuth listener: how the browser's login and the command's find each other, what is told, and
// how each of its ways ends.
import t from 'tap';
import { browserLauncher } from '../../src/cli/open-browser.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFakeDevice, withDevice } from '../oauth/_device.ts';
import { ask, comeBack, createFakeCredential, postForm, startPort } from '../oauth/_fakes.ts';
import { sidebearer } from './_command.ts';
import { startLogin } from './_login.ts';

/** The start page's form, posted as a browser that opened the address would. */
async function goOn(port: number, address: string): Promise<{ state: string; cookie: string }> {
  const page = await ask(port, address.slice(address.indexOf('/oauth/start')));
  const fields = Object.fromEntries(
    [...page.body.matchAll(/<input type="hidden" name="([a-z]+)" value="([^"]*)">/g)].map(([, name = '', value]) => [
      name,
      value ?? '',
    ]),
  );
  const reply = await postForm(port, fields);
  return {
    state: new URL(reply.headers.location ?? '').searchParams.get('state') ?? '',
    cookie: reply.headers['set-cookie']?.[0]?.split(';')[0] ?? '',
  };
}

const stored = { storedIn: 'file /var/lib/sidebearer' };

t.test('the browser logs in by the start page, and the command tells account, expiry and store', async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential], stored);
  let address = '';
  const login = startLogin({
    url: `http://127.0.0.1:${port}`,
    open: (opened) => {
      address = opened;
      return true;
    },
  });
  await login.until('the browser is open', () => address);
  t.match(address, new RegExp(`^http://localhost:${port}/oauth/start\\?credential=codex&login=[0-9a-f]{64}$`));
  const { state, cookie } = await goOn(port, address);
  t.equal((await comeBack(port, { state, code: 'c' }, cookie)).status, 200);
  t.equal(await login.ended, 0);
  t.match(login.out.join('\n'), /^codex: logged in as ada@example\.test \(pro\)\n {2}the token expires in /);
  t.match(login.out.join('\n'), /stored in file \/var\/lib\/sidebearer$/);
  t.strictSame(events, ['started codex', 'started codex', 'succeeded codex']);
  t.notMatch([...login.out, ...login.err].join('\n'), state, 'the state is nobody else’s');
});

t.test('a failure of the exchange is told with its code, its next step and exit 1', async (t) => {
  const credential = createFakeCredential();
  credential.behaviour.exchange = async () => {
    throw new SidebearerError('account_missing');
  };
  const { port } = await startPort(t, [credential]);
  let address = '';
  const login = startLogin({
    url: `http://127.0.0.1:${port}`,
    open: (opened) => {
      address = opened;
      return true;
    },
  });
  await login.until('the browser is open', () => address);
  const { state, cookie } = await goOn(port, address);
  await comeBack(port, { state, code: 'c' }, cookie);
  t.equal(await login.ended, 1);
  t.match(login.err.at(-1), /^sidebearer: account_missing: .*\. /);
  t.strictSame(login.out, []);
});

t.test('without a browser it prints the address at the registered port, and what carries it there', async (t) => {
  for (const [env, line] of [
    [{ KUBERNETES_SERVICE_HOST: '10.0.0.1', HOSTNAME: 'app-0' }, /kubectl port-forward app-0 1455:\d+\n/],
    [{ USER: 'ada' }, /ssh -N -L 1455:127\.0\.0\.1:\d+ ada@/],
  ] as const) {
    const { port } = await startPort(t, [createFakeCredential()]);
    const login = startLogin({ url: `http://127.0.0.1:${port}`, env });
    await login.until('it is told', () => login.err.length > 0);
    t.match(login.err[0], line);
    t.match(login.err[0], /http:\/\/localhost:1455\/oauth\/start\?credential=codex&login=/);
    login.interrupt();
    t.equal(await login.ended, 130);
  }
});

t.test('a browser that cannot be opened is no end: the address is printed', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const login = startLogin({ url: `http://127.0.0.1:${port}`, open: () => false });
  await login.until('it is told', () => login.err.length > 0);
  t.match(login.err[0], /oauth\/start\?credential=codex/);
  login.interrupt();
  t.equal(await login.ended, 130);
});

t.test('Ctrl-C cancels the login of the command and the one that its browser began', async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential]);
  let address = '';
  const login = startLogin({
    url: `http://127.0.0.1:${port}`,
    open: (opened) => {
      address = opened;
      return true;
    },
  });
  await login.until('the browser is open', () => address);
  const { state, cookie } = await goOn(port, address);
  login.interrupt();
  t.equal(await login.ended, 130);
  t.match(login.err.at(-1), 'Cancelled');
  t.ok(events.includes('audit login_cancel codex cancelled'));
  t.equal((await comeBack(port, { state, code: 'c' }, cookie)).status, 400, 'the browser comes too late');
  t.strictSame(credential.accepted, []);
});

t.test('after 15 s a paste is offered, of the address that the command’s own browser ended at as well', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  let address = '';
  const questions: { question: string; atMs: number }[] = [];
  let state = '';
  const answers = ['what?', '', () => `http://localhost:1455/oauth/callback?code=c&state=${state}`];
  const login = startLogin({
    url: `http://127.0.0.1:${port}`,
    open: (opened) => {
      address = opened;
      return true;
    },
    prompt: async (question) => {
      questions.push({ question, atMs: login.clock.monotonicMs() });
      const answer = answers[questions.length - 1];
      return typeof answer === 'function' ? answer() : answer;
    },
  });
  await login.until('the browser is open', () => address);
  ({ state } = await goOn(port, address));
  t.strictSame(questions, []);
  t.equal(await login.ended, 0);
  t.equal(questions.length, 3);
  t.ok((questions[0]?.atMs ?? 0) >= 15_000);
  t.match(login.err.join('\n'), /paste_not_understood/, 'told, and asked again');
  t.equal(credential.accepted.length, 1);
});

t.test(
  '--paste prints the provider’s address and reads the answer; what a pipe lacks is `paste_missing`',
  async (t) => {
    const credential = createFakeCredential();
    const { port } = await startPort(t, [credential]);
    const url = `http://127.0.0.1:${port}`;
    const login = startLogin({
      url,
      operand: 'codex',
      flags: { paste: '' },
      prompt: async () => `code=c&state=${credential.requested.at(-1)?.state}`,
    });
    t.equal(await login.ended, 0);
    t.match(login.err[0], /https:\/\/idp\.example\/authorize\?state=/);

    const empty = await sidebearer(['login', 'codex', '--paste', '--url', url], { input: '' });
    t.match(empty, { code: 1, out: '', err: /sidebearer: paste_missing: / });
    const junk = await sidebearer(['login', 'codex', '--paste', '--url', url], { input: 'nothing\n' });
    t.match(junk, { code: 1, err: /paste_not_understood.*paste_missing/s });
  },
);

t.test('--device shows the code and the address, waits, and tells how it went', async (t) => {
  const device = createFakeDevice();
  const { port, clock } = await startPort(t, [withDevice(createFakeCredential(), device)], stored);
  const login = startLogin({ url: `http://127.0.0.1:${port}`, flags: { device: '' } });
  await login.until('the code is shown', () => login.err.length > 0);
  t.match(login.err[0], 'W D J B - M J H T');
  t.match(login.err[0], 'https://idp.example/device\n');
  t.match(login.err[0], /WDJB-MJHT expires in 10m\. Go on only if you started this yourself\./);
  device.next = async () => ({
    kind: 'tokens',
    tokens: {
      accessToken: 'a',
      refreshToken: 'r',
      obtainedAtMs: 0,
      account: { id: 'x', email: 'ada@example.test' },
      warnings: [],
    },
  });
  await clock.advance(5_000);
  t.equal(await login.ended, 0);
  t.match(login.out[0], /^codex: logged in as ada@example\.test/);
});

t.test('a device login that fails, is not offered, or is interrupted', async (t) => {
  const device = createFakeDevice();
  const { port, clock } = await startPort(t, [withDevice(createFakeCredential(), device)]);
  const options = { url: `http://127.0.0.1:${port}`, flags: { device: '' } };
  const denied = startLogin(options);
  await denied.until('the code is shown', () => denied.err.length > 0);
  device.next = async () => {
    throw new SidebearerError('device_denied');
  };
  await clock.advance(5_000);
  t.equal(await denied.ended, 1);
  t.match(denied.err.at(-1), /^sidebearer: device_denied: /);

  device.next = async () => ({ kind: 'pending' });
  const left = startLogin(options);
  await left.until('the code is shown', () => left.err.length > 0);
  left.interrupt();
  t.equal(await left.ended, 130);

  const { port: other } = await startPort(t, [createFakeCredential()]);
  const outcome = await sidebearer(['login', '--device', '--url', `http://127.0.0.1:${other}`]);
  t.match(outcome, { code: 1, out: '', err: /^sidebearer: login_unsupported: / });
});

t.test('a login that is not finished in time is cancelled: `login_not_finished`', async (t) => {
  const { port, events } = await startPort(t, [createFakeCredential()]);
  const login = startLogin({ url: `http://127.0.0.1:${port}`, flags: { timeout: '1m' } });
  t.equal(await login.ended, 1);
  t.match(login.err.at(-1), /^sidebearer: login_not_finished: /);
  t.ok(events.includes('audit login_cancel codex cancelled'));
});

t.test('which credential is meant, and what excludes what, is said before anything is begun', async (t) => {
  const { port, events } = await startPort(t, [createFakeCredential('one'), createFakeCredential('two')]);
  const url = ['--url', `http://127.0.0.1:${port}`];
  t.match(await sidebearer(['login', ...url]), { code: 2, err: /usage_invalid: .*CREDENTIAL is one of one, two/ });
  for (const argv of [
    ['login', '--paste', '--device', ...url],
    ['login', '--pod', 'x', ...url],
    ['login', '--namespace', 'x', ...url],
    ['login', '--pod', '--port=1'],
    ['login', '--pod', 'x', '--port', 'y'],
  ]) {
    t.match(await sidebearer(argv), { code: 2, out: '', err: /usage_invalid/ }, argv.join(' '));
  }
  t.match(await sidebearer(['login', 'three', ...url]), { code: 1, err: /credential_unknown/ });
  t.strictSame(
    events.filter((event) => event.startsWith('started')),
    [],
  );
});

t.test('a watcher of another credential, one that is over and one that never was are passed over', async (t) => {
  const { port } = await startPort(t, [createFakeCredential('one'), createFakeCredential('two')]);
  const json = { 'content-type': 'application/json' };
  const begin = async (credential: string) =>
    JSON.parse(
      (await ask(port, '/api/logins', { method: 'POST', headers: json, body: JSON.stringify({ credential }) })).body,
    );
  const watcher = await begin('one');
  for (const login of [watcher.id, 'f'.repeat(64), '<script>']) {
    const reply = await postForm(port, { credential: 'two', login });
    t.equal(reply.status, 303);
    const state = new URL(reply.headers.location ?? '').searchParams.get('state') ?? '';
    const cookie = reply.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    t.equal((await comeBack(port, { state, code: 'c' }, cookie)).status, 200);
  }
  const page = await ask(port, '/oauth/start?credential=two&login=%3Cscript%3E');
  t.notMatch(page.body, 'name="login"');
  const shown = await ask(port, `/api/logins/${watcher.id}`, { headers: { 'login-handle': watcher.handle } });
  t.match(JSON.parse(shown.body), { status: 'pending' });
});

t.test('a browser is opened by a program and an argument, and only where it is the admin’s', (t) => {
  const desktop = { platform: 'linux', env: { DISPLAY: ':0' }, isContainer: false } as const;
  for (const [name, change, expected] of [
    ['a desktop', {}, ['xdg-open']],
    ['Wayland', { env: { WAYLAND_DISPLAY: 'wayland-0' } }, ['xdg-open']],
    ['no display', { env: {} }, undefined],
    ['an empty display', { env: { DISPLAY: '' } }, undefined],
    ['SSH with a display', { env: { DISPLAY: ':10', SSH_CONNECTION: 'x' } }, undefined],
    ['a container', { isContainer: true }, undefined],
    ['a pod', { env: { DISPLAY: ':0', KUBERNETES_SERVICE_HOST: 'x' } }, undefined],
    ['macOS', { platform: 'darwin', env: {} }, ['open']],
    ['macOS by SSH', { platform: 'darwin', env: { SSH_TTY: 'x' } }, undefined],
    ['Windows', { platform: 'win32', env: {} }, ['rundll32', 'url.dll,FileProtocolHandler']],
  ] as const) {
    t.strictSame(browserLauncher({ ...desktop, ...change }), expected, name);
  }
  t.end();
});
