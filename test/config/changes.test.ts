import fc from 'fast-check';
import t from 'tap';
import { changesBetween } from '../../src/config/changes.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { listSettings } from '../../src/config/settings.ts';

const key = Buffer.alloc(32, 1).toString('base64');
const base = {
  routes: [{ upstream: 'https://api.example', credential: 'app' }] as Record<string, unknown>[],
  credentials: {
    app: {
      provider: 'oauth2',
      tokenUrl: 'https://idp.example/token',
      clientId: 'app',
      clientSecret: 's3cret',
      grant: 'client_credentials',
    },
  } as Record<string, Record<string, unknown>>,
  store: { kind: 'file', path: '/a', keys: [key] } as Record<string, unknown>,
};

function configOf(change: Readonly<Record<string, unknown>> = {}): Config {
  const loaded = loadConfig({
    file: 'test.yaml',
    text: JSON.stringify({ ...base, ...change }),
    env: {},
    readFile: () => {
      throw new Error('no file');
    },
  });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.mistakes));
  return loaded.config;
}

const [app = {}] = Object.values(base.credentials);
const [route = {}] = base.routes;

t.test('what differs is named by its setting, and told apart by whether a running process can change it', (t) => {
  const table: readonly [change: Record<string, unknown>, applied: string[], fixed: string[]][] = [
    [{}, [], []],
    [{ routes: [{ ...route, upstream: 'https://other.example' }] }, ['routes[0].upstream'], []],
    [{ routes: [{ ...route, timeouts: { connect: '1s' } }] }, ['routes[0].timeouts.connect'], []],
    [{ routes: [route, { ...route, path: '/b' }] }, ['routes[1]'], []],
    [{ credentials: { app: { ...app, clientSecret: 'other' } } }, ['credentials.app.clientSecret'], []],
    [{ credentials: { app: { ...app, refresh: { lead: '1m' } } } }, ['credentials.app.refresh.lead'], []],
    [{ credentials: { app, more: app } }, ['credentials.more'], []],
    [{ credentials: { app: { ...app, egress: { proxy: 'http://proxy:1' } } } }, ['credentials.app.egress.proxy'], []],
    [{ log: { level: 'debug', access: true } }, ['log.level', 'log.access'], []],
    [{ log: { format: 'pretty' } }, [], ['log.format']],
    [{ listen: { proxy: '127.0.0.1:1' } }, [], ['listen.proxy']],
    [{ listen: { oauth: 'off' } }, [], ['listen.oauth']],
    [{ listen: { hosts: ['a.example'] } }, ['listen.hosts'], []],
    [{ listen: { tls: { cert: '/c', key: '/k' } } }, ['listen.tls.cert', 'listen.tls.key'], ['listen.tls']],
    [{ store: { ...base.store, path: '/b' } }, [], ['store.path']],
    [{ store: { ...base.store, keys: [Buffer.alloc(32, 2).toString('base64')] } }, ['store.keys'], []],
    [{ store: { ...base.store, keys: [], plaintext: true } }, ['store.keys'], ['store.plaintext', 'store.keys']],
    [{ limits: { headerBytes: '8KiB', inFlight: 1 } }, ['limits.inFlight'], ['limits.headerBytes']],
  ];
  for (const [change, applied, fixed] of table) {
    t.strictSame(changesBetween(configOf(), configOf(change)), { applied, fixed }, JSON.stringify(change));
    const back = changesBetween(configOf(change), configOf());
    t.strictSame([back.applied.toSorted(), back.fixed], [applied.toSorted(), fixed], 'and back');
  }
  t.end();
});

t.test('every setting of store but keys and tls, and every address, needs a restart', (t) => {
  const needing = listSettings()
    .filter(({ needsRestart }) => needsRestart)
    .map(({ path }) => path);
  t.strictSame(needing, [
    'listen.proxy',
    'listen.oauth',
    'listen.telemetry',
    'store.kind',
    'store.path',
    'store.plaintext',
    'store.url',
    'store.keyPrefix',
    'store.namespace',
    'store.secretPrefix',
    'store.serviceAccount',
    'store.lease',
    'limits.headerBytes',
    'log.format',
  ]);
  t.end();
});

t.test('for any two configurations: nothing for equal ones, the same both ways, and never a value', (t) => {
  const secret = fc.stringMatching(/^SECRET[a-z0-9]{4,12}$/);
  const credential = fc.record({
    provider: fc.constant('oauth2'),
    tokenUrl: fc.constantFrom('https://a.example/t', 'https://b.example/t'),
    clientId: secret,
    clientSecret: secret,
    grant: fc.constant('client_credentials'),
    scope: secret,
  });
  const config = fc
    .record({
      names: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1 }),
      credentials: fc.array(credential, { minLength: 4, maxLength: 4 }),
      paths: fc.array(fc.constantFrom('/', '/x', '/y'), { minLength: 1, maxLength: 3 }),
      inFlight: fc.integer({ min: 1, max: 3 }),
    })
    .map(({ names, credentials, paths, inFlight }) =>
      configOf({
        routes: [...new Set(paths)].map((path) => ({ ...route, path, credential: names[0] })),
        credentials: Object.fromEntries(names.map((name, index) => [name, credentials[index]])),
        limits: { inFlight },
      }),
    );
  fc.assert(
    fc.property(config, config, (a, b) => {
      const there = changesBetween(a, b);
      const back = changesBetween(b, a);
      const isSame = JSON.stringify(a) === JSON.stringify(b);
      const names = [...there.applied, ...there.fixed];
      return (
        (isSame ? names.length === 0 : true) &&
        JSON.stringify(there.applied.toSorted()) === JSON.stringify(back.applied.toSorted()) &&
        there.fixed.length === 0 &&
        !names.some((name) => name.includes('SECRET')) &&
        new Set(names).size === names.length
      );
    }),
    { numRuns: 200 },
  );
  t.pass('200 pairs');
  t.end();
});
