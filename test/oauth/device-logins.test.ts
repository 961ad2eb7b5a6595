// Logins on another device as the pages and commands will see them: a handle, what to show, and how it ended.
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { ManagedCredential } from '../../src/credentials/bearer.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createDeviceLogins, type DeviceLogins } from '../../src/oauth/device-logins.ts';
import { createOidcProvider } from '../../src/providers/oidc.ts';
import type { DeviceAuthorization, DeviceLogin, DevicePoll } from '../../src/providers/provider.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { createRealOidc } from '../providers/_oidc.ts';
import { createFakeCredential, createRecordingObserver, type FakeCredential, tokenAnswer } from './_fakes.ts';

const visitor = { address: '127.0.0.1', userAgent: 'test' };
const once = { replaceAccount: false };
const authorization: DeviceAuthorization = {
  userCode: 'WDJB-MJHT',
  verificationUri: 'https://idp.example/device',
  intervalMs: 5_000,
  lifeMs: 600_000,
  deviceCode: 'SECRET-device',
};

interface Tested {
  readonly logins: DeviceLogins;
  readonly clock: ReturnType<typeof createFakeClock>;
  readonly credential: FakeCredential;
  readonly events: readonly string[];
  /** What the coming polls give. */
  next: () => Promise<DevicePoll>;
  /** How a start goes. */
  begin: () => Promise<DeviceAuthorization>;
  polls: number;
}

function createTested(change: { hasDevice?: boolean } = {}): Tested {
  const clock = createFakeClock();
  const credential = createFakeCredential();
  const observer = createRecordingObserver();
  const device: DeviceLogin = {
    isOffered: async () => true,
    start: () => tested.begin(),
    poll: () => {
      tested.polls += 1;
      return tested.next();
    },
  };
  const managed: ManagedCredential = change.hasDevice === false ? credential : { ...credential, device };
  const logins = createDeviceLogins({ credentials: new Map([['codex', managed]]), clock, observer });
  const tested: Tested = {
    logins,
    clock,
    credential,
    events: observer.events,
    next: async () => ({ kind: 'pending' }),
    begin: async () => authorization,
    polls: 0,
  };
  return tested;
}

const gives =
  (change = {}): (() => Promise<DevicePoll>) =>
  async () => ({ kind: 'tokens', tokens: tokenAnswer(change) });

t.test('what a person is shown, then tokens that the credential accepts', async (t) => {
  const { logins, clock, credential } = createTested();
  t.equal(await logins.isOffered('codex'), true);
  const handle = await logins.start('codex', visitor, { replaceAccount: true });
  t.match(handle, /^[\w-]{43}$/);
  t.strictSame(logins.find(handle), {
    credential: 'codex',
    userCode: 'WDJB-MJHT',
    verificationUri: 'https://idp.example/device',
    expiresAtMs: clock.wallMs() + 600_000,
    state: { kind: 'waiting' },
  });
  t.equal(logins.find(`${handle}x`), undefined);
  await clock.advance(5_000);
  t.equal(logins.find(handle)?.state.kind, 'waiting');
  t.strictSame(credential.accepted, []);
});

t.test('tokens are handed to the credential once, with what the person said of the account', async (t) => {
  const tested = createTested();
  const { logins, clock, credential } = tested;
  tested.next = gives({ refreshToken: undefined, warnings: [{ code: 'token_answer_odd', field: 'scope' }] });
  const handle = await logins.start('codex', visitor, { replaceAccount: true });
  await clock.advance(600_000);
  t.match(credential.accepted, [{ replaceAccount: true, tokens: { accessToken: 'SECRET-access' } }]);
  t.strictSame(logins.find(handle)?.state, { kind: 'succeeded', warnings: ['token_answer_odd', 'no_refresh_token'] });
  t.equal(tested.polls, 1);
  t.strictSame(tested.events, ['started codex', 'succeeded codex']);
  t.equal(logins.cancel(handle), false, 'it has ended');
});

for (const code of ['device_denied', 'device_expired', 'exchange_failed', 'workspace_restriction'] as const) {
  t.test(`${code} is how it ended, and is told`, async (t) => {
    const tested = createTested();
    tested.next = async () => {
      throw new SidebearerError(code);
    };
    const handle = await tested.logins.start('codex', visitor, once);
    await tested.clock.advance(5_000);
    t.match(tested.logins.find(handle)?.state, { kind: 'failed', error: { code } });
    t.strictSame(tested.events, ['started codex', `failed ${code} codex`]);
    t.equal(tested.clock.armed, 0);
  });
}

t.test('another account, or a store that cannot be written, is a login that failed', async (t) => {
  for (const code of ['account_differs', 'store_write_failed'] as const) {
    const tested = createTested();
    tested.next = gives();
    tested.credential.behaviour.accept = async () => {
      throw new SidebearerError(code);
    };
    const handle = await tested.logins.start('codex', visitor, once);
    await tested.clock.advance(5_000);
    t.match(tested.logins.find(handle)?.state, { kind: 'failed', error: { code } });
  }
});

t.test(
  'cancelled it is device_cancelled at once, asks no more, and keeps no tokens that were on their way',
  async (t) => {
    const tested = createTested();
    const { logins, clock, credential } = tested;
    let answer: (poll: DevicePoll) => void = () => undefined;
    tested.next = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const [asked, waiting] = [await logins.start('codex', visitor, once), await logins.start('codex', visitor, once)];
    await clock.advance(5_000);
    t.equal(logins.cancel(asked), true);
    t.match(logins.find(asked)?.state, { kind: 'failed', error: { code: 'device_cancelled' } });
    t.equal(logins.cancel(asked), false);
    t.equal(logins.cancel('unknown'), false);
    answer({ kind: 'tokens', tokens: tokenAnswer() });
    await clock.advance(0);
    t.equal(logins.cancel(waiting), false, 'the other one has just got its tokens');
    t.equal(credential.accepted.length, 1);
    t.strictSame(tested.events, ['started codex', 'started codex', 'failed device_cancelled codex', 'succeeded codex']);
  },
);

t.test('a login that is just being stored can no longer be cancelled', async (t) => {
  const tested = createTested();
  tested.next = gives();
  let stored: () => void = () => undefined;
  tested.credential.behaviour.accept = () =>
    new Promise((resolve) => {
      stored = resolve;
    });
  const handle = await tested.logins.start('codex', visitor, once);
  await tested.clock.advance(5_000);
  t.equal(tested.logins.cancel(handle), false);
  stored();
  await tested.clock.advance(0);
  t.equal(tested.logins.find(handle)?.state.kind, 'succeeded');
});

t.test('a stop asks no more, but waits for what was asked, and for its tokens to be stored', async (t) => {
  const tested = createTested();
  const { logins, clock, credential } = tested;
  const idle = await logins.start('codex', visitor, once);
  let answer: (poll: DevicePoll) => void = () => undefined;
  tested.next = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  await clock.advance(4_999);
  const asked = await logins.start('codex', visitor, once);
  await clock.advance(1);
  t.equal(tested.polls, 1);
  let isClosed = false;
  const closed = logins.close().then(() => {
    isClosed = true;
  });
  await clock.advance(60_000);
  t.equal(isClosed, false);
  t.match(logins.find(asked)?.state, { kind: 'failed', error: { code: 'device_cancelled' } });
  answer({ kind: 'tokens', tokens: tokenAnswer() });
  await closed;
  t.equal(credential.accepted.length, 1);
  t.equal(logins.find(idle)?.state.kind, 'succeeded');
  t.equal(clock.armed, 0);
});

t.test('the 17th that waits is logins_pending_limit; one that ended makes room', async (t) => {
  const tested = createTested();
  const { logins } = tested;
  const handles = await Promise.all(Array.from({ length: 16 }, () => logins.start('codex', visitor, once)));
  await t.rejects(logins.start('codex', visitor, once), { code: 'logins_pending_limit' });
  logins.cancel(handles[0] ?? '');
  await logins.start('codex', visitor, once);
  await logins.close();

  const slow = createTested();
  slow.begin = () => new Promise(() => undefined);
  for (let index = 0; index < 16; index += 1) void slow.logins.start('codex', visitor, once);
  await t.rejects(slow.logins.start('codex', visitor, once), { code: 'logins_pending_limit' }, 'also while they start');
});

t.test('a start that fails leaves nothing behind', async (t) => {
  const tested = createTested();
  tested.begin = async () => {
    throw new SidebearerError('device_login_disabled');
  };
  for (let index = 0; index < 20; index += 1) {
    await t.rejects(tested.logins.start('codex', visitor, once), { code: 'device_login_disabled' });
  }
  t.strictSame(tested.events, []);
  t.equal(tested.clock.armed, 0);
});

t.test('an unknown credential is credential_unknown, one without such a login is login_unsupported', async (t) => {
  const { logins } = createTested({ hasDevice: false });
  t.equal(await logins.isOffered('codex'), false);
  await t.rejects(logins.isOffered('other'), { code: 'credential_unknown' });
  await t.rejects(logins.start('other', visitor, once), { code: 'credential_unknown' });
  await t.rejects(logins.start('codex', visitor, once), { code: 'login_unsupported' });
});

t.test('ended ones are found for 30 min, waiting ones as long as they wait', async (t) => {
  const tested = createTested();
  const handle = await tested.logins.start('codex', visitor, once);
  tested.logins.cancel(handle);
  await tested.clock.advance(30 * 60_000);
  t.ok(tested.logins.find(handle));
  await tested.clock.advance(1);
  t.equal(tested.logins.find(handle), undefined);
});

async function realDevice(t: Test) {
  const client = {
    client_id: 'cli',
    token_endpoint_auth_method: 'none',
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    response_types: [],
    redirect_uris: [],
  };
  const oidc = await createRealOidc(t, 60, { clients: [client], features: { deviceFlow: { enabled: true } } });
  const options = { issuer: oidc.issuer, clientId: 'cli', grant: 'device_code' } as const;
  const { device } = createOidcProvider(options, { clock: systemClock });
  if (device === undefined) throw new Error('a device login is expected');
  // It names no interval: 5 s by the RFC.
  const quick: DeviceLogin = { ...device, start: async () => ({ ...(await device.start()), intervalMs: 20 }) };
  return { oidc, quick };
}

t.test(
  'against the real oidc-provider: it goes down, comes back, a person confirms, and the tokens are there',
  async (t) => {
    const { oidc, quick } = await realDevice(t);
    const credential = createFakeCredential();
    const observer = createRecordingObserver();
    const managed: ManagedCredential = { ...credential, device: quick };
    const logins = createDeviceLogins({ credentials: new Map([['codex', managed]]), clock: systemClock, observer });
    t.teardown(() => logins.close());
    const polled = () => oidc.requests.filter((line) => line === 'POST /token').length;
    const until = async (isSo: () => boolean): Promise<void> => {
      while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
    };

    const handle = await logins.start('codex', visitor, once);
    await until(() => polled() >= 2);
    await oidc.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.equal(logins.find(handle)?.state.kind, 'waiting', 'an outage ends nothing');
    await oidc.open();
    await oidc.confirm(logins.find(handle)?.verificationUriComplete ?? '');
    await until(() => logins.find(handle)?.state.kind !== 'waiting');
    t.strictSame(logins.find(handle)?.state, { kind: 'succeeded', warnings: [] });
    t.match(credential.accepted, [{ tokens: { account: { id: 'person' }, refreshToken: String } }]);
  },
);

t.test('tokens of a client that the credential no longer has are not kept: state_unknown', async (t) => {
  const clock = createFakeClock();
  const credential = createFakeCredential();
  let boundTo = 'a';
  const device: DeviceLogin = {
    boundTo: 'a',
    isOffered: async () => true,
    start: async () => authorization,
    poll: async () => ({ kind: 'tokens', tokens: tokenAnswer() }),
  };
  const managed: ManagedCredential = { ...credential, device };
  Object.defineProperty(managed, 'device', { get: () => ({ ...device, boundTo }) });
  const observer = createRecordingObserver();
  const logins = createDeviceLogins({ credentials: new Map([['codex', managed]]), clock, observer });
  const handle = await logins.start('codex', visitor, once);
  boundTo = 'b';
  await clock.advance(5_000);
  t.match(logins.find(handle)?.state, { kind: 'failed', error: { code: 'state_unknown' } });
  t.strictSame(credential.accepted, []);
});
