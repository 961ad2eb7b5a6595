// Who stands in for the API server gets no service account token: its certificate must be of the pod's authority and for
// the address, whatever a variable of the environment says.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { openServiceAccount } from '../../src/stores/kubernetes-account.ts';
import { createKubernetesApi } from '../../src/stores/kubernetes-api.ts';
import { type Certificate, createAuthority } from '../providers/_certificate.ts';

const ours = createAuthority();
const here = { addresses: ['127.0.0.1'] };
const servers: readonly [certificate: string, made: Certificate, isTold: boolean][] = [
  ['of the pod’s authority', ours.issue(here), true],
  ['of another authority', createAuthority('another').issue(here), false],
  ['for another host', ours.issue({ names: ['kubernetes.default.svc'] }), false],
  ['that has expired', ours.issue({ ...here, from: '20200101000000Z', until: '20210101000000Z' }), false],
];

t.before(() => {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
});
t.teardown(() => {
  delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
});

for (const [certificate, made, isTold] of servers) {
  t.test(`an API server with a certificate ${certificate} ${isTold ? 'is' : 'is not'} shown the token`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    for (const [name, text] of Object.entries({ token: 'sa-SECRET', 'ca.crt': ours.cert, namespace: 'default' })) {
      writeFileSync(join(folder, name), text);
    }
    const shown: (string | undefined)[] = [];
    const server = createServer(made, (request, response) => {
      shown.push(request.headers.authorization);
      response.writeHead(404).end('{}');
    });
    server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const api = createKubernetesApi({
      url: `https://127.0.0.1:${address.port}`,
      account: openServiceAccount(folder, systemClock),
      clock: systemClock,
      random: Math.random,
      patienceMs: 0,
    });
    t.teardown(() => api.close());
    const reading = api.read({ path: '/api/v1/namespaces/default/secrets', kind: 'Secret', apiVersion: 'v1' }, 'a');
    if (isTold) t.equal(await reading, undefined);
    else await t.rejects(reading, { code: 'store_unavailable' });
    t.strictSame(shown, isTold ? ['Bearer sa-SECRET'] : []);
  });
}
