// The settings of the way out: TLS files, egress proxies, the token of clients; their defaults from the environment,
// and their mistakes with line and column.
import t from 'tap';
import { checkConfig } from '../../src/config/load.ts';
import { formatMistake } from '../../src/config/mistake.ts';
import { listSettings } from '../../src/config/settings.ts';
import { load, minimal, mistakesOf, sourceOf } from './_source.ts';

const route = (line: string, upstream = 'https://api.example'): string =>
  minimal
    .replace('https://api.example', upstream)
    .replace('    credential: codex\n', `    credential: codex\n    ${line}\n`);
const codex = (line: string): string => minimal.replace('provider: codex\n', `provider: codex\n    ${line}\n`);
const proxied = 'egress: { proxy: "http://proxy.example:3128" }';

function shown(text: string): string[] {
  return mistakesOf(text).map(({ line, column, code, path }) => `${line}:${column} ${code} ${path}`);
}

t.test('HTTPS_PROXY and NO_PROXY of the environment are the default, and the file wins', async (t) => {
  const env = { HTTPS_PROXY: 'http://me:word@env.example:1', NO_PROXY: '.svc' };
  const byEnvironment = { proxy: { host: 'env.example', port: 1, name: 'env.example:1' }, noProxy: '.svc' };
  t.match(load(minimal, { env }), { ok: true, config: { egress: byEnvironment } });
  t.match(load(`${minimal}egress: {}\n`, { env }), { ok: true, config: { egress: byEnvironment } });
  t.match(load(`${minimal}egress: { noProxy: a.example }\n`, { env }), {
    ok: true,
    config: { egress: { proxy: { host: 'env.example' }, noProxy: 'a.example' } },
  });
  const off = load(`${minimal}egress: { proxy: "" }\n`, { env });
  t.match(off, { ok: true, config: { egress: { noProxy: '.svc' } } });
  t.equal(off.ok && off.config.egress.proxy, undefined, 'an empty one says that there is none');
  const none = load(minimal);
  t.equal(none.ok && none.config.egress.proxy, undefined);
  t.equal(none.ok && none.config.egress.noProxy, '');
});

t.test('a default that the environment spoils is a mistake with its setting, and shows nothing of it', async (t) => {
  const env = { HTTPS_PROXY: 'socks5://me:h0rse@env.example:1' };
  const mistakes = mistakesOf(minimal, { env });
  t.match(mistakes, [{ code: 'config_value_invalid', path: 'egress.proxy' }]);
  t.notMatch(mistakes.map(formatMistake).join('\n'), /h0rse|env\.example/);
  t.strictSame(checkConfig(sourceOf(minimal, { env }), { resolveReferences: false }).mistakes, []);
});

t.test('an egress proxy, its exemptions, TLS files and a token of clients are taken as they are set', async (t) => {
  const text = `${route('tls: { ca: /ca, cert: /cert, key: /key, serverName: Api.Internal }').replace(
    'provider: codex\n',
    'provider: codex\n    egress: { proxy: "https://own.example" }\n    tls: { ca: /idp-ca }\n',
  )}${proxied}\nlisten: { clients: { header: X-Token, token: "${'s'.repeat(16)}" } }\n`;
  t.match(load(text), {
    ok: true,
    config: {
      routes: [{ tls: { ca: '/ca', cert: '/cert', key: '/key', serverName: 'api.internal' } }],
      credentials: {
        codex: { egress: { proxy: { isTls: true, host: 'own.example', port: 443 } }, tls: { ca: '/idp-ca' } },
      },
      egress: { proxy: { host: 'proxy.example', port: 3128 } },
      listen: { clients: { header: 'X-Token', token: 's'.repeat(16) } },
    },
  });
});

const mistakes: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'a proxy of another scheme',
    `${minimal}egress: { proxy: "socks5://p:1" }\n`,
    ['9:18 config_value_invalid egress.proxy'],
  ],
  ['a proxy with a path', `${minimal}egress: { proxy: "http://p:1/x" }\n`, ['9:18 config_value_invalid egress.proxy']],
  [
    'a credential’s proxy that is none',
    codex('egress: { proxy: "http://" }'),
    ['7:22 config_value_invalid credentials.codex.egress.proxy'],
  ],
  ['an unknown key', `${minimal}egress: { prox: "" }\n`, ['9:11 config_key_unknown egress.prox']],
  ['a group that is none', `${minimal}egress: none\n`, ['9:9 config_value_invalid egress']],
  ['a certificate without its key', route('tls: { cert: /c }'), ['4:5 config_value_missing routes[0].tls.key']],
  ['a key without its certificate', route('tls: { key: /k }'), ['4:5 config_value_missing routes[0].tls.cert']],
  [
    'a credential’s certificate without its key',
    codex('tls: { cert: /c }'),
    ['7:5 config_value_missing credentials.codex.tls.key'],
  ],
  [
    'TLS on a plain http upstream',
    route('tls: { ca: /c }', 'http://api.example'),
    ['4:5 config_value_invalid routes[0].tls'],
  ],
  [
    'a server name with a port',
    route('tls: { serverName: "api:443" }'),
    ['4:24 config_value_invalid routes[0].tls.serverName'],
  ],
  [
    'a client CA on a plain listener',
    `${minimal}listen: { clients: { ca: /ca.pem } }\n`,
    ['9:1 config_value_missing listen.tls'],
  ],
  [
    'a client CA with half of what its listener needs',
    `${minimal}listen: { tls: { cert: /a }, clients: { ca: /ca.pem } }\n`,
    ['9:11 config_value_missing listen.tls.key'],
  ],
  [
    'a key of the listener without its certificate',
    `${minimal}listen: { tls: { key: /a } }\n`,
    ['9:11 config_value_missing listen.tls.cert'],
  ],
  [
    'a header without a token',
    `${minimal}listen: { clients: { header: X } }\n`,
    ['9:11 config_value_missing listen.clients.token'],
  ],
  [
    'a token without a header',
    `${minimal}listen: { clients: { token: ${'s'.repeat(16)} } }\n`,
    ['9:11 config_value_missing listen.clients.header'],
  ],
  [
    'a short token',
    `${minimal}listen: { clients: { header: X, token: short } }\n`,
    ['9:40 config_value_invalid listen.clients.token'],
  ],
  [
    'a token that no header can hold',
    `${minimal}listen: { clients: { header: X, token: "0123456789 abcdef" } }\n`,
    ['9:40 config_value_invalid listen.clients.token'],
  ],
  [
    'a header of the connection',
    `${minimal}listen: { clients: { header: Connection, token: ${'s'.repeat(16)} } }\n`,
    ['9:30 config_value_invalid listen.clients.header'],
  ],
];

for (const [name, text, expected] of mistakes) {
  t.test(`${name} is a mistake`, async (t) => {
    t.strictSame(shown(text), expected);
  });
}

t.test('a token file has upstream traffic and no provider: it takes egress and no tls', async (t) => {
  const file = (line: string): string =>
    minimal.replace('provider: codex', `provider: file\n    path: /t\n    ${line}`);
  t.match(load(file('egress: { proxy: "p:1" }')), { ok: true });
  t.strictSame(shown(file('tls: { ca: /c }')), ['8:5 config_key_unknown credentials.codex.tls']);
});

t.test('plain http through an egress proxy is a warning, beyond loopback', async (t) => {
  const warnings = (text: string) => load(text).warnings.map(({ path, line }) => `${line} ${path}`);
  const plain = minimal.replace('https://api.example', 'http://api.example');
  t.strictSame(warnings(`${plain}${proxied}\n`), ['2 routes[0].upstream']);
  t.strictSame(warnings(plain.replace('provider: codex\n', `provider: codex\n    ${proxied}\n`)), [
    '2 routes[0].upstream',
  ]);
  t.strictSame(warnings(plain), []);
  t.strictSame(warnings(`${minimal}${proxied}\n`), []);
  t.strictSame(warnings(`${minimal.replace('https://api.example', 'http://localhost:1')}${proxied}\n`), []);
});

t.test('the docs tell the environment as the default', async (t) => {
  const defaults = Object.fromEntries(listSettings().map(({ path, byDefault }) => [path, byDefault]));
  t.equal(defaults['egress.proxy'], '${env:HTTPS_PROXY:-}');
  t.equal(defaults['egress.noProxy'], '${env:NO_PROXY:-}');
});
