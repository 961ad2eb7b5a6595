// Codex's login on another device, against a stand-in that refuses whatever the Codex CLI would not send.
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { type CodexOptions, createCodexProvider } from '../../src/providers/codex.ts';
import type { DeviceAuthorization, DeviceLogin, DevicePoll, Provider } from '../../src/providers/provider.ts';
import { codexAt, scripted, unsignedJwt } from './_providers.ts';
import { holdsNone, rejectionOf } from './_rejections.ts';
import { answerOf, jsonOf, type Reply, type SeenRequest } from './_scripted-endpoint.ts';

const clientId = 'app_EMoamEEZ73f0CkXaXp7hrann';
const usercode = '/api/accounts/deviceauth/usercode';
const idToken = unsignedJwt({
  sub: 'person',
  'https://api.openai.com/auth': { chatgpt_account_id: 'account-1', chatgpt_user_id: 'user-1' },
});
const tokens = { access_token: 'at', refresh_token: 'rt', id_token: idToken, expires_in: 864_000 };
const secrets = ['auth-id-SECRET', 'code-SECRET', 'verifier-SECRET', 'ABCD-12345'];

/** What the stand-in knows of the login. */
interface Flow {
  isConfirmed: boolean;
  /** What a poll, or the exchange, is answered with instead. */
  instead: Reply | undefined;
  insteadOfTokens: Reply | undefined;
}

function strict(flow: Flow, origin: () => string) {
  return ({ method, target, headers, body, form }: SeenRequest): Reply => {
    const refuse = (why: string): Reply => jsonOf(400, { error: { code: why } });
    if (method !== 'POST' || headers['authorization'] !== undefined) return refuse('request');
    if (target === '/oauth/token') {
      const expected = {
        grant_type: 'authorization_code',
        client_id: clientId,
        code: 'code-SECRET',
        code_verifier: 'verifier-SECRET',
        redirect_uri: `${origin()}/deviceauth/callback`,
      };
      const isExact =
        Object.keys(form).length === 5 && Object.entries(expected).every(([name, value]) => form[name] === value);
      return flow.insteadOfTokens ?? (isExact ? jsonOf(200, tokens) : refuse('exchange'));
    }
    if (headers['content-type'] !== 'application/json') return refuse('content_type');
    if (target === usercode) {
      if (body !== JSON.stringify({ client_id: clientId })) return refuse('client_id');
      return jsonOf(200, { device_auth_id: 'auth-id-SECRET', user_code: 'ABCD-12345', interval: '5' });
    }
    if (target !== '/api/accounts/deviceauth/token') return refuse('path');
    if (body !== JSON.stringify({ device_auth_id: 'auth-id-SECRET', user_code: 'ABCD-12345' })) return refuse('body');
    if (flow.instead !== undefined) return flow.instead;
    if (!flow.isConfirmed) return jsonOf(403, { error: { code: 'deviceauth_authorization_unknown' } });
    const confirmed = { authorization_code: 'code-SECRET', code_verifier: 'verifier-SECRET', code_challenge: 'x' };
    return jsonOf(200, confirmed);
  };
}

function deviceOf({ device }: Provider): DeviceLogin {
  if (device === undefined) throw new Error('a device login is expected');
  return device;
}

async function start(t: Test, options: Partial<CodexOptions> = {}) {
  const flow: Flow = { isConfirmed: false, instead: undefined, insteadOfTokens: undefined };
  const endpoint = await scripted(t, { reply: strict(flow, () => endpoint.origin) });
  const deviceUrl = `${endpoint.origin}${usercode}`;
  const device = deviceOf(codexAt(endpoint.origin, { grant: 'device_code', deviceUrl, ...options }));
  return { flow, endpoint, device };
}

t.test('a person types the code at the address that is shown: tokens with their account', async (t) => {
  const { flow, endpoint, device } = await start(t);
  t.equal(await device.isOffered(), true);
  const authorization = await device.start();
  t.strictSame(authorization, {
    userCode: 'ABCD-12345',
    verificationUri: `${endpoint.origin}/codex/device`,
    intervalMs: 5_000,
    lifeMs: 900_000,
    deviceCode: 'auth-id-SECRET',
  });
  t.strictSame(await device.poll(authorization), { kind: 'pending' });
  flow.instead = jsonOf(404, {});
  t.strictSame(await device.poll(authorization), { kind: 'pending' }, '404 is pending as well');
  flow.instead = undefined;
  flow.isConfirmed = true;
  t.match(await device.poll(authorization), {
    kind: 'tokens',
    tokens: { accessToken: 'at', refreshToken: 'rt', account: { id: 'account-1', userId: 'user-1' } },
  });
});

t.test(
  'the preset needs no setting, with a login as without, and none where the refresh token is at hand',
  async (t) => {
    for (const grant of [undefined, 'authorization_code', 'device_code'] as const) {
      t.ok(createCodexProvider({ grant }, { clock: systemClock }).device);
    }
    t.equal(createCodexProvider({ grant: 'device_code' }, { clock: systemClock }).login, undefined);
    t.equal(createCodexProvider({ grant: 'refresh_token' }, { clock: systemClock }).device, undefined);
  },
);

const starts: readonly (readonly [string, Reply, ErrorCode])[] = [
  ['404', jsonOf(404, { detail: 'Not Found' }), 'device_login_disabled'],
  ['403 of a country', jsonOf(403, { error: { code: 'unsupported_country_region_territory' } }), 'authorize_failed'],
  ['401', answerOf(401, ''), 'authorize_failed'],
  ['429', answerOf(429, ''), 'provider_unreachable'],
  ['503', answerOf(503, ''), 'provider_unreachable'],
  ['a reset', { end: 'reset' }, 'provider_unreachable'],
  ['nothing', answerOf(200, ''), 'device_answer_malformed'],
  ['no id', jsonOf(200, { user_code: 'A' }), 'device_answer_malformed'],
  ['no code', jsonOf(200, { device_auth_id: 'auth-id-SECRET' }), 'device_answer_malformed'],
];

for (const [title, reply, code] of starts) {
  t.test(`a start answered with ${title} is ${code}`, async (t) => {
    const endpoint = await scripted(t, { reply: () => reply });
    const device = deviceOf(codexAt(endpoint.origin, { deviceUrl: `${endpoint.origin}${usercode}` }));
    const error = await rejectionOf(t, device.start());
    t.equal(error.code, code);
    if (code === 'device_login_disabled') t.match(error.next, /Device code login/);
    holdsNone(t, error, secrets);
  });
}

t.test('the code under its other name, and an interval that is a number', async (t) => {
  const answer = { device_auth_id: 'auth-id-SECRET', usercode: 'ABCD-12345', interval: 3 };
  const endpoint = await scripted(t, { reply: () => jsonOf(200, answer) });
  const device = deviceOf(codexAt(endpoint.origin, { deviceUrl: `${endpoint.origin}${usercode}` }));
  t.match(await device.start(), { userCode: 'ABCD-12345', intervalMs: 3_000 });
});

const named = async (poll: Promise<DevicePoll>): Promise<string> =>
  poll.then(
    (poll) => (poll.kind === 'unanswered' ? `unanswered ${poll.error.code}` : poll.kind),
    (thrown) => thrown.code,
  );

const polls: readonly (readonly [string, Reply, string])[] = [
  ['403 of a country', jsonOf(403, { error: { code: 'unsupported_country_region_territory' } }), 'exchange_failed'],
  ['400', answerOf(400, ''), 'exchange_failed'],
  ['401', answerOf(401, ''), 'exchange_failed'],
  ['429', answerOf(429, ''), 'unanswered exchange_busy'],
  ['500', answerOf(500, ''), 'unanswered exchange_busy'],
  ['HTML', answerOf(200, '<h1>hello</h1>'), 'unanswered exchange_malformed'],
  ['a reset', { end: 'reset' }, 'unanswered exchange_no_answer'],
  ['no verifier', jsonOf(200, { authorization_code: 'code-SECRET' }), 'exchange_malformed'],
  ['no code', jsonOf(200, { code_verifier: 'verifier-SECRET' }), 'exchange_malformed'],
];

for (const [title, reply, expected] of polls) {
  t.test(`a poll answered with ${title} is ${expected}`, async (t) => {
    const { flow, device } = await start(t);
    flow.instead = reply;
    const authorization: DeviceAuthorization = await device.start();
    t.equal(await named(device.poll(authorization)), expected);
  });
}

const exchanges: readonly (readonly [string, Reply, string])[] = [
  ['400 invalid_grant', jsonOf(400, { error: 'invalid_grant' }), 'code_rejected'],
  ['a reset', { end: 'reset' }, 'exchange_no_answer'],
  ['503', answerOf(503, ''), 'exchange_busy'],
  ['no account', jsonOf(200, { ...tokens, id_token: undefined }), 'account_missing'],
];

for (const [title, reply, code] of exchanges) {
  t.test(
    `once the code is there it serves once: an exchange answered with ${title} ends the login as ${code}`,
    async (t) => {
      const { flow, endpoint, device } = await start(t);
      Object.assign(flow, { isConfirmed: true, insteadOfTokens: reply });
      const error = await rejectionOf(t, device.poll(await device.start()));
      t.equal(error.code, code);
      holdsNone(t, error, secrets);
      t.equal(endpoint.requests.filter(({ target }) => target === '/oauth/token').length, 1);
    },
  );
}

t.test('a workspace that is not allowed is workspace_restriction', async (t) => {
  const { flow, device } = await start(t, { allowedWorkspaces: ['account-2'] });
  flow.isConfirmed = true;
  t.equal((await rejectionOf(t, device.poll(await device.start()))).code, 'workspace_restriction');
});
