// The codex preset in the built program, against endpoints that refuse whatever OpenAI's own would not be sent.
import t, { type Test } from 'tap';
import { openBrowser, skip } from '../_chromium.ts';
import { ada, type Person } from './_codex-provider.ts';
import { type CodexWorld, callCodex, createCodexWorld } from './_codex-world.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';

const AUTH = 'https://api.openai.com/auth';
const withAuth = (claims: Record<string, unknown>): Person => ({ ...ada, [AUTH]: claims });

/** The program in its world; at the end, whatever was asked of the stand-in was exactly as it must be. */
async function start(
  t: Test,
  credential?: string,
): Promise<{ readonly world: CodexWorld; readonly program: RunningProgram }> {
  const world = await createCodexWorld();
  const program = await runProgram(world.config(credential));
  t.teardown(async () => {
    await program.end();
    await world.close();
  });
  return { world, program };
}

/** The failure page's code, and all of it. */
const codeOf = (page: { readonly html: string }): string | undefined =>
  /<dt>Code<\/dt><dd><code>([a-z_]+)/.exec(page.html)?.[1];

t.test('by clicks: the account, and requests that carry it; the client’s own headers do not', { skip }, async (t) => {
  const { world, program } = await start(t);
  const { page, close } = await openBrowser();
  await page.goto(world.oauthUrl);
  await page.getByRole('link', { name: 'Log in for codex' }).click();
  await page.getByRole('button', { name: `Continue to ${new URL(world.provider.url).host}` }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
  const success = await page.getByRole('main').innerText();
  t.match(success, 'ada@example.test');
  t.match(success, /Plan\s+pro/);
  t.match(success, /Account id\s+account-ada/);
  t.match(success, /expires\s+in 9 d 23 h/);
  await close();

  const { status, path, headers } = await callCodex(program.proxyUrl);
  t.equal(status, 200);
  t.equal(path, '/backend-api/codex/responses?stream=true');
  t.equal(headers['chatgpt-account-id'], 'account-ada');
  t.equal(headers['x-openai-fedramp'], undefined, 'no claim, no header, not even the client’s');
  t.match(headers, { originator: 'codex_cli_rs', session_id: 'session-1', 'openai-beta': 'responses=experimental' });
  t.strictSame(world.provider.complaints, []);
});

t.test('the FedRAMP header goes with its claim, and what a refresh leaves out stays', async (t) => {
  const { world, program } = await start(t);
  world.provider.person = withAuth({ chatgpt_account_id: 'account-gov', chatgpt_account_is_fedramp: true });
  t.equal((await world.logIn()).status, 200);
  const first = await callCodex(program.proxyUrl);
  t.match(first, { status: 200, headers: { 'chatgpt-account-id': 'account-gov', 'x-openai-fedramp': 'true' } });

  for (const withheld of [[], ['refresh_token', 'id_token', 'expires_in'], ['id_token']]) {
    world.provider.withheld = withheld;
    t.match(await world.order('/oauth/refresh'), { status: 200 }, `a refresh without ${withheld}`);
    const after = await callCodex(program.proxyUrl);
    t.match(after, { status: 200, headers: { 'chatgpt-account-id': 'account-gov', 'x-openai-fedramp': 'true' } });
    t.not(after.headers.authorization, first.headers.authorization, 'a new token');
    t.ok(((await world.status()).expiresAtMs ?? 0) > Date.now() + 9.9 * 86_400_000, 'its life, told or its own');
  }
  t.equal(world.provider.counts.refresh, 3);
  t.strictSame(world.provider.complaints, []);
});

/** Each of the list, what a person is told apart. */
const permanent = {
  refresh_token_reused: 'grant_reused',
  refresh_token_expired: 'grant_expired',
  token_expired: 'grant_expired',
  app_session_expired: 'grant_expired',
  refresh_token_revoked: 'grant_revoked',
  refresh_token_invalidated: 'grant_revoked',
  app_session_terminated: 'grant_ended',
  invalid_refresh_token: 'grant_rejected',
} as const;

const words: Readonly<Record<string, string>> = {
  grant_reused: 'The refresh token was already used by somebody else',
  grant_expired: 'The refresh token has expired',
  grant_revoked: 'The refresh token was revoked',
  grant_ended: 'The session was ended: logged out, or signed in to another account since',
  grant_rejected: 'The provider no longer accepts the refresh token',
};

const shapes: readonly ((code: string) => unknown)[] = [
  (code) => ({ error: { code, message: 'told to nobody' } }),
  (code) => ({ error: code.toUpperCase(), error_description: 'told to nobody' }),
  (code) => ({ code, detail: 'told to nobody' }),
];

t.test('every permanent error, in each shape and at any status, ends the login with its own words', async (t) => {
  const { world, program } = await start(t);
  const { provider } = world;
  const cases = Object.entries(permanent).flatMap(([given, code], row) =>
    shapes.map((shape, column) => ({
      status: [400, 401, 403, 500][(row + column) % 4] ?? 400,
      body: shape(given),
      code,
    })),
  );
  const others = [
    { status: 400, body: { error: 'invalid_grant' }, code: 'grant_rejected' },
    { status: 401, body: { error: 'anything_else' }, code: 'grant_rejected' },
    { status: 401, body: 'no object', code: 'grant_rejected' },
  ];
  for (const { status, body, code } of [...cases, ...others]) {
    const told = `${status} ${JSON.stringify(body)}`;
    t.equal((await world.logIn()).status, 200, `a login before ${told}`);
    provider.refreshAnswer = { status, body };
    const sent = provider.counts.refresh;
    t.match(await world.order('/oauth/refresh'), { status: 503, body: { code } }, told);
    t.match(await world.order('/oauth/refresh'), { status: 503, body: { code } }, 'and again');
    t.equal(provider.counts.refresh, sent + 1, 'nothing is sent a second time');
    t.match(await world.status(), { state: 'dead', usable: true, lastError: { code } });
    const page = await (await fetch(world.oauthUrl)).text();
    t.match(page, words[code]);
    t.notOk(page.includes('told to nobody'));
    provider.refreshAnswer = undefined;
  }
  t.equal((await callCodex(program.proxyUrl)).status, 200, 'the access token in hand serves on');
  t.equal((await world.logIn()).status, 200);
  t.match(await world.status(), { state: 'fresh' }, 'a login cures it');
  t.strictSame(provider.complaints, []);
});

t.test('a country that is not served is the way out’s fault: the login lives', async (t) => {
  const { world, program } = await start(t);
  t.equal((await world.logIn()).status, 200);
  for (const shape of shapes) {
    world.provider.refreshAnswer = { status: 403, body: shape('unsupported_country_region_territory') };
    t.match(await world.order('/oauth/refresh'), { body: { code: 'region_unsupported' } });
    t.match(await world.status(), { usable: true, lastError: { code: 'region_unsupported' } });
    t.not((await world.status()).state, 'dead');
  }
  t.equal((await callCodex(program.proxyUrl)).status, 200);
  world.provider.refreshAnswer = undefined;
  t.match(await world.order('/oauth/refresh'), { status: 200 });
  t.match(await world.status(), { state: 'fresh' });
  t.strictSame(world.provider.complaints, []);
});

t.test('a logout revokes the refresh token, as JSON, and names the client beside it', async (t) => {
  const { world, program } = await start(t);
  t.equal((await world.logIn()).status, 200);
  t.match(await world.order('/oauth/logout'), { status: 200 });
  t.strictSame(world.provider.revocations, ['refresh_token']);
  t.match(await world.status(), { state: 'absent' });
  t.equal((await callCodex(program.proxyUrl)).status, 503);
  t.strictSame(world.provider.complaints, []);
});

t.test('on another device: pending at 403 and 404, then the tokens; disabled is told with its switch', async (t) => {
  const { world, program } = await start(t);
  const { provider } = world;
  const begun = await world.order('/oauth/device');
  t.match(begun, { status: 201, body: { userCode: 'ABCD-12345', verificationUri: `${provider.url}/codex/device` } });
  const headers = { 'login-handle': String(begun.body['handle']), accept: 'application/json' };
  const look = async () => (await (await fetch(`${world.oauthUrl}/oauth/device`, { headers })).json()) as object;
  await eventually('two polls', () => provider.counts.poll >= 2 || undefined);
  t.match(await look(), { state: 'waiting' });
  provider.isDeviceConfirmed = true;
  await eventually(
    'the end',
    async () => ('state' in (await look()) && !JSON.stringify(await look()).includes('waiting')) || undefined,
  );
  t.match(await look(), { state: 'succeeded' });
  t.match(await callCodex(program.proxyUrl), { status: 200, headers: { 'chatgpt-account-id': 'account-ada' } });

  provider.isDeviceEnabled = false;
  const refused = await world.order('/oauth/device');
  t.match(refused.body, { code: 'device_login_disabled', next: /Settings.*Security/ });
  t.strictSame(provider.complaints, []);
});

t.test('an account outside allowedWorkspaces is workspace_restriction; the list is sent', async (t) => {
  const { world } = await start(t, '    allowedWorkspaces: [account-1, account-2]\n    originator: codex_cli_rs');
  const { provider } = world;
  provider.optional = { allowed_workspace_id: 'account-1,account-2', originator: 'codex_cli_rs' };
  const refused = await world.logIn();
  t.equal(refused.status, 403);
  t.equal(codeOf(refused), 'workspace_restriction');
  t.match(await world.status(), { state: 'absent' });
  provider.person = withAuth({ chatgpt_account_id: 'account-2' });
  t.equal((await world.logIn()).status, 200);
  t.match(await world.status(), { state: 'fresh', account: { id: 'account-2' } });
  t.strictSame(provider.complaints, []);
});

t.test('a login without an account, or denied for want of an entitlement, says which', async (t) => {
  const { world } = await start(t);
  const { provider } = world;
  provider.person = { sub: 'nobody' };
  const missing = await world.logIn();
  t.equal(missing.status, 502);
  t.equal(codeOf(missing), 'account_missing');

  provider.denial = 'missing_codex_entitlement';
  const denied = await world.logIn('deny');
  t.equal(denied.status, 400);
  t.equal(codeOf(denied), 'authorize_denied');
  t.match(denied.html, /an administrator of the workspace must enable it/);

  provider.denial = undefined;
  t.equal(codeOf(await world.logIn('deny')), 'authorize_denied');
  t.match(await world.status(), { state: 'absent' });
  t.strictSame(provider.complaints, []);
});

t.test('a state with `.onboarding_entrypoint=` behind it is the state; another account is asked about', async (t) => {
  const { world, program } = await start(t);
  world.provider.stateSuffix = '.onboarding_entrypoint=codex_cli';
  t.equal((await world.logIn()).status, 200);
  t.equal((await world.logIn('deny')).status, 400);
  world.provider.person = withAuth({ chatgpt_account_id: 'account-bob' });
  const differs = await world.logIn();
  t.equal(differs.status, 409);
  t.equal(codeOf(differs), 'account_differs');
  t.match(await callCodex(program.proxyUrl), { headers: { 'chatgpt-account-id': 'account-ada' } });
  t.equal((await world.logIn('continue', { replace: 'yes' })).status, 200);
  t.match(await callCodex(program.proxyUrl), { headers: { 'chatgpt-account-id': 'account-bob' } });
  t.strictSame(world.provider.complaints, []);
});

t.test('the stand-in refuses what is missing, extra, doubled or another', async (t) => {
  const { world } = await start(t, '    authorizeParams: { extra: "1", prompt: "" }');
  t.equal((await fetch(`${world.provider.url}/oauth/token`, { method: 'POST', body: '{}' })).status, 400);
  await t.rejects(world.logIn());
  t.match(world.provider.complaints, ['/oauth/token: content-type text/plain', 'authorize: +extra prompt']);
});
