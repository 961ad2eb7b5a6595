import t from 'tap';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { publishedStates } from '../../src/credentials/bearer.ts';
import { catalogue } from '../../src/errors/catalogue.ts';
import { english as texts } from '../../src/oauth/texts/english.ts';
import { createFakeDevice, withDevice } from './_device.ts';
import { ask, createFakeCredential, credentialStatus, type FakeCredential, startPort } from './_fakes.ts';
import { deviation } from './_openapi.ts';

const nowMs = 1_800_000_000_000;
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

function credentialIn(change: Partial<CredentialStatus>, options = {}): FakeCredential {
  const credential = createFakeCredential(change.name ?? 'codex', options);
  credential.behaviour.status = () => credentialStatus(change);
  return credential;
}

async function pageOf(t: Tap, change: Partial<CredentialStatus>, options = {}): Promise<string> {
  const { port } = await startPort(t, [credentialIn(change, options)]);
  return (await ask(port, '/?refresh=off')).body;
}

interface Tap {
  teardown: (end: () => Promise<void>) => void;
}

t.test('every state has its word and the page shows it', async (t) => {
  for (const state of publishedStates) t.match(await pageOf(t, { state }), `">${texts.status.state[state]}</span>`);
});

t.test('times are told relative, and exact for machines', async (t) => {
  const page = await pageOf(t, {
    state: 'fresh',
    usable: true,
    expiresAtMs: nowMs + 4 * day + 23 * hour + 59 * minute,
    refreshDueAtMs: nowMs + 2 * hour + 5 * minute,
    lastRefreshAtMs: nowMs - 90_000,
    grantExpiresAtMs: nowMs + 30 * day,
  });
  t.match(page, '<time datetime="2027-01-20T07:59:00.000Z">in 4 d 23 h <span class="soft">2027-01-20 07:59 UTC</span>');
  t.match(page, /Next refresh<\/dt><dd><time [^>]*>in 2 h 5 min /);
  t.match(page, /Last refresh<\/dt><dd><time [^>]*>1 min 30 s ago /);
  t.match(page, /Login ends<\/dt><dd><time [^>]*>in 30 d /);
});

t.test('an expired token, a token of unknown life, none at all', async (t) => {
  t.match(await pageOf(t, { expiresAtMs: nowMs - 42_000 }), /expired <time [^>]*>42 s ago/);
  t.match(await pageOf(t, { usable: true }), 'valid, its expiry is not told');
  t.match(await pageOf(t, {}), '<dt>Token</dt><dd>none</dd>');
});

t.test('times that are no dates are unknown and break nothing', async (t) => {
  for (const expiresAtMs of [1e300, Number.NaN, Number.POSITIVE_INFINITY, -1e300]) {
    t.match(await pageOf(t, { usable: true, expiresAtMs, refreshDueAtMs: expiresAtMs }), 'unknown');
  }
});

t.test(
  'cooling, breaker, waiting requests and an unstored token are shown, the last failure with its advice',
  async (t) => {
    const page = await pageOf(t, {
      state: 'cooling',
      coolingUntilMs: nowMs + 3 * minute,
      refreshDueAtMs: nowMs,
      breaker: 'open',
      waiting: 7,
      isDirty: true,
      lastError: {
        code: 'grant_reused',
        next: catalogue.grant_reused.next,
        atMs: nowMs - 1000,
        providerCode: 'refresh_token_reused',
      },
    });
    t.match(page, /Tried again<\/dt><dd><time [^>]*>in 3 min /);
    t.notMatch(page, 'Next refresh');
    t.match(page, 'left alone for a while');
    t.match(page, '<dt>Requests waiting</dt><dd>7</dd>');
    t.match(page, 'The newest token is not stored yet');
    t.match(page, 'The refresh token was already used by somebody else');
    t.match(page, 'Make sure that no other program uses this login, then log in again.');
    t.match(page, '<code>grant_reused</code>');
    t.match(page, '<code>refresh_token_reused</code>');
  },
);

t.test('a credential with a login has a link to it, others have none', async (t) => {
  t.match(
    await pageOf(t, { state: 'absent' }),
    '<a class="button" href="/oauth/start?credential=codex" data-key="login">Log in for codex',
  );
  t.match(
    await pageOf(t, { state: 'fresh' }),
    '<a class="button quiet" href="/oauth/start?credential=codex" data-key="login">',
  );
  const machine = await pageOf(t, { state: 'dead', grant: 'refresh_token' }, { hasLogin: false });
  t.notMatch(machine, 'href="/oauth/start');
  t.match(machine, 'Needs a new refresh token');
});

t.test('script in every field that a provider controls stays text', async (t) => {
  const evil = `"'><script>alert(1)</script><img src=x onerror=alert(2)>`;
  const page = await pageOf(t, {
    account: { id: evil, email: evil, plan: evil, userId: evil, issuer: evil, organizationId: evil },
    lastError: { code: 'grant_rejected', next: catalogue.grant_rejected.next, atMs: nowMs, providerCode: evil },
  });
  t.equal(page.split('&lt;script&gt;alert(1)&lt;/script&gt;').length - 1, 4);
  t.notMatch(page, /<script|<img/);
});

t.test('/status.json is the version, the store and the statuses with their redirect URIs, nothing else', async (t) => {
  const all = [credentialIn({ state: 'fresh', usable: true, expiresAtMs: nowMs }), credentialIn({ name: 'other' })];
  const { port } = await startPort(t, all, { storedIn: 'file /var/lib/x' });
  const reply = await ask(port, '/status.json');
  t.equal(reply.headers['content-type'], 'application/json');
  t.same(JSON.parse(reply.body), {
    version: '1.2.3',
    storedIn: 'file /var/lib/x',
    credentials: all.map((credential) => ({ ...credential.status(), redirectUri: credential.login?.redirectUri })),
  });
});

t.test('the page updates itself unless told not to, and shows notices as text', async (t) => {
  const { port } = await startPort(t, [], { notices: () => ['Move <the> port'] });
  const page = (await ask(port, '/')).body;
  t.match(page, '<noscript><meta http-equiv="refresh" content="5"></noscript>');
  t.match(page, 'Move &lt;the&gt; port');
  t.match(page, 'No credential is configured.');
  t.notMatch((await ask(port, '/?refresh=off')).body, 'http-equiv="refresh"');
});

t.test('what comes of a missing login is said, where a person can log in', async (t) => {
  const { blocked, blockedSoon } = texts.status;
  for (const state of ['absent', 'dead'] as const) {
    t.match(await pageOf(t, { state }), blocked, state);
    t.match(await pageOf(t, { state, usable: true }), blockedSoon, `${state}, with a token in hand`);
    t.notMatch(await pageOf(t, { state }, { hasLogin: false }), blocked, `${state}, and nobody can log in`);
  }
  const fresh = await pageOf(t, { state: 'fresh', usable: true });
  for (const sentence of [blocked, blockedSoon]) t.notMatch(fresh, sentence);
});

t.test('an answer can be pasted here, under the name that the cookie of a login belongs to', async (t) => {
  const form = '<form method="post" action="/oauth/complete">';
  const { port } = await startPort(t, [createFakeCredential()]);
  t.match((await ask(port, '/')).body, form);
  const elsewhere = await ask(port, '/', { headers: { host: `127.0.0.1:${port}` } });
  t.notMatch(elsewhere.body, form, 'from here the browser would not send that cookie');
  const machine = await startPort(t, [createFakeCredential('machine', { hasLogin: false })]);
  t.notMatch((await ask(machine.port, '/')).body, form, 'nobody logs in');
});

t.test('the configuration in force is named, and one that was refused with all that is wrong with it', async (t) => {
  const inForce = { hash: '0a1b2c3d', readAtMs: nowMs - 3 * hour };
  const refused = {
    atMs: nowMs - 90_000,
    mistakes: [
      { code: 'config_key_unknown', setting: 'routes[0].<stripPth>', line: 3, column: 5 },
      { code: 'restart_required', setting: 'store.lease' },
      { code: 'config_unreadable' },
    ],
    more: 7,
  } as const;
  let isRefused = false;
  const { port } = await startPort(t, [], { configuration: () => ({ ...inForce, ...(isRefused && { refused }) }) });
  const page = async (language = 'en') =>
    (await ask(port, '/?refresh=off', { headers: { 'accept-language': language } })).body;
  t.match(await page(), /Configuration <code>0a1b2c3d<\/code> · read <time [^>]*>3 h ago /);
  t.notMatch(await page(), 'was refused');
  isRefused = true;
  t.match(await page(), 'The changed configuration was refused');
  t.match(
    await page(),
    'A key of the configuration is unknown: <code>routes[0].&lt;stripPth&gt;</code> · line 3, column 5 · <code>config_key_unknown</code>',
  );
  t.match(await page(), '<code>store.lease</code> · <code>restart_required</code>');
  t.match(await page(), 'cannot be read: <code>config_unreadable</code>');
  for (const { code } of refused.mistakes) {
    const next = catalogue[code].next.replaceAll('`', '&#96;');
    t.match(await page(), `<code>${code}</code><br>${next}</li>`, 'and what to do about it');
  }
  t.match(await page('zh'), '<code>config_unreadable</code><br>请检查 --config 给出的路径及其权限。</li>');
  t.match(await page(), /And 7 more.*Refused <time [^>]*>1 min 30 s ago /s);
  t.match(await page('zh'), /更改后的配置被拒绝.*配置中有未知的键: .*第 3 行第 5 列.*restart_required.*另有 7 处错误/s);
  t.match(await page('zh'), /配置 <code>0a1b2c3d<\/code>/);
  const reply = await ask(port, '/status.json');
  t.same(JSON.parse(reply.body).configuration, { ...inForce, refused });
  t.equal(deviation('GET /status.json', reply), undefined);
});

t.test('a login on another device is no longer offered once a reload has taken it away', async (t) => {
  const credential = withDevice(createFakeCredential(), createFakeDevice());
  const { port } = await startPort(t, [credential]);
  await ask(port, '/');
  t.match((await ask(port, '/')).body, texts.actions.device);
  Object.assign(credential, { device: undefined });
  t.notMatch((await ask(port, '/')).body, texts.actions.device);
});
