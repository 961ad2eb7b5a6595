// Logins as JSON: what another console is told at each step, that a handle is wanted for every one of them, and that a
// cancel wins until the tokens are being stored.
import t, { type Test } from 'tap';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { TokenAnswer } from '../../src/providers/provider.ts';
import {
  ask,
  beginLogin,
  comeBack,
  createFakeCredential,
  type FakeCredential,
  type Port,
  type Reply,
  startPort,
  tokenAnswer,
} from './_fakes.ts';
import { deviation, operations } from './_openapi.ts';

interface Started {
  readonly id: string;
  readonly handle: string;
  readonly url: string;
  readonly state: string;
}

/** A console with one credential: every answer it gets is held against docs/openapi.json. */
async function createConsole(t: Test, credential: FakeCredential = createFakeCredential()) {
  const opened: Port = await startPort(t, [credential]);
  const { port } = opened;
  const send = async (operation: string, path: string, handle?: string, body?: unknown): Promise<Reply> => {
    const [method = ''] = operation.split(' ');
    const headers = {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(handle !== undefined && { 'login-handle': handle }),
    };
    const reply = await ask(port, path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    t.equal(deviation(operation, reply), undefined, 'as documented');
    return reply;
  };
  return {
    ...opened,
    credential,
    begin: (body: unknown = { credential: 'codex' }) => send('POST /api/logins', '/api/logins', undefined, body),
    async started(more: Record<string, unknown> = {}): Promise<Started> {
      const reply = await send('POST /api/logins', '/api/logins', undefined, { credential: 'codex', ...more });
      const body = JSON.parse(reply.body);
      return { ...body, state: new URL(body.url).searchParams.get('state') ?? '' };
    },
    show: (id: string, handle?: string) => send('GET /api/logins/{id}', `/api/logins/${id}`, handle),
    cancel: (id: string, handle?: string) => send('DELETE /api/logins/{id}', `/api/logins/${id}`, handle),
    complete: (id: string, handle: string | undefined, pasted: string) =>
      send('POST /api/logins/{id}/complete', `/api/logins/${id}/complete`, handle, { pasted }),
  };
}

const codeIn = (reply: Reply): string => JSON.parse(reply.body).code;

/** An exchange that ends when the test says so. */
function heldExchange(credential: FakeCredential) {
  let answer: (tokens: TokenAnswer) => void = () => undefined;
  let begun: () => void = () => undefined;
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  credential.behaviour.exchange = () => {
    begun();
    return new Promise((resolve) => {
      answer = resolve;
    });
  };
  return { hasBegun, end: () => answer(tokenAnswer()) };
}

t.test('a login that is started, looked at and completed by paste', async (t) => {
  const { begin, show, complete, credential, events } = await createConsole(t);
  const reply = await begin();
  t.equal(reply.status, 201);
  const { id, handle, url, redirectUri, status, expiresAtMs } = JSON.parse(reply.body);
  t.match({ url, redirectUri, status }, { url: /^https:\/\/idp\.example\/authorize/, status: 'pending' });
  t.equal(reply.headers.location, `/api/logins/${id}`);
  t.ok(Buffer.from(handle, 'base64url').length === 32);
  const state = new URL(url).searchParams.get('state');

  t.strictSame(JSON.parse((await show(id, handle)).body), { id, credential: 'codex', status: 'pending', expiresAtMs });
  const done = await complete(id, handle, `${redirectUri}?code=c-1&state=${state}`);
  t.match(JSON.parse(done.body), { id, status: 'succeeded', credential: { name: 'codex', state: 'fresh' } });
  t.equal(credential.accepted.length, 1);
  t.match(JSON.parse((await show(id, handle)).body), { status: 'succeeded' });
  t.strictSame(events, ['started codex', 'succeeded codex']);
  t.notMatch(done.body, /SECRET/);
});

t.test('a failed login tells its code, to whoever pasted and to whoever asks later', async (t) => {
  const credential = createFakeCredential();
  credential.behaviour.exchange = async () => {
    throw new SidebearerError('code_rejected', { providerCode: 'invalid_grant', status: 400 });
  };
  const { started, show, complete } = await createConsole(t, credential);
  const { id, handle, state } = await started();
  const reply = await complete(id, handle, `c-1#${state}`);
  t.match(reply, { status: 502, headers: { 'content-type': 'application/problem+json' } });
  t.match(JSON.parse(reply.body), { code: 'code_rejected', provider_code: 'invalid_grant' });
  t.match(JSON.parse((await show(id, handle)).body), { status: 'failed', code: 'code_rejected' });
});

t.test('another account is 409 `account_differs`, unless it was said at the start that it may replace', async (t) => {
  const credential = createFakeCredential();
  credential.behaviour.accept = async () => {
    throw new SidebearerError('account_differs', { credential: 'codex' });
  };
  const { started, complete } = await createConsole(t, credential);
  const first = await started();
  t.equal((await complete(first.id, first.handle, `c#${first.state}`)).status, 409);
  credential.behaviour.accept = async () => undefined;
  const second = await started({ replace: true });
  t.equal((await complete(second.id, second.handle, `c#${second.state}`)).status, 200);
  t.equal(credential.accepted[0]?.replaceAccount, true);
});

t.test('without its handle, or with another login’s, a login is neither shown, completed nor cancelled', async (t) => {
  const { started, show, complete, cancel, credential } = await createConsole(t);
  const [mine, others] = [await started(), await started()];
  for (const [handle, status, code] of [
    [undefined, 401, 'login_handle_missing'],
    ['', 403, 'login_handle_wrong'],
    [others.handle, 403, 'login_handle_wrong'],
    [mine.handle.slice(1), 403, 'login_handle_wrong'],
  ] as const) {
    for (const reply of [
      await show(mine.id, handle),
      await cancel(mine.id, handle),
      await complete(mine.id, handle, `c#${mine.state}`),
    ]) {
      t.equal(reply.status, status);
      t.equal(codeIn(reply), code);
    }
  }
  t.equal(credential.exchanges.length, 0);
  t.equal((await complete(mine.id, mine.handle, `c#${mine.state}`)).status, 200, 'and nothing was lost by it');
  t.equal((await show(mine.id, others.handle)).status, 403, 'nor afterwards');
});

t.test('a paste of another login, of nothing, or without a state loses nothing', async (t) => {
  const { started, complete } = await createConsole(t);
  const [mine, others] = [await started(), await started()];
  for (const [pasted, code] of [
    [`c#${others.state}`, 'state_unknown'],
    ['c#invented', 'state_unknown'],
    ['?code=c', 'state_missing'],
    [`?code=c&state=${mine.state}&state=${mine.state}`, 'state_unknown'],
    ['http://localhost:1455/oauth/callback', 'paste_not_understood'],
    ['', 'paste_not_understood'],
  ] as const) {
    const reply = await complete(mine.id, mine.handle, pasted);
    t.equal(reply.status, 400, pasted);
    t.equal(codeIn(reply), code, pasted);
  }
  t.equal((await complete(mine.id, mine.handle, `c#${mine.state}`)).status, 200);
  t.equal((await complete(others.id, others.handle, `c#${others.state}`)).status, 200);
});

t.test('a login that is cancelled is over: its callback and its paste come too late', async (t) => {
  const { port, started, show, cancel, complete, events, credential } = await createConsole(t);
  const { id, handle, state } = await started();
  t.match(JSON.parse((await cancel(id, handle)).body), { status: 'failed', code: 'login_cancelled' });
  t.match(JSON.parse((await show(id, handle)).body), { status: 'failed', code: 'login_cancelled' });
  t.equal(codeIn(await complete(id, handle, `c#${state}`)), 'state_used');
  t.equal((await comeBack(port, { code: 'c', state }, `sidebearer-login-${id.slice(0, 32)}=${handle}`)).status, 400);
  t.equal((await cancel(id, handle)).status, 200, 'to cancel twice does no harm');
  t.equal(credential.exchanges.length, 0);
  t.strictSame(events.slice(0, 3), [
    'started codex',
    'failed login_cancelled codex',
    'audit login_cancel codex cancelled',
  ]);
});

t.test('a cancel wins during the exchange: the tokens are not kept', async (t) => {
  const credential = createFakeCredential();
  const exchange = heldExchange(credential);
  const { started, show, cancel, complete, events } = await createConsole(t, credential);
  const { id, handle, state } = await started();
  const completed = complete(id, handle, `c#${state}`);
  await exchange.hasBegun;
  t.match(JSON.parse((await show(id, handle)).body), { status: 'pending' });
  t.equal((await cancel(id, handle)).status, 200);
  t.match(JSON.parse((await show(id, handle)).body), { status: 'failed', code: 'login_cancelled' });
  exchange.end();
  t.equal(codeIn(await completed), 'login_cancelled');
  t.equal(credential.accepted.length, 0);
  t.strictSame(events, ['started codex', 'audit login_cancel codex cancelled', 'failed login_cancelled codex']);
});

t.test('a cancel while the tokens are being stored is too late, and says so when they are', async (t) => {
  const credential = createFakeCredential();
  let store: () => void = () => undefined;
  const storing = new Promise<void>((begun) => {
    credential.behaviour.accept = () => {
      begun();
      return new Promise((resolve) => {
        store = resolve;
      });
    };
  });
  const { started, show, cancel, complete } = await createConsole(t, credential);
  const { id, handle, state } = await started();
  const completed = complete(id, handle, `c#${state}`);
  await storing;
  const cancelled = cancel(id, handle);
  // Answered after the cancel was read, so the cancel waits by now.
  await show(id, handle);
  store();
  t.equal((await completed).status, 200);
  t.equal(codeIn(await cancelled), 'state_used');
  t.match(JSON.parse((await show(id, handle)).body), { status: 'succeeded' });
});

t.test('a callback that is just about to take the login loses against the cancel', async (t) => {
  const { port, store, started, cancel, show, credential } = await createConsole(t);
  const { id, handle, state } = await started();
  const take = store.logins.take.bind(store.logins);
  let go: () => void = () => undefined;
  const taking = new Promise<void>((begun) => {
    store.logins.take = async (name) => {
      store.logins.take = take;
      begun();
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      return take(name);
    };
  });
  const back = comeBack(port, { code: 'c', state }, `sidebearer-login-${id.slice(0, 32)}=${handle}`);
  await taking;
  t.equal((await cancel(id, handle)).status, 200);
  go();
  t.equal((await back).status, 400);
  t.equal(credential.exchanges.length, 0);
  t.match(JSON.parse((await show(id, handle)).body), { status: 'failed', code: 'login_cancelled' });
});

t.test('a store that cannot be asked leaves the login as it was', async (t) => {
  const { store, started, complete, show } = await createConsole(t);
  const { id, handle, state } = await started();
  const take = store.logins.take.bind(store.logins);
  store.logins.take = () => Promise.reject(new SidebearerError('store_unavailable'));
  t.equal(codeIn(await complete(id, handle, `c#${state}`)), 'store_unavailable');
  store.logins.take = take;
  t.match(JSON.parse((await show(id, handle)).body), { status: 'pending' });
  t.equal((await complete(id, handle, `c#${state}`)).status, 200);
});

t.test('a login that another replica finished, one that ran out, and one that never was, are told apart', async (t) => {
  const { store, clock, started, show, cancel } = await createConsole(t);
  const [finished, late] = [await started(), await started()];
  await store.logins.take(finished.id);
  t.equal(codeIn(await show(finished.id, finished.handle)), 'state_used');
  t.equal(codeIn(await cancel(finished.id, finished.handle)), 'state_used');
  await clock.advance(30 * 60_000);
  t.equal(codeIn(await show(late.id, late.handle)), 'state_expired');
  t.equal(codeIn(await show('0'.repeat(64), late.handle)), 'state_unknown');
});

t.test('the end of a login that a browser started is told as well, and forgotten in the end', async (t) => {
  const { port, clock, store, show, started, complete } = await createConsole(t);
  const { state, cookie } = await beginLogin(port);
  const [name = '', handle = ''] = cookie.split('=');
  t.equal((await comeBack(port, { code: 'c', state }, cookie)).status, 200);
  const { createHash } = await import('node:crypto');
  const id = createHash('sha256').update(state).digest('hex');
  t.ok(id.startsWith(name.replace('sidebearer-login-', '')));
  t.match(JSON.parse((await show(id, handle)).body), { status: 'succeeded' });
  await clock.advance(61 * 60_000);
  const next = await started();
  t.equal((await complete(next.id, next.handle, `c#${next.state}`)).status, 200);
  t.match((await store.logins.find(id)).status, /unknown|used/);
  t.equal((await show(id, handle)).status, 400);
});

t.test('a start that cannot be: unknown credential, no login, provider away, too many', async (t) => {
  const credential = createFakeCredential();
  const { begin, started, events } = await createConsole(t, credential);
  t.equal(codeIn(await begin({ credential: 'other' })), 'credential_unknown');
  t.equal(codeIn(await begin({})), 'admin_request_malformed');
  credential.behaviour.authorizationUrl = async () => {
    throw new SidebearerError('provider_unreachable');
  };
  t.equal(codeIn(await begin()), 'provider_unreachable');
  t.equal(events.at(-1), 'failed provider_unreachable codex');
  credential.behaviour.authorizationUrl = async (state) => new URL(`https://idp.example/?state=${state}`);
  for (let pending = 0; pending < 16; pending += 1) await started();
  const limited = await begin();
  t.match(limited, { status: 503 });
  t.equal(codeIn(limited), 'logins_pending_limit');

  const machine = createFakeCredential('machine', { hasLogin: false });
  const { begin: beginMachine } = await createConsole(t, machine);
  const refused = await beginMachine({ credential: 'machine' });
  t.equal(refused.status, 409);
  t.equal(codeIn(refused), 'login_unsupported');
});

t.test('paths and methods: only what is documented, and failures are JSON whatever Accept says', async (t) => {
  const { port } = await createConsole(t);
  const id = 'a'.repeat(64);
  for (const path of [
    `/api/logins/${id}/`,
    `/api/logins/${id.toUpperCase()}`,
    '/api/logins/1',
    '/api/',
    '/api/logins/',
  ]) {
    const reply = await ask(port, path, { headers: { accept: 'text/html' } });
    t.match(reply, { status: 404, headers: { 'content-type': 'application/problem+json' } }, path);
  }
  for (const [method, path, allow] of [
    ['GET', '/api/logins', 'POST'],
    ['POST', `/api/logins/${id}`, 'GET, HEAD, DELETE'],
    ['GET', `/api/logins/${id}/complete`, 'POST'],
    ['DELETE', `/api/logins/${id}/complete`, 'POST'],
    ['DELETE', '/status.json', 'GET, HEAD'],
  ] as const) {
    t.match(await ask(port, path, { method }), { status: 405, headers: { allow } }, `${method} ${path}`);
  }
  for (const operation of operations) {
    const [method = '', path = ''] = operation.split(' ');
    const { status } = await ask(port, path.replace('{id}', id), { method });
    t.ok(status !== 404 && status !== 405, `${operation} is served`);
  }
});

t.test('a page elsewhere can neither start, complete nor cancel', async (t) => {
  const { port, started, credential } = await createConsole(t);
  const { id, handle, state } = await started();
  const origin = 'http://evil.test';
  for (const [method, path, body] of [
    ['POST', '/api/logins', '{"credential":"codex"}'],
    ['POST', `/api/logins/${id}/complete`, JSON.stringify({ pasted: `c#${state}` })],
    ['DELETE', `/api/logins/${id}`, ''],
  ] as const) {
    const headers = { origin, 'content-type': 'application/json', 'login-handle': handle };
    t.equal((await ask(port, path, { method, headers, body })).status, 403);
  }
  t.equal(credential.exchanges.length, 0);
  t.equal(credential.requested.length, 1);
});
