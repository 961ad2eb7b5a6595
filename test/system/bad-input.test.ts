// What is sent to the running program wrongly, by mistake or on purpose: each is answered with its own code and status,
// is counted, and changes nothing.
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { catalogue, type ErrorCode } from '../../src/errors/catalogue.ts';
import { type Browser, clickThrough, createBrowser } from '../demo/_login.ts';
import { startLogin } from './_login.ts';
import { runProgram } from './_process.ts';
import { callEcho, createWorld, metric } from './_world.ts';

const world = await createWorld({ tokenSeconds: 60 });
const { oauthUrl } = world;
const program = await runProgram(
  world
    .config({ end: 'limits: { headerBytes: 8KiB, headerCount: 100, headerTimeout: 500ms }' })
    .replace('  - name: echo', '  - name: echo\n    path: /api'),
);
t.teardown(async () => {
  await program.end('SIGKILL');
  await world.close();
});

const counted = async (code: ErrorCode): Promise<number> => {
  const series = `sidebearer_errors_total{layer="${catalogue[code].layer}",code="${code}"}`;
  const value = await metric(program.telemetryUrl, series);
  if (value === undefined) throw new Error(`there is no ${series}`);
  return value;
};
const status = async (): Promise<CredentialStatus | undefined> => {
  const { credentials } = (await (await fetch(`${oauthUrl}/status.json`)).json()) as {
    credentials: CredentialStatus[];
  };
  return credentials[0];
};

/** A login up to the provider's answer: where the browser would go now. */
async function comeBack(choice: 'continue' | 'deny' = 'continue'): Promise<{ browser: Browser; callback: URL }> {
  const browser = createBrowser();
  const callback = await clickThrough(browser, await startLogin(browser, oauthUrl, 'demo'), choice);
  return { browser, callback };
}

function changed(url: URL, change: (parameters: URLSearchParams) => void): string {
  const copy = new URL(url);
  change(copy.searchParams);
  return copy.href;
}

// --- the callback ---------------------------------------------------------------------------------------------------

/** Asks as a browser and as a program; each is answered with the code, its status, and counted. */
async function assertRefused(
  t: Test,
  code: ErrorCode,
  ask: (accept: string) => Promise<Response>,
  accepts: readonly string[] = ['text/html', 'application/json'],
): Promise<void> {
  const { status: expected, next } = catalogue[code];
  for (const accept of accepts) {
    const before = await counted(code);
    const response = await ask(accept);
    const text = await response.text();
    t.equal(response.status, expected, `${code} for ${accept}`);
    if (accept === 'text/html') {
      t.ok(text.includes(`<code>${code}</code>`), `${code} stands on the page`);
      t.match(response.headers.get('content-type'), /^text\/html/);
    } else {
      t.match(JSON.parse(text), { code, status: expected, next });
      t.match(response.headers.get('content-type'), /^application\/problem\+json/);
    }
    t.equal(await counted(code), before + 1, `${code} is counted`);
  }
  t.ok(
    program.lines.some((line) => line.code === code),
    `${code} is logged`,
  );
}

t.test(
  'a callback whose state is missing, wrong or twice there changes nothing, with or without an error',
  async (t) => {
    const { browser, callback } = await comeBack();
    const before = await status();
    const exchanges = (): number => world.provider.counts.tokenRequests['authorization_code'] ?? 0;
    const wrong = 'A'.repeat(43);
    const cases: readonly [ErrorCode, (parameters: URLSearchParams) => void][] = [
      ['state_missing', (parameters) => parameters.delete('state')],
      ['state_missing', (parameters) => parameters.set('state', '')],
      ['state_unknown', (parameters) => parameters.set('state', wrong)],
      ['state_unknown', (parameters) => parameters.append('state', wrong)],
      ['state_unknown', (parameters) => parameters.set('state', '../../records/demo/1')],
    ];
    for (const [code, change] of cases) {
      for (const error of [undefined, 'access_denied']) {
        const url = changed(callback, (parameters) => {
          change(parameters);
          if (error === undefined) return;
          parameters.delete('code');
          parameters.set('error', error);
        });
        await assertRefused(t, code, (accept) => browser.send(url, { headers: { accept } }));
      }
    }
    t.equal(exchanges(), 0, 'nothing was sent to the provider');
    t.strictSame(await status(), before);
    t.equal((await browser.send(callback.href)).status, 200, 'the pending login was not touched: it succeeds');
    t.equal(exchanges(), 1);

    await assertRefused(t, 'state_used', (accept) => browser.send(callback.href, { headers: { accept } }));
    t.equal(exchanges(), 1, 'a used state sends nothing');
    t.match(await status(), { state: 'fresh' });
  },
);

t.test('a callback in another browser is 401 without a cookie, 403 with another, and spends nothing', async (t) => {
  const { browser, callback } = await comeBack();
  const { searchParams } = callback;
  await assertRefused(t, 'login_cookie_missing', (accept) =>
    createBrowser().send(callback.href, { headers: { accept } }),
  );
  const cookie = await cookieNameOf(searchParams.get('state') ?? '');
  const forged = { cookie: `${cookie}=${'A'.repeat(43)}` };
  await assertRefused(t, 'login_cookie_mismatch', (accept) =>
    fetch(callback, { headers: { ...forged, accept }, redirect: 'manual' }),
  );
  t.equal((await browser.send(callback.href)).status, 200, 'the right browser still ends it');
});

/** By the rule of login.md: a hash of the state names it. */
async function cookieNameOf(state: string): Promise<string> {
  const hash = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(state))).toString('hex');
  return `sidebearer-login-${hash.slice(0, 32)}`;
}

t.test(
  'a callback without a code is code_missing; a denied one authorize_denied, another error authorize_failed',
  async (t) => {
    const cases: readonly [ErrorCode, 'continue' | 'deny', (parameters: URLSearchParams) => void][] = [
      ['code_missing', 'continue', (parameters) => parameters.delete('code')],
      ['code_missing', 'continue', (parameters) => parameters.set('code', '')],
      ['code_missing', 'continue', (parameters) => parameters.append('code', 'another')],
      ['authorize_denied', 'deny', () => undefined],
      ['authorize_failed', 'deny', (parameters) => parameters.set('error', 'server_error')],
      ['callback_issuer_mismatch', 'continue', (parameters) => parameters.set('iss', 'https://elsewhere.example')],
      ['code_rejected', 'continue', (parameters) => parameters.set('code', 'never-given')],
    ];
    const before = await status();
    for (const [code, choice, change] of cases) {
      await assertRefused(t, code, async (accept) => {
        const { browser, callback } = await comeBack(choice);
        return await browser.send(changed(callback, change), { headers: { accept } });
      });
    }
    t.match(await status(), { state: 'fresh', generation: before?.generation }, 'the login of before stands');
  },
);

// --- the rest of the oauth port -------------------------------------------------------------------------------------

t.test('the oauth port: unknown pages, methods, hosts, origins, forms', async (t) => {
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const post = (headers: Record<string, string>, body: string) => (accept: string) =>
    fetch(`${oauthUrl}/oauth/start`, { method: 'POST', headers: { ...headers, accept }, body, redirect: 'manual' });
  const get =
    (path: string, method = 'GET') =>
    (accept: string) =>
      fetch(oauthUrl + path, { method, headers: { accept } });
  await assertRefused(t, 'page_unknown', get('/nothing'));
  await assertRefused(t, 'page_method_unknown', get('/status.json', 'DELETE'));
  await assertRefused(t, 'credential_unknown', get('/oauth/start?credential=nobody'));
  await assertRefused(t, 'origin_forbidden', post({ ...form, origin: 'https://elsewhere.example' }, 'credential=demo'));
  await assertRefused(t, 'origin_forbidden', post(form, 'credential=demo'));
  await assertRefused(t, 'admin_request_malformed', post({ ...form, origin: oauthUrl }, 'nothing=here'));
  const json = { 'content-type': 'application/json' };
  await assertRefused(t, 'admin_request_malformed', post(json, '{"credential":'), ['application/json']);
  await assertRefused(t, 'admin_request_too_large', post({ ...form, origin: oauthUrl }, 'x'.repeat(20_000)));
  const before = await counted('host_forbidden');
  t.match(
    await sendRaw(oauthUrl, 'GET / HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n'),
    /^HTTP\/1\.1 403 /,
  );
  t.equal(await counted('host_forbidden'), before + 1);
});

// --- the proxy ------------------------------------------------------------------------------------------------------

/** Bytes on a socket of their own; what comes back until it ends. */
function sendRaw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    // An answer of ours on a connection that is kept.
    if (/^content-length: 0*[1-9]/im.test(received) && received.endsWith('}')) socket.end();
  });
  socket.on('error', (error) => {
    received += `[${error.message}]`;
  });
  socket.setTimeout(20_000, () => socket.destroy(new Error('no answer within 20 s')));
  socket.write(bytes, 'latin1');
  return new Promise((resolve) => {
    socket.on('close', () => resolve(received));
  });
}

t.test('an unknown route is 404 route_unknown, whatever is asked for', async (t) => {
  const { accepted, refused } = world.upstream.counts;
  for (const path of ['/', '/apis', '/metrics', '/oauth/start', '/API/x', '/x?/api']) {
    const before = await counted('route_unknown');
    const { response, text } = await callEcho(program.proxyUrl + path);
    t.equal(response.status, 404, path);
    t.equal(response.headers.get('sidebearer-error'), 'route_unknown', path);
    t.match(JSON.parse(text), { code: 'route_unknown', status: 404, next: catalogue.route_unknown.next });
    t.equal(await counted('route_unknown'), before + 1, path);
  }
  t.strictSame({ ...world.upstream.counts }, { accepted, refused }, 'nothing reached the upstream');
  t.equal((await callEcho(`${program.proxyUrl}/api`)).response.status, 200, 'the route itself serves');
});

const rawRequests: readonly [title: string, code: ErrorCode, bytes: string][] = [
  ['no HTTP', 'request_malformed', 'hello\r\n\r\n'],
  ['a TLS hello', 'request_malformed', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['a space before a colon', 'request_malformed', 'GET /api HTTP/1.1\r\nHost : x\r\n\r\n'],
  ['a folded header', 'request_malformed', 'GET /api HTTP/1.1\r\nHost: x\r\n y: z\r\n\r\n'],
  ['a control character', 'request_malformed', 'GET /api HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n'],
  ['no Host', 'request_malformed', 'GET /api HTTP/1.1\r\n\r\n'],
  ['two Hosts', 'request_malformed', 'GET /api HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
  [
    'two lengths',
    'request_malformed',
    'POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
  ],
  [
    'a length and chunks',
    'request_malformed',
    'POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  [
    'a chunk that is none',
    'request_malformed',
    'POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
  ],
  ['dots that lead out', 'request_malformed', 'GET /api/%2e%2e/admin HTTP/1.1\r\nHost: x\r\n\r\n'],
  [
    'CONNECT',
    'request_method_refused',
    'CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:443\r\n\r\n',
  ],
  ['an unknown method', 'request_method_unknown', 'BREW /api HTTP/1.1\r\nHost: x\r\n\r\n'],
  [
    'an unknown transfer coding',
    'request_coding_unknown',
    'POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  ],
  ['TRACE', 'request_method_refused', 'TRACE /api HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a strange Expect', 'request_expectation_unknown', 'GET /api HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n'],
  [
    'a head that is too large',
    'request_headers_too_large',
    `GET /api HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(9_000)}\r\n\r\n`,
  ],
  ['too many headers', 'request_headers_too_large', `GET /api HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(101)}\r\n`],
  ['a head that does not end', 'request_timeout', 'GET /api HTTP/1.1\r\nHost: x\r\n'],
];

for (const [title, code, bytes] of rawRequests) {
  t.test(`${title} is ${code}`, async (t) => {
    const before = await counted(code);
    const { accepted, refused } = world.upstream.counts;
    const answer = await sendRaw(program.proxyUrl, bytes);
    const [head = '', body = ''] = answer.split('\r\n\r\n', 2);
    t.match(head, new RegExp(`^HTTP/1\\.1 ${catalogue[code].status} `), answer);
    t.match(head, new RegExp(`^sidebearer-error: ${code}\\r?$`, 'im'));
    t.match(JSON.parse(body), { code });
    t.equal(await counted(code), before + 1, 'it is counted');
    t.strictSame({ ...world.upstream.counts }, { accepted, refused }, 'nothing reached the upstream');
  });
}

t.test('hundreds of bad connections at once leave the program at work', async (t) => {
  const bad = Array.from({ length: 300 }, (_, index) => {
    const [, , bytes] = rawRequests[index % rawRequests.length] ?? ['', '', ''];
    return sendRaw(program.proxyUrl, bytes);
  });
  const good = Array.from({ length: 50 }, () => callEcho(`${program.proxyUrl}/api`));
  for (const { response } of await Promise.all(good)) t.equal(response.status, 200);
  const answers = await Promise.all(bad);
  const others = answers.flatMap((answer, index) =>
    /^HTTP\/1\.1 (?:4|501)/.test(answer)
      ? []
      : [`${rawRequests[index % rawRequests.length]?.[0]}: ${answer.slice(0, 80)}`],
  );
  t.strictSame(others, [], 'each was answered');
  t.equal((await callEcho(`${program.proxyUrl}/api`)).response.status, 200);
  t.equal(await counted('internal_error'), 0);
  t.equal(await program.end(), 0);
});
