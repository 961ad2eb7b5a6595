// A mistake is printed, logged and pasted into tickets. Wherever a secret was put, in the right place or the wrong
// one, by reference or in clear, its text never stands in a mistake or a warning.
import t from 'tap';
import { checkConfig } from '../../src/config/load.ts';
import { listSettings } from '../../src/config/settings.ts';
import { sourceOf } from './_source.ts';

const secret = 'h0rse-battery:staple';

/** A configuration with `value` in every place that takes one. */
function everywhere(value: string): string {
  return `
listen: { proxy: ${value}, oauth: ${value}, telemetry: ${value}, hosts: [${value}], clients: { header: ${value}, token: [${value}] } }
egress: { proxy: ${value}, noProxy: [${value}] }
routes:
  - { name: ${value}, path: ${value}, host: ${value}, upstream: ${value}, stripPath: ${value}, credential: ${value}, timeouts: ${value} }
  - { upstream: ${value}, credential: ${value}, timeouts: { connect: ${value} }, replay: { maxBody: ${value} } }
credentials:
  a: ${value}
  b: { provider: ${value} }
  c: { provider: codex, refreshToken: ${value}, scope: ${value}, inject: { header: ${value}, format: ${value}, headers: { x: ${value}, host: ${value} } } }
  d: { provider: oidc, issuer: ${value}, clientId: [${value}], clientSecret: { a: ${value} }, clientKey: ${value}, clientAuth: ${value}, grant: ${value} }
  e: { provider: oauth2, tokenUrl: ${value}, authorizeUrl: "http://far.example/", tokenParams: { scope: ${value} }, refresh: { jitter: ${value}, attempts: ${value} } }
  f: { provider: file, path: [${value}], unknown: ${value} }
store: { kind: ${value}, keys: [${value}, ${value}], plaintext: ${value}, lease: ${value} }
limits: { inFlight: ${value}, headerBytes: ${value} }
metrics: { perCredential: ${value} }
log: { level: ${value}, access: ${value} }
shutdown: ${value}
`;
}

t.test('no secret stands in a mistake, wherever it was put', async (t) => {
  const worlds = [
    { name: 'in clear', text: everywhere(`"${secret}"`), world: {} },
    { name: 'by variable', text: everywhere('"${env:SECRET}"'), world: { env: { SECRET: secret } } },
    { name: 'by file', text: everywhere('"${file:/s}"'), world: { files: { '/s': secret } } },
    { name: 'as a default', text: everywhere(`"\${env:ABSENT:-${secret}}"`), world: {} },
    { name: 'beside a missing reference', text: everywhere(`"${secret}\${env:ABSENT}"`), world: {} },
    { name: 'in a malformed reference', text: everywhere(`"\${${secret}}"`), world: {} },
  ];
  for (const { name, text, world } of worlds) {
    const checked = checkConfig(sourceOf(text, world), { resolveReferences: true });
    t.ok(checked.mistakes.length > 20, `${name}: ${checked.mistakes.length} mistakes`);
    t.notMatch(JSON.stringify(checked), /h0rse|battery|staple/, name);
  }
});

t.test('no secret stands in a mistake of the syntax', async (t) => {
  const broken = [
    `clientSecret: @${secret}`,
    `clientSecret: ${secret}: x`,
    `clientSecret: "${secret}`,
    `clientSecret: *${secret}`,
    `clientSecret: !${secret} x`,
    `clientSecret: "\\q${secret}"`,
    `clientSecret: {${secret}`,
    `credentials: { a: { provider: file, clientSecret:${secret} } }`,
    `clientSecret: a\n ${secret}: b\n  - ${secret}`,
    `${secret}\n---\n${secret}`,
    `%${secret} 1\n---\na`,
  ];
  for (const text of broken) {
    const checked = checkConfig(sourceOf(text), { resolveReferences: true });
    t.ok(checked.mistakes.length > 0, text);
    t.notMatch(JSON.stringify(checked), /h0rse|battery|staple/, text);
  }
});

t.test('the settings that hold secrets are marked', async (t) => {
  const marked = new Set(
    listSettings()
      .filter((setting) => setting.isSecret)
      .map((setting) => setting.path.replace('credentials.NAME.', '')),
  );
  t.strictSame([...marked].sort(), [
    'admin.token',
    'clientKey',
    'clientSecret',
    'egress.proxy',
    'listen.clients.token',
    'refreshToken',
    'store.keys',
    'store.url',
  ]);
});
