// The setting of HTTP/2 to upstreams: its default, and where it cannot hold.
import t from 'tap';
import { load, minimal, mistakesOf } from './_source.ts';

const route = (http2: string, upstream: string): string =>
  minimal
    .replace('https://api.example', upstream)
    .replace('    credential: codex\n', `    credential: codex\n    http2: ${http2}\n`);

t.test('http2 is auto unless said otherwise', async (t) => {
  t.match(load(minimal), { ok: true, config: { routes: [{ http2: 'auto' }] } });
  t.match(load(route('never', 'https://a.example')), { ok: true, config: { routes: [{ http2: 'never' }] } });
  t.match(load(route('prior-knowledge', 'http://a.example')), {
    ok: true,
    config: { routes: [{ http2: 'prior-knowledge' }] },
  });
});

t.test('prior-knowledge of an https upstream, and other words, are `config_value_invalid`', async (t) => {
  t.match(mistakesOf(route('prior-knowledge', 'https://a.example')), [
    { code: 'config_value_invalid', path: 'routes[0].http2', line: 4 },
  ]);
  t.match(mistakesOf(route('always', 'https://a.example')), [{ path: 'routes[0].http2' }]);
});
