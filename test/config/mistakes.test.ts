// Each kind of wrong configuration, with the exact code, line and column that an operator sees.
import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { checkConfig, loadConfig } from '../../src/config/load.ts';
import { formatMistake } from '../../src/config/mistake.ts';
import { load, minimal, mistakesOf, sourceOf } from './_source.ts';

interface Case {
  readonly name: string;
  readonly text: string;
  /** `line:column code path`, and the nearest name after an arrow. */
  readonly expected: readonly string[];
}

function show(text: string): string[] {
  return mistakesOf(text).map(({ line, column, code, path, nearest }) => {
    return `${line}:${column} ${code} ${path}${nearest === undefined ? '' : ` -> ${nearest}`}`;
  });
}

const route = (line: string): string =>
  minimal.replace('    credential: codex\n', `    credential: codex\n    ${line}\n`);
const codex = (line: string): string => minimal.replace('provider: codex\n', `provider: codex\n    ${line}\n`);
/** Its first line is 6. */
const credential = (...lines: string[]): string => minimal.replace('provider: codex', lines.join('\n    '));
/** What is added begins on line 10. */
const oauth2 = (...lines: string[]): string =>
  credential('provider: oauth2', 'tokenUrl: https://i/t', 'authorizeUrl: https://i/a', 'clientId: c', ...lines);
const jwk = JSON.stringify(generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }));
const store = (...lines: string[]): string => minimal.replace('kind: memory', lines.join('\n  '));
const key = Buffer.alloc(32, 7).toString('base64');

const cases: readonly Case[] = [
  { name: 'tabs indent', text: 'routes:\n\t- a\n', expected: ['2:1 config_syntax '] },
  { name: 'a quote is not closed', text: 'log: { level: "info\n', expected: ['2:1 config_syntax '] },
  { name: 'a second document', text: `${minimal}---\na: 1\n`, expected: ['9:1 config_syntax '] },
  { name: 'a tag', text: `${minimal}log: !!set {level}\n`, expected: ['9:12 config_syntax log'] },
  { name: 'an alias of nothing', text: `${minimal}log: *nothing\n`, expected: ['9:6 config_syntax log'] },
  { name: 'a key twice', text: `${minimal}log: {}\nlog: {}\n`, expected: ['10:1 config_syntax log'] },
  { name: 'an unknown section', text: `${minimal}logg: {}\n`, expected: ['9:1 config_key_unknown logg -> log'] },
  {
    name: 'an unknown key',
    text: route('upstrem: x'),
    expected: ['4:5 config_key_unknown routes[0].upstrem -> upstream'],
  },
  {
    name: 'a pool with an unknown member, one twice, and one that is no name',
    text: minimal.replace('credential: codex\n', 'credential: [codex, codx, codex]\n'),
    expected: [
      '3:25 config_credential_unknown routes[0].credential[1] -> codex',
      '3:31 config_value_invalid routes[0].credential[2]',
    ],
  },
  {
    name: 'a pool of nobody',
    text: minimal.replace('credential: codex\n', 'credential: []\n'),
    expected: ['3:17 config_value_invalid routes[0].credential'],
  },
  {
    name: 'a member that is no text',
    text: minimal.replace('credential: codex\n', 'credential: [codex, 7]\n'),
    expected: ['3:17 config_value_invalid routes[0].credential'],
  },
  {
    name: 'a choice that is none',
    text: route('pool: random'),
    expected: ['4:11 config_value_invalid routes[0].pool'],
  },
  {
    name: 'an unknown key, in another style',
    text: route('strip_path: true'),
    expected: ['4:5 config_key_unknown routes[0].strip_path -> stripPath'],
  },
  {
    name: 'an unknown key like no other',
    text: route('zzzzzz: 1'),
    expected: ['4:5 config_key_unknown routes[0].zzzzzz'],
  },
  {
    name: 'a key of another provider',
    text: codex('clientSecret: x'),
    expected: ['7:5 config_key_unknown credentials.codex.clientSecret'],
  },
  { name: '__proto__', text: `${minimal}__proto__: {}\n`, expected: ['9:1 config_syntax '] },
  {
    name: 'a missing section',
    text: minimal.slice(0, minimal.indexOf('store')),
    expected: ['1:1 config_value_missing store'],
  },
  { name: 'nothing at all', text: '', expected: ['1:1 config_value_invalid '] },
  {
    name: 'no routes',
    text: minimal.replace(/routes:[\s\S]*?(?=credentials)/, 'routes: []\n'),
    expected: ['1:9 config_value_missing routes'],
  },
  {
    name: 'no credentials',
    text: minimal.replace(/credentials:[\s\S]*?(?=store)/, 'credentials: {}\n'),
    expected: ['3:17 config_credential_unknown routes[0].credential', '4:14 config_value_missing credentials'],
  },
  {
    name: 'a missing setting',
    text: minimal.replace('- upstream: https://api.example\n    ', '- '),
    expected: ['2:5 config_value_missing routes[0].upstream'],
  },
  { name: 'an empty section', text: `${minimal}log:\n`, expected: ['9:5 config_value_invalid log'] },
  {
    name: 'a duration without a unit',
    text: route('timeouts: { connect: 10 }'),
    expected: ['4:26 config_value_invalid routes[0].timeouts.connect'],
  },
  {
    name: 'a size in other units',
    text: route('replay: { maxBody: 1MB }'),
    expected: ['4:24 config_value_invalid routes[0].replay.maxBody'],
  },
  {
    name: 'a percentage above 100',
    text: codex('refresh: { jitter: 110% }'),
    expected: ['7:24 config_value_invalid credentials.codex.refresh.jitter'],
  },
  {
    name: 'a choice that is none',
    text: `${minimal}log: { level: inf }\n`,
    expected: ['9:15 config_value_invalid log.level -> info'],
  },
  {
    name: 'a number out of range',
    text: `${minimal}limits: { inFlight: 0 }\n`,
    expected: ['9:21 config_value_invalid limits.inFlight'],
  },
  {
    name: 'no address',
    text: `${minimal}listen: { proxy: 8080 }\n`,
    expected: ['9:18 config_value_invalid listen.proxy'],
  },
  {
    name: 'one port for two listeners',
    text: `${minimal}listen: { proxy: "127.0.0.1:9464" }\n`,
    expected: ['9:18 config_value_invalid listen.proxy'],
  },
  {
    name: 'an upstream with a user',
    text: minimal.replace('https://', 'https://me:pw@'),
    expected: ['2:15 config_value_invalid routes[0].upstream'],
  },
  {
    name: 'an upstream with a query',
    text: minimal.replace('.example', '.example/?'),
    expected: ['2:15 config_value_invalid routes[0].upstream'],
  },
  {
    name: 'an upstream of another scheme',
    text: minimal.replace('https:', 'ftp:'),
    expected: ['2:15 config_value_invalid routes[0].upstream'],
  },
  {
    name: 'an unknown credential',
    text: minimal.replace('credential: codex', 'credential: codx'),
    expected: ['3:17 config_credential_unknown routes[0].credential -> codex'],
  },
  {
    name: 'two routes of one name',
    text: route('name: a\n  - { name: a, path: /b, upstream: "https://h", credential: codex }'),
    expected: ['5:13 config_value_invalid routes[1].name'],
  },
  {
    name: 'a name that is the index of another route',
    text: route('name: "1"\n  - { path: /b, upstream: "https://h", credential: codex }'),
    expected: ['5:5 config_value_invalid routes[1].name'],
  },
  {
    name: 'two routes for the same requests',
    text: route('path: /b\n  - { path: /b/, upstream: "https://h", credential: codex }'),
    expected: ['5:13 config_value_invalid routes[1].path'],
  },
  {
    name: 'a credential name in capitals',
    text: minimal.replaceAll(' codex\ncred', ' Codex\ncred').replace('  codex:', '  Codex:'),
    expected: ['5:3 config_value_invalid credentials.Codex'],
  },
  {
    name: 'a credential name that ends in -logins',
    text: minimal.replace('credential: codex', 'credential: a-logins').replace('  codex:', '  a-logins:'),
    expected: ['5:3 config_value_invalid credentials.a-logins'],
  },
  {
    name: 'an unknown provider',
    text: credential('provider: codexx'),
    expected: ['6:15 config_value_invalid credentials.codex.provider -> codex'],
  },
  {
    name: 'no provider',
    text: credential('clientId: x'),
    expected: ['5:3 config_value_missing credentials.codex.provider'],
  },
  {
    name: 'oidc without issuer and client',
    text: credential('provider: oidc'),
    expected: [
      '5:3 config_value_missing credentials.codex.issuer',
      '5:3 config_value_missing credentials.codex.clientId',
    ],
  },
  {
    name: 'oauth2 with a login and no authorize URL',
    text: credential('provider: oauth2', 'tokenUrl: https://i/t', 'clientId: c'),
    expected: ['5:3 config_value_missing credentials.codex.authorizeUrl'],
  },
  {
    name: 'the refresh_token grant without one',
    text: codex('grant: refresh_token'),
    expected: ['5:3 config_value_missing credentials.codex.refreshToken'],
  },
  {
    name: 'a refresh token without its grant',
    text: codex('refreshToken: x'),
    expected: ['7:5 config_value_invalid credentials.codex.refreshToken'],
  },
  {
    name: 'client_credentials without a secret',
    text: credential(
      'provider: oauth2',
      'tokenUrl: https://i/t',
      'clientId: c',
      'grant: client_credentials',
      'clientAuth: none',
    ),
    expected: [
      '5:3 config_value_missing credentials.codex.clientSecret',
      '10:17 config_value_invalid credentials.codex.clientAuth',
    ],
  },
  {
    name: 'private_key_jwt without a key',
    text: oauth2('clientAuth: private_key_jwt', 'grant: client_credentials'),
    expected: ['5:3 config_value_missing credentials.codex.clientKey'],
  },
  {
    name: 'a key that nothing uses',
    text: oauth2(`clientKey: '${jwk}'`, 'clientSecret: s', 'refreshToken: r', 'grant: refresh_token'),
    expected: ['10:5 config_value_invalid credentials.codex.clientKey'],
  },
  {
    name: 'a key that is none',
    text: oauth2('clientKey: -----BEGIN', 'refreshToken: r', 'grant: refresh_token'),
    expected: ['10:16 config_value_invalid credentials.codex.clientKey'],
  },
  {
    name: 'tls_client_auth without a certificate',
    text: oauth2('clientAuth: tls_client_auth', 'grant: client_credentials'),
    expected: ['5:3 config_value_missing credentials.codex.tls.cert'],
  },
  {
    name: 'an exchange without the file to exchange',
    text: oauth2('grant: token_exchange'),
    expected: ['5:3 config_value_missing credentials.codex.subjectTokenFile'],
  },
  {
    name: 'token types of a grant that has none',
    text: oauth2('grant: jwt_bearer', 'subjectTokenFile: /t', 'subjectTokenType: a', 'requestedTokenType: b'),
    expected: [
      '12:5 config_value_invalid credentials.codex.subjectTokenType',
      '13:5 config_value_invalid credentials.codex.requestedTokenType',
    ],
  },
  {
    name: 'a file to exchange without such a grant',
    text: oauth2('grant: client_credentials', 'clientSecret: s', 'subjectTokenFile: /t'),
    expected: ['12:5 config_value_invalid credentials.codex.subjectTokenFile'],
  },
  {
    name: 'device_code without the URL that begins it',
    text: oauth2('grant: device_code'),
    expected: ['5:3 config_value_missing credentials.codex.deviceUrl'],
  },
  {
    name: 'device_code with plain http beyond loopback, and without openid',
    text: credential(
      'provider: oidc',
      'issuer: https://i',
      'clientId: c',
      'grant: device_code',
      'deviceUrl: http://far.example/d',
      'scope: email',
    ),
    expected: [
      '10:16 config_value_invalid credentials.codex.deviceUrl',
      '11:12 config_value_invalid credentials.codex.scope',
    ],
  },
  {
    name: 'a token parameter of an exchange’s own',
    text: oauth2('grant: jwt_bearer', 'subjectTokenFile: /t', 'tokenParams: { assertion: a, device_code: b }'),
    expected: [
      '12:20 config_value_invalid credentials.codex.tokenParams.assertion',
      '12:34 config_value_invalid credentials.codex.tokenParams.device_code',
    ],
  },
  {
    name: 'oidc without the scope openid',
    text: credential('provider: oidc', 'issuer: https://i', 'clientId: c', 'scope: email'),
    expected: ['9:12 config_value_invalid credentials.codex.scope'],
  },
  {
    name: 'plain http beyond loopback',
    text: codex('tokenUrl: http://idp.internal/token'),
    expected: ['7:15 config_value_invalid credentials.codex.tokenUrl'],
  },
  {
    name: 'a parameter of the protocol',
    text: codex('tokenParams: { grant_type: x }'),
    expected: ['7:20 config_value_invalid credentials.codex.tokenParams.grant_type'],
  },
  {
    name: 'a header of the connection',
    text: codex('inject: { header: Connection }'),
    expected: ['7:23 config_value_invalid credentials.codex.inject.header'],
  },
  {
    name: 'the Host header',
    text: codex('inject: { headers: { hOsT: x } }'),
    expected: ['7:26 config_value_invalid credentials.codex.inject.headers.hOsT'],
  },
  {
    name: 'a header twice',
    text: codex('inject: { headers: { authorization: x } }'),
    expected: ['7:26 config_value_invalid credentials.codex.inject.headers.authorization'],
  },
  {
    name: 'no header name',
    text: codex('inject: { header: "a b" }'),
    expected: ['7:23 config_value_invalid credentials.codex.inject.header'],
  },
  {
    name: 'an unknown placeholder',
    text: codex('inject: { format: "Bearer {tokn}" }'),
    expected: ['7:23 config_value_invalid credentials.codex.inject.format'],
  },
  {
    name: 'a format without the token',
    text: codex('inject: { format: Bearer }'),
    expected: ['7:23 config_value_invalid credentials.codex.inject.format'],
  },
  {
    name: 'a line break in a header',
    text: codex('inject: { headers: { a: "b\\r\\nc: d" } }'),
    expected: ['7:29 config_value_invalid credentials.codex.inject.headers.a'],
  },
  {
    name: 'a backoff that shrinks',
    text: codex('refresh: { backoff: { initial: 1m } }'),
    expected: ['7:36 config_value_invalid credentials.codex.refresh.backoff.initial'],
  },
  { name: 'a store without keys', text: store('kind: file'), expected: ['7:1 config_keys_missing store.keys'] },
  {
    name: 'a store with no key in its list',
    text: store('kind: file', 'keys: []'),
    expected: ['9:9 config_keys_missing store.keys'],
  },
  {
    name: 'a key that is too short',
    text: store('kind: file', `keys: [ ${key}, YWJj ]`),
    expected: [`9:${13 + key.length} config_value_invalid store.keys[1]`],
  },
  {
    name: 'a Redis store without URL and keys',
    text: store('kind: redis'),
    expected: ['7:1 config_value_missing store.url', '7:1 config_keys_missing store.keys'],
  },
  {
    name: 'a Redis store on a URL of the web',
    text: store('kind: redis', 'plaintext: true', 'url: https://redis.example'),
    expected: ['10:8 config_value_invalid store.url'],
  },
  {
    name: 'a Redis store on a database that is no number',
    text: store('kind: redis', 'plaintext: true', 'url: rediss://redis.example/tokens'),
    expected: ['10:8 config_value_invalid store.url'],
  },
  {
    name: 'authorities for a Redis without TLS',
    text: store('kind: redis', 'plaintext: true', 'url: redis://redis.example', 'tls: { ca: /ca.pem }'),
    expected: ['11:3 config_value_invalid store.tls'],
  },
  {
    name: 'a cluster’s store without keys',
    text: store('kind: kubernetes'),
    expected: ['7:1 config_keys_missing store.keys'],
  },
  {
    name: 'a cluster’s store in plaintext',
    text: store('kind: kubernetes', 'plaintext: true'),
    expected: ['9:14 config_value_invalid store.plaintext'],
  },
  { name: 'a store of another kind', text: store('kind: etcd'), expected: ['8:9 config_value_invalid store.kind'] },
  {
    name: 'a variable that is not set',
    text: codex('clientId: ${env:ABSENT}'),
    expected: ['7:15 config_reference_missing credentials.codex.clientId'],
  },
  {
    name: 'a file that is absent',
    text: codex('clientId: ${file:/absent}'),
    expected: ['7:15 config_reference_missing credentials.codex.clientId'],
  },
  {
    name: 'a reference of another kind',
    text: codex('clientId: ${HOME}'),
    expected: ['7:15 config_value_invalid credentials.codex.clientId'],
  },
  {
    name: 'a drain that ends before it begins',
    text: `${minimal}shutdown: { minDrain: 1m }\n`,
    expected: ['9:23 config_value_invalid shutdown.minDrain'],
  },
];

for (const { name, text, expected } of cases) {
  t.test(`a wrong configuration: ${name}: is ${expected.join(', ')}`, async (t) => {
    t.strictSame(show(text), expected);
    t.equal(load(text).ok, false, 'and gives no configuration');
  });
}

t.test('the minimal configuration has no mistake, and every setting has its default', async (t) => {
  const loaded = load(minimal);
  t.match(loaded, {
    ok: true,
    config: {
      listen: { proxy: { host: '127.0.0.1', port: 8080 }, oauth: { host: '127.0.0.1', port: 1455 } },
      routes: [{ name: '0', path: '/', stripPath: false, timeouts: { connect: 10_000, headers: 0, idle: 0 } }],
      credentials: { codex: { redirectUri: 'http://localhost:1455/auth/callback', refresh: { jitter: 0.1 } } },
      limits: { headerBytes: 16_384 },
    },
    warnings: [],
  });
});

t.test('an unreadable file is config_unreadable, with its path and no line', async (t) => {
  const { file, env, readFile } = sourceOf('');
  t.strictSame(loadConfig({ file, env, readFile }), {
    ok: false,
    mistakes: [{ code: 'config_unreadable', file: 'c.yaml', path: '', message: 'the file does not exist' }],
    warnings: [],
  });
});

t.test('every mistake is told in one go, in the order of the file', async (t) => {
  const text = `listen: { proxi: 1 }
routes:
  - upstream: nowhere
    credential: nobody
credentials:
  a:
    provider: oidc
    refresh: { lead: soon }
  b:
    provider: oauth2
    tokenUrl: http://far.example
    clientSecret: \${env:ABSENT}
store:
  kind: file
log: { level: 3 }
`;
  t.strictSame(show(text), [
    '1:11 config_key_unknown listen.proxi -> proxy',
    '3:15 config_value_invalid routes[0].upstream',
    '4:17 config_credential_unknown routes[0].credential',
    '6:3 config_value_missing credentials.a.issuer',
    '6:3 config_value_missing credentials.a.clientId',
    '8:22 config_value_invalid credentials.a.refresh.lead',
    '9:3 config_value_missing credentials.b.clientId',
    '9:3 config_value_missing credentials.b.authorizeUrl',
    '11:15 config_value_invalid credentials.b.tokenUrl',
    '12:19 config_reference_missing credentials.b.clientSecret',
    '13:1 config_keys_missing store.keys',
    '15:15 config_value_invalid log.level',
  ]);
});

t.test('a mistake is one line: file, line, column, code, what was expected, and the nearest name', async (t) => {
  t.strictSame(mistakesOf(route('upstrem: x')).map(formatMistake), [
    'c.yaml:4:5: config_key_unknown: routes[0].upstrem: not a known setting (did you mean upstream?)',
  ]);
});

t.test('plain http to loopback is no mistake, and beyond it only a warning where it is allowed', async (t) => {
  for (const host of ['localhost', '127.0.0.1:9000', '[::1]']) {
    t.strictSame(show(codex(`tokenUrl: http://${host}/token`)), [], host);
  }
  const text = codex('tokenUrl: http://idp.internal/token\n    allowHttp: true');
  const { mistakes, warnings } = checkConfig(sourceOf(text), { resolveReferences: true });
  t.strictSame(mistakes, []);
  t.match(warnings, [{ line: 7, column: 15, path: 'credentials.codex.tokenUrl', message: /plain http/ }]);
  for (const host of ['localhost.evil.example', '127.0.0.1.evil.example', '127.evil.example']) {
    t.match(mistakesOf(codex(`tokenUrl: http://${host}/`)), [{ code: 'config_value_invalid' }], host);
  }
});

t.test('what works and is probably not meant is a warning', async (t) => {
  const warn = (text: string) => checkConfig(sourceOf(text), { resolveReferences: true }).warnings;
  t.match(warn(codex('refresh: { lead: 50s }')), [{ line: 7, message: /store\.lease/ }]);
  t.match(warn(`${minimal}listen: { oauth: "127.0.0.1:2000" }\n`), [{ line: 5, message: /forwarded/ }]);
  t.match(warn(minimal.replace('store:', '  spare: { provider: file, path: /t }\nstore:')), [
    { line: 7, column: 3, message: /no route/ },
  ]);
});

t.test('shutdown.quit is of no effect where the telemetry listener is not reached over loopback', async (t) => {
  const warn = (telemetry: string) =>
    load(`${minimal}listen: { telemetry: "${telemetry}" }\nshutdown: { quit: true }\n`).warnings;
  for (const address of ['10.0.0.5:9464', '[fd00::5]:9464', 'pod.example:9464']) {
    t.match(warn(address), [{ line: 10, path: 'shutdown.quit', message: /loopback/ }], address);
  }
  for (const address of ['0.0.0.0:1', '127.0.0.1:1', '[::]:1', '[::1]:1', 'localhost:1', 'unix:/run/t']) {
    t.strictSame(warn(address), [], address);
  }
  t.strictSame(load(`${minimal}listen: { telemetry: "10.0.0.5:1" }\n`).warnings, [], 'off');
});

t.test('an override wins over the file, and its mistake names the flag', async (t) => {
  const withLog = `${minimal}log: { level: debug }\n`;
  const override = (value: string) => ({
    ...sourceOf(withLog),
    overrides: [
      { path: ['log', 'level'], value, source: '--log-level' },
      { path: ['listen', 'oauth'], value: 'off', source: 'SIDEBEARER_LISTEN_OAUTH' },
    ],
  });
  t.match(loadConfig(override('warn')), { ok: true, config: { log: { level: 'warn' }, listen: { oauth: 'off' } } });
  t.match(loadConfig(override('wrn')), {
    ok: false,
    mistakes: [{ file: '--log-level', line: undefined, path: 'log.level', nearest: 'warn' }],
  });
  t.equal(load(withLog).ok, true);
});
