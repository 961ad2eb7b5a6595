// Orders over sockets: what programs and forms are answered, that it is as documented, and what the audit log gets.
import t from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { ask, createFakeCredential, credentialStatus, type FakeCredential, type Reply, startPort } from './_fakes.ts';
import { deviation } from './_openapi.ts';

const actions = ['refresh', 'resume', 'logout'] as const;

function order(port: number, action: string, body: unknown = { credential: 'codex' }): Promise<Reply> {
  const headers = { 'content-type': 'application/json' };
  return ask(port, `/oauth/${action}`, { method: 'POST', headers, body: JSON.stringify(body) });
}

function orderByForm(port: number, action: string, fields: Record<string, string> = { credential: 'codex' }) {
  const headers = { origin: `http://localhost:${port}`, 'content-type': 'application/x-www-form-urlencoded' };
  return ask(port, `/oauth/${action}`, { method: 'POST', headers, body: new URLSearchParams(fields).toString() });
}

const failed = (code: 'grant_expired' | 'breaker_open' | 'store_write_failed' | 'login_unsupported') => () => {
  throw new SidebearerError(code, { credential: 'codex', ...(code === 'breaker_open' && { retryAfterMs: 1_500 }) });
};

/** One line a case: the action, what the credential does, and what comes of it for a program and for a form. */
const cases: readonly [string, (typeof actions)[number], Partial<FakeCredential['behaviour']>, number, string][] = [
  ['a refresh', 'refresh', {}, 200, 'refreshed'],
  ['one adopted', 'refresh', { refresh: async () => 'adopted' }, 200, 'adopted'],
  ['one superseded', 'refresh', { refresh: async () => 'superseded' }, 200, 'superseded'],
  ['a dead grant', 'refresh', { refresh: async () => failed('grant_expired')() }, 503, 'grant_expired'],
  ['an open breaker', 'refresh', { refresh: async () => failed('breaker_open')() }, 503, 'breaker_open'],
  ['a resume', 'resume', {}, 200, 'resumed'],
  ['no pause', 'resume', { resume: () => [] }, 200, 'not_paused'],
  ['a dead one', 'resume', { resume: failed('grant_expired') }, 503, 'grant_expired'],
  ['a logout', 'logout', {}, 200, 'logged_out'],
  ['no revocation', 'logout', { logout: async () => ({ outcome: 'unsupported' }) }, 200, 'logged_out_here'],
  ['no token', 'logout', { logout: async () => ({ outcome: 'unneeded' }) }, 200, 'nothing_to_log_out'],
  ['a store', 'logout', { logout: async () => failed('store_write_failed')() }, 500, 'store_write_failed'],
  ['no login', 'logout', { logout: async () => failed('login_unsupported')() }, 409, 'login_unsupported'],
];

t.test('rekey tells of each record, as documented, and each is an act for the audit log', async (t) => {
  const unopenable = new SidebearerError('record_unopenable', { credential: 'left-behind' });
  const { port, events } = await startPort(t, [createFakeCredential()], {
    async *rekey() {
      yield { credential: 'codex', result: 'resealed' };
      yield { credential: 'left-behind', result: unopenable };
    },
  });
  const reply = await order(port, 'rekey', {});
  t.equal(reply.status, 200);
  t.equal(deviation('POST /oauth/rekey', reply), undefined);
  t.match(JSON.parse(reply.body), {
    credentials: [
      { credential: 'codex', result: 'resealed' },
      { credential: 'left-behind', code: 'record_unopenable', next: unopenable.next },
    ],
  });
  t.strictSame(events, ['audit rekey codex resealed', 'audit rekey left-behind record_unopenable']);
});

for (const [name, action, behaviour, status, word] of cases) {
  t.test(`${action}, ${name}: ${status} \`${word}\`, as JSON, as a form's redirect and in the audit log`, async (t) => {
    const credential = createFakeCredential();
    Object.assign(credential.behaviour, behaviour);
    const { port, events } = await startPort(t, [credential]);
    const reply = await order(port, action);
    t.equal(reply.status, status);
    const body = JSON.parse(reply.body);
    t.equal(status === 200 ? body.result : body.code, word);
    t.equal(deviation(`POST /oauth/${action}`, reply), undefined);
    const form = await orderByForm(port, action);
    t.match(form, { status: 303, headers: { location: `/?credential=codex&result=${word}` } });
    t.strictSame(events, Array(2).fill(`audit ${action} codex ${word}`));
  });
}

t.test('a logout that could not be revoked is done, with the warning `revocation_failed`', async (t) => {
  const credential = createFakeCredential();
  const error = new SidebearerError('revocation_failed', { credential: 'codex' });
  credential.behaviour.logout = async () => ({ outcome: 'failed', error });
  const { port, events } = await startPort(t, [credential]);
  const reply = await order(port, 'logout');
  t.match(JSON.parse(reply.body), {
    result: 'logged_out_here',
    revocation: 'failed',
    warning: { code: 'revocation_failed' },
  });
  t.equal(deviation('POST /oauth/logout', reply), undefined);
  t.match((await orderByForm(port, 'logout')).headers, { location: '/?credential=codex&result=revocation_failed' });
  t.strictSame(events, Array(2).fill('audit logout codex revocation_failed'));
});

t.test('a program that comes back too early is told when', async (t) => {
  const credential = createFakeCredential();
  credential.behaviour.refresh = async () => failed('breaker_open')();
  const { port } = await startPort(t, [credential]);
  t.equal((await order(port, 'refresh')).headers['retry-after'], '2');
});

t.test('a form is answered after 15 s with `refreshing`, and the refresh goes on', async (t) => {
  const credential = createFakeCredential();
  let fail: (error: Error) => void = () => undefined;
  const asked = new Promise<void>((resolve) => {
    credential.behaviour.refresh = () => {
      resolve();
      return new Promise((_, reject) => {
        fail = reject;
      });
    };
  });
  const { port, clock } = await startPort(t, [credential]);
  const reply = orderByForm(port, 'refresh');
  await asked;
  await clock.advance(15_000);
  t.match(await reply, { status: 303, headers: { location: '/?credential=codex&result=refreshing' } });
  fail(new SidebearerError('grant_expired'));
});

t.test('what is malformed, unknown or too large is told before anything is done', async (t) => {
  const credential = createFakeCredential();
  const { port, events } = await startPort(t, [credential]);
  for (const action of actions) {
    for (const [body, status, code] of [
      [{}, 400, 'admin_request_malformed'],
      [[], 400, 'admin_request_malformed'],
      [{ credential: 7 }, 400, 'admin_request_malformed'],
      [{ credential: 'other' }, 404, 'credential_unknown'],
      [{ credential: 'x'.repeat(20_000) }, 413, 'admin_request_too_large'],
    ] as const) {
      const reply = await order(port, action, body);
      t.equal(reply.status, status);
      t.equal(JSON.parse(reply.body).code, code);
      t.equal(deviation(`POST /oauth/${action}`, reply), undefined);
      t.equal(events.pop(), `refused ${code}`);
    }
    t.match(await ask(port, `/oauth/${action}`), { status: 405, headers: { allow: 'POST' } });
  }
  t.strictSame(events.length, actions.length, 'nothing was audited, as nothing was done');
});

t.test('an order from another page, under another name, or by a form without Origin is 403', async (t) => {
  const credential = createFakeCredential();
  let acts = 0;
  credential.behaviour.logout = async () => {
    acts += 1;
    return { outcome: 'revoked' };
  };
  const { port } = await startPort(t, [credential]);
  const form = 'application/x-www-form-urlencoded';
  const json = 'application/json';
  for (const [headers, body] of [
    [{ origin: 'http://evil.test', 'content-type': form }, 'credential=codex'],
    [{ origin: 'null', 'content-type': form }, 'credential=codex'],
    [{ origin: 'http://evil.test', 'content-type': json }, '{"credential":"codex"}'],
    [{ 'content-type': form }, 'credential=codex'],
    [{ 'content-type': 'text/plain' }, '{"credential":"codex"}'],
    [{ host: `evil.test:${port}`, 'content-type': json }, '{"credential":"codex"}'],
    [{ host: `evil.test:${port}`, origin: `http://evil.test:${port}`, 'content-type': form }, 'credential=codex'],
  ] as const) {
    const reply = await ask(port, '/oauth/logout', { method: 'POST', headers, body });
    t.equal(reply.status, 403, JSON.stringify(headers));
  }
  t.equal(acts, 0);
});

t.test('the status that comes with an answer holds no secret', async (t) => {
  const credential = createFakeCredential();
  credential.behaviour.status = () =>
    credentialStatus({
      account: { email: 'ada@example.test' },
      lastError: { code: 'grant_expired', atMs: 1, next: 'Log in again.', providerCode: 'x' },
      expiresAtMs: 2,
    });
  const { port } = await startPort(t, [credential]);
  const reply = await order(port, 'refresh');
  t.equal(deviation('POST /oauth/refresh', reply), undefined);
  t.equal(deviation('GET /status.json', await ask(port, '/status.json')), undefined);
  t.notMatch(reply.body, /SECRET/);
});
