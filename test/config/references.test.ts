import t from 'tap';
import { checkConfig } from '../../src/config/load.ts';
import { load, minimal, mistakesOf, sourceOf, type World } from './_source.ts';

const withClient = (value: string): string =>
  minimal.replace('provider: codex', `provider: codex\n    clientId: ${value}`);

function clientId(value: string, world: World): unknown {
  const loaded = load(withClient(value), world);
  if (!loaded.ok) return loaded.mistakes.map(({ code }) => code);
  const { codex } = loaded.config.credentials;
  return codex?.provider === 'codex' ? codex.clientId : undefined;
}

t.test('references stand for whole values and for parts', async (t) => {
  const world = { env: { A: 'one', B: 'two' }, files: { '/f': 'three\r\n' } };
  t.equal(clientId('${env:A}', world), 'one');
  t.equal(clientId('x-${env:A}-${env:B}-${file:/f}-y', world), 'x-one-two-three-y');
});

t.test('a default stands in for a variable that is unset or empty, and may be empty itself', async (t) => {
  t.equal(clientId('${env:ABSENT:-fallback}', {}), 'fallback');
  t.equal(clientId('${env:EMPTY:-fallback}', { env: { EMPTY: '' } }), 'fallback');
  t.equal(clientId('a${env:ABSENT:-}b', {}), 'ab');
  t.equal(clientId('${env:A:-fallback}', { env: { A: 'set' } }), 'set');
});

t.test('only the line ends at the end of a file are removed', async (t) => {
  t.equal(clientId('${file:/f}', { files: { '/f': ' two words \n\n' } }), ' two words ');
});

t.test('what a reference gives is not read for further references', async (t) => {
  const env = { OUTER: '${env:INNER}', INNER: 'secret' };
  t.equal(clientId('${env:OUTER}', { env }), '${env:INNER}');
  t.equal(clientId('${file:/f}', { env, files: { '/f': '${env:INNER}' } }), '${env:INNER}');
});

t.test('names of Object.prototype are not variables', async (t) => {
  t.strictSame(clientId('${env:constructor}', {}), ['config_reference_missing']);
  t.strictSame(clientId('${env:__proto__}', {}), ['config_reference_missing']);
});

t.test('digits and flags by reference are numbers and flags', async (t) => {
  const text = `${minimal}limits: { inFlight: "\${env:MOST}", headerBytes: "\${env:SIZE}" }\nlog: { access: "\${env:ACCESS}" }\n`;
  const loaded = load(text, { env: { MOST: '12', SIZE: '8KiB', ACCESS: 'true' } });
  t.match(loaded, { ok: true, config: { limits: { inFlight: 12, headerBytes: 8192 }, log: { access: true } } });
});

t.test('a reference that is not understood is a mistake, once for each value', async (t) => {
  for (const value of ['${HOME}', '${env:}', '${env:A-B}', '${file:}', '${env:OPEN', '"${secret:a} ${secret:b}"']) {
    const mistakes = mistakesOf(withClient(value));
    t.match(mistakes, [{ code: 'config_value_invalid', line: 7, message: /expected \$\{env:NAME\}/ }], value);
    t.equal(mistakes.length, 1, value);
  }
});

t.test('of a value whose reference leads nowhere, nothing else is told', async (t) => {
  const text = minimal
    .replace('provider: codex', 'provider: ${env:ABSENT}')
    .replace('kind: memory', 'kind: ${env:ABSENT}');
  t.strictSame(
    mistakesOf(text).map(({ code, path }) => `${code} ${path}`),
    ['config_reference_missing credentials.codex.provider', 'config_reference_missing store.kind'],
  );
});

t.test('without references, values that have one are passed over, and the rest is checked', async (t) => {
  const text = `routes:
  - upstream: \${env:UPSTREAM}
    credential: \${env:CREDENTIAL}
    replay: { maxBody: 1MB }
credentials:
  a:
    provider: oauth2
    grant: client_credentials
    tokenUrl: https://\${env:HOST}/token
    clientId: \${file:/absent}
    clientSecret: \${env:SECRET}
  b:
    provider: codex
    allowHttp: \${env:ALLOW}
    tokenUrl: http://far.example
    originator: \${nonsense}
store:
  kind: file
  keys: [ "\${file:/absent}" ]
`;
  const { mistakes } = checkConfig(sourceOf(text), { resolveReferences: false });
  t.strictSame(
    mistakes.map(({ code, path }) => `${code} ${path}`),
    ['config_value_invalid routes[0].replay.maxBody', 'config_value_invalid credentials.b.originator'],
  );
});
