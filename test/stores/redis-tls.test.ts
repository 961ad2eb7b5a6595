// Redis over TLS: whose certificate is taken, and that nothing, no password above all, is said to any other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import t, { type Test } from 'tap';
import { openTlsFiles } from '../../src/egress/tls-files.ts';
import { ABSENT } from '../../src/stores/store.ts';
import { type Certificate, createAuthority } from '../providers/_certificate.ts';
import { createRecord } from './_record.ts';
import { skip, startRedisServer } from './_redis-server.ts';
import { createRedisSetting } from './_redis-setting.ts';

const password = 'p4ssw0rd-of-redis';
const ours = createAuthority();
const theirs = createAuthority('another');

function writePem(t: Test, name: string, pem: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, name);
  writeFileSync(path, pem, { mode: 0o600 });
  return path;
}

async function startTls(t: Test, { cert, key }: Certificate): Promise<string> {
  const files = ['--tls-cert-file', writePem(t, 'cert.pem', cert), '--tls-key-file', writePem(t, 'key.pem', key)];
  const more = [
    '--tls-auth-clients',
    'no',
    '--requirepass',
    password,
    '--appendonly',
    'yes',
    '--appendfsync',
    'always',
  ];
  const server = await startRedisServer(t, ['--tls-port', 'own', ...files, ...more]);
  return server.url.replace('//', `//:${password}@`);
}

const contextOf = async (t: Test, ca: string) =>
  (await openTlsFiles({ ca: writePem(t, 'ca.pem', ca) }, 'store.tls'))?.secureContext;

t.test('with the authority of store.tls.ca a record is written and read', { skip }, async (t) => {
  const url = await startTls(t, ours.issue({ addresses: ['127.0.0.1'] }));
  const { open } = createRedisSetting(t, url);
  const store = await open({ secureContext: await contextOf(t, ours.cert) });
  const { committed } = await store.commit('codex', ABSENT, createRecord('codex'));
  t.ok(committed);
  t.equal((await store.read('codex')).record?.credential, 'codex');
});

const here = { addresses: ['127.0.0.1'] };
const servers: readonly [certificate: string, made: Certificate, trusted: string | undefined, isTold: boolean][] = [
  ['of the configured authority', ours.issue(here), ours.cert, true],
  ['of another authority', theirs.issue(here), ours.cert, false],
  ['of nobody that Node trusts', ours.issue(here), undefined, false],
  ['for another host', ours.issue({ names: ['redis.example'] }), ours.cert, false],
  ['that has expired', ours.issue({ ...here, from: '20200101000000Z', until: '20210101000000Z' }), ours.cert, false],
];

t.test('a server that shows any other certificate is store_unavailable, and hears no password', async (t) => {
  // Each waits for its server as long as a call may take.
  await Promise.all(
    servers.map(async ([certificate, made, trusted, isTold]) => {
      let heard = '';
      const server = createServer(made, (socket) => {
        socket.on('error', () => undefined);
        socket.on('data', (chunk) => {
          heard += chunk;
        });
      });
      server.on('tlsClientError', () => undefined);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.teardown(() => server.close());
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      const { open } = createRedisSetting(t, `rediss://:${password}@127.0.0.1:${address.port}/0`);
      const store = await open({ secureContext: trusted === undefined ? undefined : await contextOf(t, trusted) });
      // The good one never answers either.
      await t.rejects(store.read('codex'), { code: 'store_unavailable' }, certificate);
      t.equal(heard.includes(password), isTold, certificate);
      if (!isTold) t.equal(heard, '', certificate);
    }),
  );
});
