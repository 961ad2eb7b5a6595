import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openTlsFiles } from '../../src/egress/tls-files.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { openListenerTls } from '../../src/proxy/listener-tls.ts';
import { createAuthority } from '../providers/_certificate.ts';

const folder = mkdtempSync(join(tmpdir(), 'sidebearer-tls-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const authority = createAuthority();
const one = authority.issue({ names: ['one.test'] });
const two = authority.issue({ names: ['two.test'] });
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const ca = file('ca.pem', `a comment\n${authority.cert}\n${one.cert}`);
const cert = file('one.crt', one.cert);
const key = file('one.key', one.key);

t.test('what is set is read; where nothing is, there is nothing', async (t) => {
  t.equal(await openTlsFiles({}, 'tls'), undefined);
  t.match(await openTlsFiles({ ca, cert, key, serverName: 'name.test' }, 'tls'), {
    secureContext: Object,
    serverName: 'name.test',
  });
  t.match(await openTlsFiles({ serverName: 'name.test' }, 'tls'), { serverName: 'name.test' });
});

t.test('the listener’s own are read; without them it is plain', async (t) => {
  t.equal(await openListenerTls({}), undefined);
  t.strictSame(await openListenerTls({ cert, key }), { cert: one.cert, key: one.key, clientCa: undefined });
  t.match(await openListenerTls({ cert, key, clientCa: ca }), { clientCa: authority.cert });
  for (const [files, setting] of [
    [{ cert: join(folder, 'absent'), key }, 'listen.tls.cert'],
    [{ cert: key, key }, 'listen.tls.cert'],
    [{ cert, key: cert }, 'listen.tls.key'],
    [{ cert, key, clientCa: key }, 'listen.clients.ca'],
  ] as const) {
    const error: unknown = await openListenerTls(files).catch((thrown: unknown) => thrown);
    t.match(error, { code: 'tls_file_unusable', details: { setting, path: folder } });
    t.notMatch(JSON.stringify(error), one.key.split('\n')[1] ?? '');
  }
});

const wrong: readonly (readonly [string, object, string])[] = [
  ['an authority that is not there', { ca: join(folder, 'absent') }, 'ca'],
  ['an authority that is a folder', { ca: folder }, 'ca'],
  ['an authority that is empty', { ca: file('empty', '') }, 'ca'],
  ['an authority that is no certificate', { ca: key }, 'ca'],
  ['an authority that is torn', { ca: file('torn', authority.cert.replace(/\n.{20}/, '\n')) }, 'ca'],
  ['a certificate that is none', { cert: key, key }, 'cert'],
  ['a key that is none', { cert, key: cert }, 'key'],
  ['a key that is not there', { cert, key: join(folder, 'absent') }, 'key'],
  ['the key of another certificate', { cert, key: file('two.key', two.key) }, 'key'],
];

for (const [name, files, setting] of wrong) {
  t.test(`${name} is \`tls_file_unusable\`, with its setting and path, and nothing of a key`, async (t) => {
    const error: unknown = await openTlsFiles(files, 'routes[0].tls').catch((thrown: unknown) => thrown);
    if (!(error instanceof SidebearerError)) throw error;
    t.match(error, { code: 'tls_file_unusable', details: { setting: `routes[0].tls.${setting}`, path: folder } });
    t.equal(error.row.exit, 1);
    const body = one.key.split('\n')[1] ?? '';
    t.notMatch(JSON.stringify([error.message, error.details, String(error.cause)]), body);
  });
}
