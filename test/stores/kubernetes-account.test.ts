// What a pod knows of its API server: the address from the environment, the account from the folder that kubelet mounts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { apiServerUrl, openServiceAccount } from '../../src/stores/kubernetes-account.ts';
import { createHurriedClock } from './_hurried-clock.ts';

t.test('the address of the API server, as kubelet tells it', async (t) => {
  const urls: readonly (readonly [Readonly<Record<string, string>>, string])[] = [
    [{ KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '6443' }, 'https://10.0.0.1:6443'],
    [{ KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'https://10.0.0.1:443'],
    [
      { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '80', KUBERNETES_SERVICE_PORT_HTTPS: '443' },
      'https://[fd00::1]:443',
    ],
  ];
  for (const [env, url] of urls) t.equal(apiServerUrl(env), url);
  for (const env of [{}, { KUBERNETES_SERVICE_HOST: '' }]) {
    t.throws(() => apiServerUrl(env), { code: 'store_path_invalid' }, 'no pod');
  }
});

t.test('each file of the account that is missing is `store_unavailable`, with its path', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-account-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const account = openServiceAccount(folder, createHurriedClock());
  const files = { token: account.token, 'ca.crt': account.authority, namespace: account.namespace };
  for (const [name, read] of Object.entries(files)) {
    const path = join(folder, name);
    await t.rejects(read(), { code: 'store_unavailable', details: { path, systemCode: 'ENOENT' } }, name);
    writeFileSync(path, `${name}\n`);
    t.equal(await read(), name, 'without the end of its line');
  }
});
