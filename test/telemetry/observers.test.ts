import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { RequestEnd } from '../../src/proxy/observer.ts';
import { seriesValue } from './_exposition.ts';
import { createTestTelemetry, type TestTelemetry, visitor } from './_telemetry.ts';

const atInfoOrAbove = /^(info|warn|error)$/;
const ended: RequestEnd = {
  route: 'api',
  method: 'POST',
  status: 502,
  aborted: false,
  durationMs: 12.3456,
  upstreamTtfbMs: undefined,
  error: new SidebearerError('upstream_unreachable', { systemCode: 'ECONNREFUSED' }),
};
const failing = new SidebearerError('token_endpoint_failing', { credential: 'codex', status: 503 });
const dead = new SidebearerError('grant_revoked', { credential: 'codex', providerCode: 'invalid_grant' });
const common = { trigger: 'schedule', durationMs: 20 } as const;

const told: [string, (telemetry: TestTelemetry) => void, Record<string, unknown>][] = [
  [
    'a listener that is bound',
    ({ listeners }) => listeners.bound('proxy', 'http://127.0.0.1:8080'),
    { level: 'info', listener: 'proxy', url: 'http://127.0.0.1:8080' },
  ],
  [
    'listen_port_busy, with its holder',
    ({ listeners }) =>
      listeners.failed(
        'oauth',
        new SidebearerError('listen_port_busy', { setting: 'listen.oauth', holder: 'nginx (pid 1)' }),
      ),
    { level: 'error', code: 'listen_port_busy', listener: 'oauth', setting: 'listen.oauth', holder: 'nginx (pid 1)' },
  ],
  [
    'listen_port_busy, tried again',
    ({ listeners }) => listeners.failed('oauth', new SidebearerError('listen_port_busy'), 1_800_000_005_000),
    { level: 'warn', code: 'listen_port_busy', nextAttemptAt: '2027-01-15T08:00:05.000Z' },
  ],
  [
    'a login that was started',
    ({ logins }) => logins.loginStarted('codex', visitor),
    { level: 'info', event: 'login_started', credential: 'codex', visitor: '127.0.0.1' },
  ],
  [
    'state_unknown',
    ({ logins }) => logins.loginFailed(new SidebearerError('state_unknown'), visitor),
    { level: 'warn', event: 'login_failed', code: 'state_unknown' },
  ],
  [
    'callback_timeout',
    ({ logins }) => logins.loginExpired('codex'),
    { level: 'warn', code: 'callback_timeout', credential: 'codex' },
  ],
  [
    'an exchange that succeeded, with the account and the expiry',
    ({ logins }) => logins.loginSucceeded('codex', visitor, { id: 'a1', email: 'a@b.test' }, 1_800_000_060_000),
    { level: 'info', event: 'login_succeeded', account: { id: 'a1' }, expiresAt: '2027-01-15T08:01:00.000Z' },
  ],
  [
    'code_rejected, the exchange that failed',
    ({ logins }) => logins.loginFailed(new SidebearerError('code_rejected', { status: 400 }), visitor, 'codex'),
    { level: 'warn', code: 'code_rejected', credential: 'codex', status: 400 },
  ],
  [
    'a refresh that succeeded, with the new expiry',
    ({ credentials }) =>
      credentials.refreshEnded('codex', { ...common, outcome: 'refreshed', expiresAtMs: 1_800_000_060_000 }),
    { level: 'info', outcome: 'refreshed', credential: 'codex', expiresAt: '2027-01-15T08:01:00.000Z' },
  ],
  [
    'token_endpoint_failing, with the next attempt',
    ({ credentials }) =>
      credentials.refreshEnded('codex', {
        ...common,
        outcome: 'failed',
        error: failing,
        nextAttemptAtMs: 1_800_000_300_000,
      }),
    { level: 'warn', code: 'token_endpoint_failing', status: 503, nextAttemptAt: '2027-01-15T08:05:00.000Z' },
  ],
  [
    'grant_revoked, a credential that is dead',
    ({ credentials }) => credentials.refreshEnded('codex', { ...common, outcome: 'failed', error: dead }),
    { level: 'error', code: 'grant_revoked', providerCode: 'invalid_grant', next: 'Log in again.' },
  ],
  [
    'breaker_open',
    ({ credentials }) => credentials.breakerChanged('https://idp.test/token', 'direct', 'open'),
    { level: 'warn', code: 'breaker_open', endpoint: 'https://idp.test/token', egress: 'direct' },
  ],
  [
    'store_write_failed',
    ({ credentials }) =>
      credentials.failed(new SidebearerError('store_write_failed', { systemCode: 'ENOSPC' }), 'codex'),
    { level: 'warn', code: 'store_write_failed', credential: 'codex', systemCode: 'ENOSPC' },
  ],
  [
    'a token that is not durable',
    ({ credentials }) => credentials.dirtyChanged('codex', true),
    { level: 'warn', code: 'store_write_failed', credential: 'codex' },
  ],
  [
    'access_token_refused',
    ({ credentials }) => credentials.failed(new SidebearerError('access_token_refused'), 'codex'),
    { level: 'warn', code: 'access_token_refused', credential: 'codex' },
  ],
  [
    'upstream_unreachable',
    ({ proxy }) => proxy.requestEnded(ended),
    { level: 'warn', code: 'upstream_unreachable', route: 'api', systemCode: 'ECONNREFUSED', answered: 502 },
  ],
  [
    'request_malformed, bytes that are no request',
    ({ proxy }) => proxy.failed(new SidebearerError('request_malformed')),
    { level: 'warn', code: 'request_malformed' },
  ],
  [
    'host_forbidden',
    ({ logins }) => logins.refused(new SidebearerError('host_forbidden'), visitor),
    { level: 'warn', code: 'host_forbidden', visitor: '127.0.0.1' },
  ],
  [
    'internal_error at error, wherever it comes from',
    ({ proxy }) => proxy.failed(new SidebearerError('internal_error', {}, new TypeError('x'))),
    { level: 'error', code: 'internal_error', kind: 'TypeError' },
  ],
];

for (const [name, tell, expected] of told) {
  t.test(`${name} is one line at info or above`, async (t) => {
    const telemetry = await createTestTelemetry({ level: 'info' });
    tell(telemetry);
    // The audit trail is a log of its own in the same stream.
    const [line = {}, ...others] = telemetry.lines.filter(({ event }) => event !== 'audit');
    t.strictSame(others, []);
    t.match(line, { level: atInfoOrAbove });
    t.match(line, expected);
    if ('code' in line) t.type(line['next'], 'string', 'it says what to do next');
  });
}

t.test('a 401 that a refresh may cure is no failure: told at debug, counted nowhere', async (t) => {
  const telemetry = await createTestTelemetry({ level: 'debug' });
  telemetry.credentials.tokenRefused('codex');
  t.match(telemetry.lines, [{ level: 'debug', event: 'token_refused', credential: 'codex' }]);
  const samples = (await telemetry.scrape()).get('sidebearer_errors_total')?.samples ?? [];
  t.strictSame(
    samples.filter(({ value }) => value > 0),
    [],
  );
});

t.test('each failure is counted once under its code', async (t) => {
  for (const [, tell, expected] of told) {
    const telemetry = await createTestTelemetry();
    tell(telemetry);
    const samples = (await telemetry.scrape()).get('sidebearer_errors_total')?.samples ?? [];
    const counted = samples.filter(({ value }) => value > 0).map(({ labels, value }) => [labels['code'], value]);
    // An open breaker and a dirty token are states: their failures were counted as they came.
    const isState =
      expected['code'] === 'breaker_open' || (expected['code'] === 'store_write_failed' && !expected['systemCode']);
    t.strictSame(counted, expected['code'] === undefined || isState ? [] : [[expected['code'], 1]]);
  }
});

t.test('a breaker is told when it moves: open, half open, closed; not when it is announced closed', async (t) => {
  const telemetry = await createTestTelemetry({ level: 'info' });
  for (const state of ['closed', 'open', 'open', 'half_open', 'closed'] as const) {
    telemetry.credentials.breakerChanged('https://idp.test/token', 'direct', state);
  }
  telemetry.credentials.breakerChanged('https://other.test/token', 'direct', 'closed');
  t.strictSame(
    telemetry.lines.map(({ level, breaker }) => [level, breaker]),
    [
      ['warn', 'open'],
      ['info', 'half_open'],
      ['info', 'closed'],
    ],
  );
});

t.test('the same failure on each request is one line at once and one each 10 s, every one counted', async (t) => {
  const telemetry = await createTestTelemetry();
  const { proxy, clock } = telemetry;
  for (let i = 0; i < 500; i += 1) proxy.requestEnded(ended);
  t.equal(telemetry.lines.length, 1);
  t.notOk('suppressed' in (telemetry.lines[0] ?? {}));
  await clock.advance(10_000);
  proxy.requestEnded(ended);
  t.match(telemetry.lines[1], { code: 'upstream_unreachable', suppressed: 499 });
  proxy.requestEnded({ ...ended, route: undefined });
  proxy.requestEnded({ ...ended, error: new SidebearerError('upstream_timeout') });
  t.equal(telemetry.lines.length, 4, 'another route and another code are not held back');
  const families = await telemetry.scrape();
  t.equal(seriesValue(families, 'sidebearer_errors_total', { layer: 'proxy', code: 'upstream_unreachable' }), 502);
});

t.test('a stranger who sends unknown states does not hide the failure of a login that was started', async (t) => {
  const telemetry = await createTestTelemetry({ level: 'info' });
  for (let i = 0; i < 100; i += 1) telemetry.logins.loginFailed(new SidebearerError('state_unknown'), visitor);
  for (let i = 0; i < 3; i += 1) telemetry.logins.loginFailed(new SidebearerError('code_rejected'), visitor, 'codex');
  t.strictSame(
    telemetry.lines.filter(({ event }) => event !== 'audit').map(({ code }) => code),
    ['state_unknown', 'code_rejected', 'code_rejected', 'code_rejected'],
  );
});

t.test('requests are logged only where the access log is asked for, without path or query', async (t) => {
  const request: RequestEnd = {
    route: 'api',
    method: 'POST',
    status: 200,
    aborted: false,
    durationMs: 12.3456,
    upstreamTtfbMs: 3.00049,
  };
  const quiet = await createTestTelemetry({ level: 'info' });
  quiet.proxy.requestEnded(request);
  t.equal(quiet.lines.length, 0);
  const loud = await createTestTelemetry({ level: 'info', accessLog: true });
  loud.proxy.requestEnded(request);
  loud.proxy.requestEnded({ ...request, status: 0, aborted: true });
  t.equal(loud.lines.length, 2);
  t.match(loud.lines[0], { route: 'api', method: 'POST', answered: 200, durationMs: 12.346, ttfbMs: 3 });
  t.match(loud.lines[1], { aborted: true, answered: 0 });
  const silenced = await createTestTelemetry({ level: 'warn', accessLog: true });
  silenced.proxy.requestEnded(request);
  t.equal(silenced.lines.length, 0);
});

t.test('no secret of a cause, a reason or a visitor reaches a line', async (t) => {
  const secret = 'S3cr3t-value_0';
  const telemetry = await createTestTelemetry({ level: 'trace', accessLog: true });
  const cause = Object.assign(new Error(`POST /token?code=${secret}`), {
    code: secret,
    body: { refresh_token: secret },
    cause: new Error(secret),
  });
  const error = new SidebearerError('exchange_failed', { credential: 'codex', reason: `Bearer ${secret}` }, cause);
  const { credentials, proxy, logins, listeners } = telemetry;
  credentials.failed(error, 'codex');
  credentials.refreshEnded('codex', { ...common, outcome: 'failed', error });
  proxy.requestEnded({ ...ended, error });
  proxy.failed(error);
  logins.loginFailed(error, { address: '::1', userAgent: `x?code=${secret}` }, 'codex');
  logins.refused(error, visitor);
  listeners.failed('oauth', error);
  t.ok(telemetry.lines.length >= 7);
  t.notMatch(telemetry.text(), secret);
  t.notMatch((await telemetry.metrics.expose()).body, secret);
});

t.test(
  'the audit trail: who, what, which credential, and what came of it, one line at info for each act',
  async (t) => {
    const telemetry = await createTestTelemetry({ level: 'info' });
    const { logins } = telemetry;
    logins.administered({ action: 'refresh', credential: 'codex', outcome: 'refreshed' }, visitor);
    logins.administered({ action: 'logout', credential: 'codex', outcome: 'revocation_failed' }, visitor);
    logins.loginStarted('codex', visitor);
    logins.loginSucceeded('codex', visitor, { id: 'a1', email: 'a@b.test' }, undefined);
    logins.loginFailed(new SidebearerError('code_rejected', { status: 400 }), visitor, 'codex');
    // Anyone can send a state that nobody knows: that is no act on a credential.
    logins.loginFailed(new SidebearerError('state_unknown'), visitor);
    const trail = telemetry.lines.filter(({ event }) => event === 'audit');
    t.strictSame(
      trail.map(({ action, outcome }) => [action, outcome]),
      [
        ['refresh', 'refreshed'],
        ['logout', 'revocation_failed'],
        ['login_start', 'started'],
        ['login', 'succeeded'],
        ['login', 'code_rejected'],
      ],
    );
    for (const line of trail) {
      t.match(line, {
        level: 'info',
        credential: 'codex',
        visitor: visitor.address,
        userAgent: visitor.userAgent,
      });
    }
  },
);

t.test('a user agent without end is cut', async (t) => {
  const telemetry = await createTestTelemetry();
  telemetry.logins.loginStarted('codex', { address: '::1', userAgent: 'x'.repeat(10_000) });
  for (const line of telemetry.lines) t.ok(JSON.stringify(line).length < 600);
});

t.test('a login on another device is counted under its own grant', async (t) => {
  const telemetry = await createTestTelemetry();
  const { logins } = telemetry;
  logins.loginSucceeded('codex', visitor, undefined, undefined, 'device_code');
  logins.loginFailed(new SidebearerError('exchange_failed', { status: 403 }), visitor, 'codex', 'device_code');
  logins.loginFailed(new SidebearerError('device_denied'), visitor, 'codex', 'device_code');
  const families = await telemetry.scrape();
  const calls = (grant: string, result: string): number | undefined =>
    seriesValue(families, 'sidebearer_token_requests_total', { credential: 'codex', grant, result });
  t.equal(calls('device_code', '2xx'), 1);
  t.equal(calls('device_code', '4xx'), 1);
  t.equal(calls('authorization_code', '2xx'), undefined);
  for (const outcome of ['succeeded', 'exchange_failed', 'device_denied']) {
    t.equal(seriesValue(families, 'sidebearer_logins_total', { credential: 'codex', outcome }), 1, outcome);
  }
});
