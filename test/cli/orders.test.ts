// `refresh`, `resume` and `logout` against a real OAuth listener: what a person reads, what a program reads, and how
// they end where there is nobody, no right, or nothing to be done.
import { join } from 'node:path';
import t from 'tap';
import { logout } from '../../src/cli/logout.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { minimal } from '../config/_source.ts';
import { createFakeCredential, credentialStatus, type FakeCredential, startPort } from '../oauth/_fakes.ts';
import { sidebearer } from './_command.ts';

type Behaviour = Partial<FakeCredential['behaviour']>;

const inAnHour = () => credentialStatus({ state: 'fresh', usable: true, expiresAtMs: Date.now() + 3_590_000 });
const resumed = () => credentialStatus({ refreshDueAtMs: Date.now() + 60_000 });
const refuse = (error: SidebearerError) => () => {
  throw error;
};

const told: readonly [string, string[], Behaviour, { code: number; out?: RegExp | string; err?: RegExp | string }][] = [
  [
    'a refresh',
    ['refresh', 'codex'],
    { status: inAnHour },
    { code: 0, out: /^codex: refreshed; .* expires in 59m\n$/ },
  ],
  ['one adopted', ['refresh', 'codex'], { refresh: async () => 'adopted' }, { code: 0, out: /another replica/ }],
  [
    'one superseded',
    ['refresh', 'codex'],
    { refresh: async () => 'superseded' },
    { code: 0, out: /a login or an import/ },
  ],
  [
    'a dead grant',
    ['refresh', 'codex'],
    { refresh: refuse(new SidebearerError('grant_reused', { credential: 'codex', next: 'Do this.' })) },
    { code: 1, out: '', err: /^sidebearer: grant_reused: .* \(credential codex\)\. Do this\.\n$/ },
  ],
  [
    'a resume',
    ['resume', 'codex'],
    { status: resumed },
    { code: 0, out: /ended the pause after failures; .* due in / },
  ],
  [
    'two pauses',
    ['resume', 'codex'],
    { resume: () => ['cooling', 'refused'] },
    { code: 0, out: /failures and the pause/ },
  ],
  ['no pause', ['resume', 'codex'], { resume: () => [] }, { code: 0, out: 'codex: was not paused\n' }],
  [
    'an open breaker',
    ['resume', 'codex'],
    { resume: refuse(new SidebearerError('breaker_open')) },
    { code: 1, out: '', err: /breaker_open/ },
  ],
  [
    'a logout',
    ['logout', 'codex', '--yes'],
    {},
    { code: 0, out: 'codex: logged out: its tokens are revoked and deleted\n' },
  ],
  [
    'no revocation',
    ['logout', 'codex', '-y'],
    { logout: async () => ({ outcome: 'unsupported' }) },
    { code: 0, out: /no revocation/ },
  ],
  [
    'no token',
    ['logout', 'codex', '-y'],
    { logout: async () => ({ outcome: 'unneeded' }) },
    { code: 0, out: /not logged in/ },
  ],
  [
    'a failed revocation',
    ['logout', 'codex', '-y'],
    { logout: async () => ({ outcome: 'failed', error: new SidebearerError('revocation_failed') }) },
    { code: 0, out: /its tokens are deleted\n$/, err: /^sidebearer: revocation_failed: / },
  ],
  ['an unknown credential', ['refresh', 'other'], {}, { code: 1, out: '', err: /^sidebearer: credential_unknown: / }],
];

for (const [name, argv, behaviour, expected] of told) {
  t.test(`${argv[0]}, ${name}`, async (t) => {
    const credential = createFakeCredential();
    Object.assign(credential.behaviour, behaviour);
    const { port } = await startPort(t, [credential]);
    t.match(await sidebearer([...argv, '--url', `http://127.0.0.1:${port}`]), { err: '', ...expected });
  });
}

t.test('--json prints what the sidecar says, failures as well', async (t) => {
  const credential = createFakeCredential();
  const { port } = await startPort(t, [credential]);
  const url = ['--url', `http://127.0.0.1:${port}`];
  const done = await sidebearer(['refresh', 'codex', '--json', ...url]);
  t.match(JSON.parse(done.out), { result: 'refreshed', credential: { name: 'codex' } });
  credential.behaviour.refresh = refuse(new SidebearerError('grant_expired'));
  const failed = await sidebearer(['refresh', 'codex', '--json', ...url]);
  t.match(failed, { code: 1, err: /grant_expired/ });
  t.match(JSON.parse(failed.out), { code: 'grant_expired', status: 503 });
  for (const [command, ...more] of [['resume'], ['logout', '--yes']]) {
    const { out } = await sidebearer([command ?? '', 'codex', '--json', ...more, ...url]);
    t.match(JSON.parse(out), { result: /resumed|logged_out/ });
  }
});

t.test('the admin token comes from a flag, a file, the environment or the configuration', async (t) => {
  const adminToken = 'correct-horse-battery-staple';
  const { port } = await startPort(t, [createFakeCredential()], { adminToken: () => adminToken });
  const folder = t.testdir({ token: `${adminToken}\n`, empty: '', twoLines: `${adminToken}\nx\n` });
  const url = ['--url', `http://127.0.0.1:${port}`];
  const run = (more: string[], env = {}, input?: string) =>
    sidebearer(['refresh', 'codex', ...more], { env, ...(input !== undefined && { input }) });
  t.match(await run(url), { code: 1, err: /^sidebearer: admin_token_missing: / });
  t.match(await run([...url, '--admin-token', 'wrong']), { code: 1, err: /^sidebearer: admin_token_wrong: / });
  t.match(await run([...url, '--admin-token', adminToken]), { code: 0 });
  t.match(await run([...url, '--admin-token-file', join(folder, 'token')]), { code: 0 });
  t.match(await run(url, { SIDEBEARER_ADMIN_TOKEN: adminToken }), { code: 0 });
  const config = `${minimal}listen: { oauth: "127.0.0.1:${port}" }\nadmin: { token: ${adminToken} }\n`;
  t.match(await run(['--config', '-'], {}, config), { code: 0 });
  for (const file of ['absent', 'empty', 'twoLines']) {
    const outcome = await run([...url, '--admin-token-file', join(folder, file)]);
    t.match(outcome, { code: 2, err: /usage_invalid/ }, file);
    t.notMatch(outcome.err, 'horse');
  }
});

t.test('with the OAuth listener off they exit 1 and name the setting', async (t) => {
  for (const argv of [
    ['refresh', 'codex'],
    ['resume', 'codex'],
    ['logout', 'codex', '--yes'],
  ]) {
    const input = `${minimal}listen: { oauth: off }\n`;
    const outcome = await sidebearer([...argv, '--config', '-'], { input });
    t.match(outcome, { code: 1, out: '', err: /^sidebearer: oauth_listener_off: .*listen\.oauth/ });
  }
});

t.test('nobody there, and no answer in time, are `sidecar_unreachable`', async (t) => {
  const credential = createFakeCredential();
  let end: (result: 'refreshed') => void = () => undefined;
  credential.behaviour.refresh = () =>
    new Promise((resolve) => {
      end = resolve;
    });
  const { port } = await startPort(t, [credential]);
  const late = await sidebearer(['refresh', 'codex', '--url', `http://127.0.0.1:${port}`, '--timeout', '500ms']);
  t.match(late, { code: 1, err: /sidecar_unreachable: .*no answer in time; what was ordered may still go on/ });
  end('refreshed');
  t.match(await sidebearer(['refresh', 'codex', '--url', 'http://127.0.0.1:1']), { code: 1, err: /ECONNREFUSED/ });
});

t.test('what the command line lacks is `usage_invalid`, and nothing is asked', async (t) => {
  for (const argv of [
    ['refresh'],
    ['resume', 'a', 'b'],
    ['logout', 'codex'],
    ['refresh', 'codex', '--yes'],
    ['refresh', 'codex', '--timeout', '1'],
  ]) {
    const outcome = await sidebearer([...argv, '--url', 'http://127.0.0.1:1']);
    t.match(outcome, { code: 2, out: '', err: /usage_invalid/ }, argv.join(' '));
  }
});

t.test('logout asks whoever sits at the terminal, and a no does nothing', async (t) => {
  const credential = createFakeCredential();
  let logouts = 0;
  credential.behaviour.logout = async () => {
    logouts += 1;
    return { outcome: 'revoked' };
  };
  const { port } = await startPort(t, [credential]);
  for (const [answer, code, count] of [
    ['', 1, 0],
    ['n', 1, 0],
    ['yesterday', 1, 0],
    ['y', 0, 1],
    [' YES ', 0, 2],
  ] as const) {
    const asked: string[] = [];
    const told: string[] = [];
    const exit = await logout({
      flags: new Map([['url', { value: `http://127.0.0.1:${port}`, source: '--url' }]]),
      operand: 'codex',
      env: {},
      out: () => undefined,
      err: (text) => void told.push(text),
      readStdin: async () => Buffer.alloc(0),
      prompt: async (question) => {
        asked.push(question);
        return answer;
      },
    });
    t.strictSame([exit, logouts], [code, count], answer);
    t.match(asked, [/^Log codex out\? .*\[y\/N\] $/]);
    t.strictSame(told, code === 0 ? [] : ['Nothing was done.']);
  }
});

t.test('what a sidecar says is foreign text: no control character reaches the terminal', async (t) => {
  const credential = createFakeCredential();
  const next = 'a\u001b[31mb\u0007';
  credential.behaviour.refresh = refuse(new SidebearerError('grant_expired', { next, reason: next }));
  const { port } = await startPort(t, [credential]);
  const { err } = await sidebearer(['refresh', 'codex', '--url', `http://127.0.0.1:${port}`]);
  t.match(err, /a\?\[31mb\?/);
  t.notMatch(err, '\u001b');
});
