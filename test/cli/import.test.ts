// `import`: which files are whose, what each expiry means, and that a token is stored before it leaves its file; through
// a real OAuth listener and offline, into a real file store.
import { randomBytes } from 'node:crypto';
import { chmodSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { readTokenFile, withoutTokens } from '../../src/cli/token-files.ts';
import { systemClock } from '../../src/clock.ts';
import type { ImportedTokens } from '../../src/credentials/bearer.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFileStore } from '../../src/stores/file.ts';
import { ask, createFakeCredential, startPort } from '../oauth/_fakes.ts';
import { deviation } from '../oauth/_openapi.ts';
import { sidebearer } from './_command.ts';

const jwt = (claims: object): string =>
  `${['{"alg":"none"}', JSON.stringify(claims)].map((part) => Buffer.from(part).toString('base64url')).join('.')}.x`;
const auth = 'https://api.openai.com/auth';
const idToken = jwt({ email: 'ada@example.test', [auth]: { chatgpt_account_id: 'acct-1', chatgpt_user_id: 'user-1' } });
const expiresAt = '2030-01-02T03:04:05Z';
const expiresAtMs = Date.parse(expiresAt);
const tokens = { id_token: idToken, access_token: 'SECRET-access', refresh_token: 'SECRET-refresh' };
const proxyFile = { ...tokens, account_id: 'acct-1', email: 'ada@example.test', type: 'codex', expired: expiresAt };
const cliFile = {
  OPENAI_API_KEY: null,
  auth_mode: 'chatgpt',
  tokens: { ...tokens, access_token: jwt({ exp: expiresAtMs / 1_000 }), account_id: 'acct-1' },
  last_refresh: '2029-12-25T03:04:05.123456789Z',
};

t.test('both formats are told apart and read', (t) => {
  t.match(readTokenFile(JSON.stringify(proxyFile)), {
    program: 'CLIProxyAPI',
    accessToken: 'SECRET-access',
    refreshToken: 'SECRET-refresh',
    idToken,
    expiresAtMs,
    account: 'ada@example.test',
  });
  t.match(readTokenFile(`\uFEFF${JSON.stringify(cliFile)}`), {
    program: 'Codex CLI',
    refreshToken: 'SECRET-refresh',
    expiresAtMs,
    obtainedAtMs: Date.parse('2029-12-25T03:04:05.123Z'),
    account: 'ada@example.test',
  });
  t.end();
});

t.test('every spelling of an expiry, and of what is none', (t) => {
  for (const [more, expected] of [
    [{ expired: expiresAt }, expiresAtMs],
    [{ expire: '2030-01-02T04:04:05+01:00' }, expiresAtMs],
    [{ expires_at: '2030-01-02 03:04:05' }, expiresAtMs],
    [{ expiresAt: expiresAtMs / 1_000 }, expiresAtMs],
    [{ expiry: expiresAtMs }, expiresAtMs],
    [{ expires: String(expiresAtMs) }, expiresAtMs],
    [{ expires: String(expiresAtMs / 1_000) }, expiresAtMs],
    [{ token: { expiry: expiresAt } }, expiresAtMs],
    [{ expired: '', token: { expires_at: expiresAt } }, expiresAtMs],
    [{ expired: 'never', expires: expiresAt }, expiresAtMs],
    [{ expired: '2030-13-45T03:04:05Z' }, undefined],
    [{ expired: -1 }, undefined],
    [{ expired: 0 }, undefined],
    [{ expired: null }, undefined],
    [{ expired: {} }, undefined],
    [{}, undefined],
  ] as const) {
    t.equal(readTokenFile(JSON.stringify({ ...tokens, ...more })).expiresAtMs, expected, JSON.stringify(more));
  }
  t.end();
});

t.test('a file that is of no use says why', (t) => {
  for (const [file, code] of [
    ['', 'import_file_unknown'],
    ['[]', 'import_file_unknown'],
    ['{}', 'import_file_unknown'],
    [{ type: 'gemini', ...tokens }, 'import_file_unknown'],
    [{ type: 'codex' }, 'import_empty'],
    [{ ...proxyFile, disabled: true }, 'import_disabled'],
    [{ OPENAI_API_KEY: 'sk-SECRET' }, 'import_api_key_only'],
    [{ auth_mode: 'apikey', tokens }, 'import_api_key_only'],
    [{ OPENAI_API_KEY: 'sk-SECRET', tokens }, 'import_api_key_only'],
    [{ auth_mode: 'chatgpt', tokens: null }, 'import_keyring'],
    [{ OPENAI_API_KEY: null, tokens: {} }, 'import_keyring'],
  ] as const) {
    const text = typeof file === 'string' ? file : JSON.stringify(file);
    t.throws(() => readTokenFile(text), { code }, text);
  }
  t.end();
});

t.test('what is taken out is the tokens alone, and only those that were imported', (t) => {
  const flat = JSON.stringify({ ...proxyFile, proxy_url: 'http://p' });
  const rest = JSON.parse(withoutTokens(flat, readTokenFile(flat)) ?? '');
  t.same(rest, {
    account_id: 'acct-1',
    email: 'ada@example.test',
    type: 'codex',
    expired: expiresAt,
    proxy_url: 'http://p',
  });
  const nested = JSON.stringify(cliFile);
  t.match(JSON.parse(withoutTokens(nested, readTokenFile(nested)) ?? ''), { tokens: null, auth_mode: 'chatgpt' });
  const newer = JSON.stringify({ ...proxyFile, refresh_token: 'SECRET-newer' });
  t.equal(withoutTokens(newer, readTokenFile(flat)), undefined);
  t.equal(withoutTokens('', readTokenFile(flat)), undefined);
  t.end();
});

/** A listener with one credential, and what was imported into it. */
async function createWorld(t: Parameters<typeof startPort>[0] & { testdir(files: Record<string, string>): string }) {
  const credential = createFakeCredential();
  const imported: { tokens: ImportedTokens; replaceAccount: boolean }[] = [];
  let refusal: SidebearerError | undefined;
  let meanwhile = (): void => {};
  credential.importTokens = async (given, { replaceAccount }) => {
    if (refusal !== undefined) throw refusal;
    meanwhile();
    imported.push({ tokens: given, replaceAccount });
  };
  const port = await startPort(t, [credential], { storedIn: 'file /var/lib/x' });
  const folder = t.testdir({ 'auth.json': JSON.stringify(proxyFile) });
  const file = join(folder, 'auth.json');
  const url = ['--url', `http://127.0.0.1:${port.port}`];
  return {
    url,
    ...port,
    imported,
    folder,
    file,
    refuse: (error: SidebearerError | undefined) => {
      refusal = error;
    },
    /** What happens elsewhere while the tokens are being stored. */
    during: (act: () => void) => {
      meanwhile = act;
    },
    run: (...more: string[]) => sidebearer(['import', file, ...url, ...more]),
  };
}

t.test(
  'it shows what it found, imports it through the sidecar, and says that the other program must stop',
  async (t) => {
    const { run, imported, events, file } = await createWorld(t);
    const before = readFileSync(file, 'utf8');
    const unasked = await run();
    t.match(unasked, {
      code: 2,
      out: '',
      err: /account {6}ada@example\.test\n.*expires in \d+d; refresh token\n.*goes to {6}codex/s,
    });
    t.strictSame(imported, []);
    const done = await run('--yes');
    t.match(done, { code: 0, out: /^codex: imported/, err: /CLIProxyAPI must not use this login any more/ });
    const { access_token: accessToken, refresh_token: refreshToken } = tokens;
    t.strictSame(imported, [{ tokens: { accessToken, refreshToken, idToken, expiresAtMs }, replaceAccount: false }]);
    t.strictSame(events, ['audit import codex imported']);
    t.equal(readFileSync(file, 'utf8'), before);
    t.match(JSON.parse((await run('--yes', '--json', '--replace')).out), { result: 'imported' });
    t.equal(imported[1]?.replaceAccount, true);
    for (const { out, err } of [unasked, done]) t.notMatch(out + err, 'SECRET');
  },
);

t.test('--move takes the tokens out once they are stored, through a link, with the mode kept', async (t) => {
  const { folder, file, refuse, url } = await createWorld(t);
  chmodSync(file, 0o640);
  const link = join(folder, 'link.json');
  symlinkSync(file, link);
  const run = () => sidebearer(['import', link, '--yes', '--move', ...url]);
  const before = readFileSync(file, 'utf8');
  refuse(new SidebearerError('account_differs'));
  t.match(await run(), { code: 1, err: /account_differs/ });
  t.equal(readFileSync(file, 'utf8'), before, 'what was not stored stays');
  refuse(undefined);
  t.match(await run(), { code: 0, err: /were taken out of/ });
  t.notMatch(readFileSync(file, 'utf8'), 'SECRET');
  t.equal(statSync(file).mode & 0o777, 0o640);
  t.ok(lstatSync(link).isSymbolicLink());
  t.strictSame(readdirSync(folder).sort(), ['auth.json', 'link.json'], 'no scratch file is left');
});

t.test(
  '--move leaves a source that changed or went meanwhile as it is, and says so; the tokens are stored',
  async (t) => {
    const { run, file, folder, imported, during } = await createWorld(t);
    const newer = JSON.stringify({ ...proxyFile, refresh_token: 'SECRET-newer' });
    during(() => writeFileSync(file, newer));
    t.match(await run('--yes', '--move'), { code: 1, err: /sidebearer: import_source_changed: / });
    t.equal(readFileSync(file, 'utf8'), newer);
    t.equal(imported.length, 1);

    during(() => rmSync(file));
    const gone = await run('--yes', '--move');
    t.match(gone, { code: 1, err: /sidebearer: import_source_unwritable: .*ENOENT/ });
    t.notMatch(gone.err, 'SECRET');
    t.equal(imported.length, 2);
    t.strictSame(readdirSync(folder), [], 'no scratch file is left');
  },
);

t.test(
  '--offline waits for whoever refreshes, and where that never ends nothing is written: `import_held`',
  async (t) => {
    const folder = t.testdir({ 'auth.json': JSON.stringify(cliFile) });
    const path = join(folder, 'store');
    const store = await createFileStore({ path, clock: systemClock, onWarning: () => {} });
    t.teardown(() => store.close());
    const leaseMs = 1_000;
    const taken = await store.lease('codex', 'a refresh', leaseMs);
    if (taken.held) throw new Error('the lease was not free');
    let isHolding = true;
    t.teardown(() => {
      isHolding = false;
    });
    // One after the other: on a slow disk renewals by the clock pile up.
    const holding = (async () => {
      for (; isHolding; await delay(leaseMs / 10)) await taken.lease.renew();
    })();
    const input = `routes: [{ upstream: "https://chatgpt.com", credential: codex }]
credentials: { codex: { provider: codex } }
store: { kind: file, path: ${path}, plaintext: true, lease: ${leaseMs}ms }
`;
    const held = await sidebearer(['import', join(folder, 'auth.json'), '--offline', '--config', '-', '--yes'], {
      input,
    });
    isHolding = false;
    await holding;
    t.match(held, { code: 1, err: /sidebearer: import_held: / });
    t.equal((await store.read('codex')).record, undefined);
  },
);

t.test('files that are not there, not to be read, or no use end with their code, and nothing is asked', async (t) => {
  const { run, folder, file, imported } = await createWorld(t);
  writeFileSync(file, JSON.stringify({ OPENAI_API_KEY: 'sk-SECRET' }));
  const keyOnly = await run('--yes');
  t.match(keyOnly, { code: 1, out: '', err: /^sidebearer: import_api_key_only: / });
  t.notMatch(keyOnly.err, 'SECRET');
  const absent = await sidebearer(['import', join(folder, 'absent'), '--url', 'http://127.0.0.1:1', '--yes']);
  t.match(absent, { code: 1, err: /^sidebearer: import_file_unreadable: .*ENOENT/ });
  t.match(await sidebearer(['import']), { code: 2, err: /FILE is missing/ });
  t.match(await sidebearer(['export', 'codex']), { code: 1, out: '', err: /^sidebearer: export_refused: / });
  t.strictSame(imported, []);
});

t.test('POST /oauth/import answers as documented, and refuses a form and what is no date', async (t) => {
  const { port, events } = await createWorld(t);
  const post = (body: string, type = 'application/json', more = {}) =>
    ask(port, '/oauth/import', { method: 'POST', headers: { 'content-type': type, ...more }, body });
  const operation = 'POST /oauth/import';
  const done = await post(JSON.stringify({ credential: 'codex', refreshToken: 'r' }));
  t.equal(done.status, 200);
  t.equal(deviation(operation, done), undefined);
  const odd = await post(JSON.stringify({ credential: 'codex', refreshToken: 'r', expiresAt: 'soon' }));
  t.equal(odd.status, 400);
  t.equal(deviation(operation, odd), undefined);
  const form = await post('credential=codex&refreshToken=r', 'application/x-www-form-urlencoded', {
    origin: `http://localhost:${port}`,
  });
  t.equal(form.status, 303);
  t.match(form.headers.location, 'admin_request_malformed');
  t.strictSame(events, [
    'audit import codex imported',
    'audit import codex admin_request_malformed',
    'audit import codex admin_request_malformed',
  ]);
});

t.test(
  '--offline opens the store itself, reads the account out of the tokens, and the next start has them',
  async (t) => {
    const folder = t.testdir({ 'auth.json': JSON.stringify(cliFile), store: {} });
    const config = join(folder, 'config.yaml');
    writeFileSync(
      config,
      `routes: [{ upstream: "https://chatgpt.com", credential: codex }]
credentials: { codex: { provider: codex } }
store: { kind: file, path: ${join(folder, 'store')}, keys: ["${randomBytes(32).toString('base64')}"], lease: 1s }
`,
    );
    chmodSync(join(folder, 'store'), 0o700);
    const run = (...more: string[]) =>
      sidebearer(['import', join(folder, 'auth.json'), '--offline', '--config', config, '--yes', ...more]);
    t.match(await run(), {
      code: 0,
      out: /^codex: imported as ada@example\.test\n.*expires in \d+d\n {2}stored in file /s,
    });
    t.match(await run('--json'), { code: 0, out: /"acct-1"/ }, 'the same account again is no other');
    const another = jwt({ [auth]: { chatgpt_account_id: 'acct-2', chatgpt_user_id: 'user-2' } });
    const file = { ...cliFile, tokens: { ...cliFile.tokens, id_token: another } };
    writeFileSync(join(folder, 'auth.json'), JSON.stringify(file));
    t.match(await run(), { code: 1, out: '', err: /sidebearer: account_differs: / });
    t.match(await run('--replace', '--move'), { code: 0 });
    t.notMatch(readFileSync(join(folder, 'auth.json'), 'utf8'), 'SECRET');
    writeFileSync(join(folder, 'auth.json'), JSON.stringify({ refresh_token: 'r', access_token: 'a' }));
    t.match(await run('--replace'), { code: 1, err: /sidebearer: account_missing: / });
  },
);
