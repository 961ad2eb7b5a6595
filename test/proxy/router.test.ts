// The router, by table and by property: segment boundaries, bytes unchanged, dot segments never leave a route.
import fc from 'fast-check';
import t from 'tap';
import { createRouter, type RouteRule } from '../../src/proxy/router.ts';
import { hostOf, readTarget } from '../../src/proxy/target.ts';

function rule(path: string, change: Partial<RouteRule> = {}): RouteRule {
  return { host: undefined, path, stripPath: false, basePath: '/', ...change };
}

t.test('dot segments: carried as they came below their route, refused where they could lead out', async (t) => {
  const routes = [
    rule('/'),
    rule('/api', { stripPath: true, basePath: '/v1' }),
    rule('/api/admin', { basePath: '/secret' }),
  ];
  const router = createRouter(routes);
  const cases: [target: string, path: string | 'refused'][] = [
    ['/api/a/../b', '/v1/a/../b'],
    ['/api/a/./b', '/v1/a/./b'],
    ['/api/a/%2E%2e/b', '/v1/a/%2E%2e/b'],
    ['/api/v1.0/..hidden/x..', '/v1/v1.0/..hidden/x..'],
    ['/api/x?next=/../..', '/v1/x?next=/../..'],
    ['/api/...', '/v1/...'],
    ['/x/..', '/x/..'],
    ['/api/..', 'refused'],
    ['/api/../admin', 'refused'],
    ['/api/../api/x', 'refused'],
    ['/api/a/../../b', 'refused'],
    ['/api/%2e%2e/admin', 'refused'],
    ['/api/.%2e/admin', 'refused'],
    ['/api/..%2fadmin', 'refused'],
    ['/api%2f..%2fadmin', '/api%2f..%2fadmin'],
    ['/api/..\\admin', 'refused'],
    ['/api/x\\..\\..\\admin', 'refused'],
    ['/api/..;a=b/admin', 'refused'],
    ['/api/a//../../b', 'refused'],
    ['/api/x/../admin', 'refused'],
    ['/api/./admin', 'refused'],
    ['/./api', 'refused'],
    ['/x/../api/admin', 'refused'],
    ['/..', 'refused'],
    ['/../', 'refused'],
  ];
  for (const [target, expected] of cases) {
    let path: string | undefined;
    try {
      path = router.match(undefined, target)?.path;
    } catch (error) {
      t.match(error, { code: 'request_malformed' });
      path = 'refused';
    }
    t.equal(path, expected, target);
  }
});

t.test('an upstream path goes before the request’s, whatever their slashes', async (t) => {
  const cases: [base: string, prefix: string, strip: boolean, target: string, path: string][] = [
    ['/', '/', false, '/', '/'],
    ['/', '/', false, '//a', '//a'],
    ['/v1/', '/', false, '/a/', '/v1/a/'],
    ['/v1', '/api/', true, '/api/', '/v1/'],
    ['/v1', '/api', true, '/api', '/v1'],
    ['/', '/api', true, '/api', '/'],
    ['/', '/api', true, '/api?q', '/?q'],
    ['/', '/api', true, '/api//x', '//x'],
    ['/v1', '/', true, '/x?y', '/v1/x?y'],
  ];
  for (const [basePath, path, stripPath, target, expected] of cases) {
    t.equal(createRouter([rule(path, { basePath, stripPath })]).match(undefined, target)?.path, expected, target);
  }
});

const segment = fc.stringMatching(/^[a-c%~]{0,3}$/);
const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join('/')}`);

t.test(
  'property: the match is the longest prefix that ends on a segment boundary, as a plain reading of the rule says',
  async () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(path, { maxLength: 6 }),
        path,
        fc.constantFrom('', '?', '?q/r'),
        (prefixes, requested, query) => {
          const routes = prefixes.map((prefix) => rule(prefix));
          const trimmed = (prefix: string): string => prefix.replace(/\/$/, '');
          const expected = prefixes
            .map(trimmed)
            .filter((prefix) => requested === prefix || requested.startsWith(`${prefix}/`))
            .sort((a, b) => b.length - a.length)[0];
          const match = createRouter(routes).match(undefined, requested + query);
          return (match === undefined ? undefined : trimmed(match.route.path)) === expected;
        },
      ),
      { numRuns: 2000, seed: 1 },
    );
  },
);

t.test('property: the path is the request’s own bytes behind the upstream’s, or the request is refused', async () => {
  const anyTarget = fc.string({ unit: fc.constantFrom(...'/.%2eE5cF;\\?ab'), maxLength: 24 }).map((text) => `/${text}`);
  fc.assert(
    fc.property(anyTarget, fc.boolean(), (target, stripPath) => {
      const router = createRouter([rule('/a', { stripPath, basePath: '/base' })]);
      try {
        const match = router.match(undefined, target);
        if (match === undefined) return true;
        return match.path === `/base${stripPath ? target.slice(2) : target}`;
      } catch {
        return true;
      }
    }),
    { numRuns: 5000, seed: 2 },
  );
});

t.test('property: read by any common upstream, what is carried stays below the upstream’s path and route', async () => {
  const anyTarget = fc
    .array(fc.constantFrom('a', 'b', '..', '.', '%2e%2e', '.%2E', '..;x', '', 'a%2f..', '..%5Cb'), { maxLength: 7 })
    .chain((parts) =>
      fc
        .array(fc.constantFrom('/', '\\', '//'), { minLength: parts.length, maxLength: parts.length })
        .map((separators) => `/a${parts.map((part, i) => `${separators[i]}${part}`).join('')}`),
    );
  // Upstreams differ in what they decode and merge; each of these is one that exists.
  const readings = [
    (path: string) => path,
    (path: string) => path.replaceAll('\\', '/'),
    (path: string) => decodeURIComponent(path).replaceAll('\\', '/'),
    (path: string) => decodeURIComponent(path).replaceAll('\\', '/').replace(/\/+/g, '/'),
    (path: string) =>
      decodeURIComponent(path)
        .replaceAll('\\', '/')
        .replace(/;[^/]*/g, '')
        .replace(/\/+/g, '/'),
  ];
  fc.assert(
    fc.property(anyTarget, fc.boolean(), (target, stripPath) => {
      const router = createRouter([
        rule('/a', { stripPath, basePath: '/base/x' }),
        rule('/a/b', { basePath: '/other' }),
      ]);
      let carried: string | undefined;
      try {
        const match = router.match(undefined, target);
        if (match?.route.path !== '/a') return true;
        carried = match.path;
      } catch {
        return true;
      }
      const floor = stripPath ? '/base/x' : '/base/x/a';
      return readings.every((reading) => {
        const resolved = new URL(`http://u${reading(carried)}`).pathname;
        return resolved === floor || resolved.startsWith(`${floor}/`);
      });
    }),
    { numRuns: 5000, seed: 3 },
  );
});

t.test('targets and authorities are read strictly', async (t) => {
  t.same(readTarget('/x?y'), { host: undefined, path: '/x?y' });
  t.same(readTarget('HTTP://Host.Example:80/x?y'), { host: 'host.example', path: '/x?y' });
  t.same(readTarget('http://[::1]:80'), { host: '[::1]', path: '/' });
  for (const target of ['http://', 'http://a b/', 'http://u@h/', 'http://h:x/', 'http://h\\/', '/a#b']) {
    t.throws(() => readTarget(target), { code: 'request_malformed' }, target);
  }
  for (const target of ['*', 'a:1', 'ftp://h/', 'http:/h', 'x']) {
    t.throws(() => readTarget(target), { code: 'request_target_unsupported' }, target);
  }
  t.equal(hostOf('A.b.:1'), 'a.b');
  for (const host of ['', 'a:b', 'a:1:2', 'u@h', 'a/b', '::1', 'a b', '[::1', 'é'])
    t.equal(hostOf(host), undefined, host);
});
