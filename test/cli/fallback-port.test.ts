// The second registered port, on a laptop alone: listener and redirect URI move together or not at all.
import { once } from 'node:events';
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { moveToFallback, withPort } from '../../src/cli/fallback-port.ts';
import type { Config } from '../../src/config/schema.ts';
import { load } from '../config/_source.ts';

async function hold(t: Test): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const uriAt = (port: number): string => `http://localhost:${port}/auth/callback`;

function configOf(port: number, { codex = uriAt(port), more = '', listen = `127.0.0.1:${port}` } = {}): Config {
  const loaded = load(`routes: [{ upstream: "https://chatgpt.com", credential: codex }]
credentials:
  codex: { provider: codex, redirectUri: "${codex}" }
${more}
store: { kind: memory }
listen: { oauth: "${listen}" }
`);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.mistakes));
  return loaded.config;
}

t.test('a busy port moves listener and redirect URI, and tells who holds it', async (t) => {
  const [busy, free] = [await hold(t), await freePort()];
  const config = configOf(busy);
  const moved = await moveToFallback(config, {}, [busy, free]);
  t.match(moved, {
    from: busy,
    to: free,
    config: { listen: { oauth: { port: free } }, credentials: { codex: { redirectUri: uriAt(free) } } },
  });
  if (process.platform === 'linux') t.match(moved?.holder, `(pid ${process.pid})`);
  t.match(config.listen.oauth, { port: busy }, 'what was given is left alone');
});

t.test('nothing moves in a pod, to a busy port, from a free one, or from under another provider', async (t) => {
  const [busy, other, free] = [await hold(t), await hold(t), await freePort()];
  const oidc = (port: number) =>
    `  oidc: { provider: oidc, issuer: "https://idp.example", clientId: x, redirectUri: "http://localhost:${port}/oauth/callback" }`;
  for (const [name, config, env, ports] of [
    ['a pod', configOf(busy), { KUBERNETES_SERVICE_HOST: '10.0.0.1' }, [busy, free]],
    ['both busy', configOf(busy), {}, [busy, other]],
    ['a free port', configOf(free), {}, [free, other]],
    ['another port', configOf(other), {}, [busy, free]],
    ['off', configOf(busy, { listen: 'off' }), {}, [busy, free]],
    ['another redirect URI', configOf(busy, { codex: `http://localhost:${busy}/mine` }), {}, [busy, free]],
    ['another provider there', configOf(busy, { more: oidc(busy) }), {}, [busy, free]],
  ] as const) {
    t.equal(await moveToFallback(config, env, ports), undefined, name);
  }
  const beside = await moveToFallback(configOf(busy, { more: oidc(other) }), {}, [busy, free]);
  t.match(beside?.config.credentials, { oidc: { redirectUri: `http://localhost:${other}/oauth/callback` } });
});

t.test('a changed configuration is moved in the same way, and one that names another port is left alone', (t) => {
  t.match(withPort(configOf(1455), 1455, 1457), {
    listen: { oauth: { port: 1457 } },
    credentials: { codex: { redirectUri: uriAt(1457) } },
  });
  const other = configOf(1460);
  t.equal(withPort(other, 1455, 1457), other);
  t.end();
});
