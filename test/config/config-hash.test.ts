// The hash in /metrics: equal in all replicas, and of no use to whoever guesses at a secret in the configuration.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { configHash } from '../../src/config/config-hash.ts';
import { loadConfig } from '../../src/config/load.ts';
import { sourceOf } from './_source.ts';

function configOf(clientSecret: string, store: string) {
  const loaded = loadConfig(
    sourceOf(`
routes: [{ upstream: "https://api.example", credential: a }]
credentials: { a: { provider: oauth2, grant: client_credentials, tokenUrl: "https://idp.example/t", clientId: a, clientSecret: "${clientSecret}" } }
store: ${store}
`),
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.mistakes));
  return loaded.config;
}

const key = randomBytes(32).toString('base64');
const sealed = `{ kind: file, path: /var/lib/sidebearer, keys: ["${key}"] }`;
const [one, other] = [randomBytes(32), randomBytes(32)];

t.test('with a seal key it is the same in every process, and another for another configuration', async (t) => {
  const hash = configHash(configOf('horse', sealed), one);
  t.match(hash, /^[0-9a-f]{8}$/);
  t.equal(configHash(configOf('horse', sealed), other), hash);
  t.not(configHash(configOf('battery', sealed), one), hash, 'a secret that was rotated shows');
  const rekeyed = sealed.replace(key, randomBytes(32).toString('base64'));
  t.not(configHash(configOf('horse', rekeyed), one), hash);
});

t.test('without one it cannot be computed by whoever knows the rest of the configuration', async (t) => {
  const config = configOf('horse', '{ kind: memory }');
  t.equal(configHash(config, one), configHash(config, one));
  t.not(configHash(config, one), configHash(config, other));
});
