// Fills a compile cache by one start of the bundle, while the image is made. It must not leave anything else behind, and
// needs no network: the three listeners are sockets in a folder of its own.
// usage: node warm-compile-cache.mjs BUNDLE CACHE UID FLAG…   as root: Node keys the cache by user.
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';

const [bundle, cache, user, ...flags] = process.argv.slice(2);
const id = Number(user);
const folder = mkdtempSync('/tmp/warm-');
const config = join(folder, 'config.yaml');
writeFileSync(
  config,
  `listen: { proxy: "unix:${folder}/proxy", oauth: "unix:${folder}/oauth", telemetry: "unix:${folder}/telemetry" }
routes: [{ upstream: "http://127.0.0.1:9", credential: warm }]
credentials: { warm: { provider: oauth2, authorizeUrl: "http://127.0.0.1:9/a", tokenUrl: "http://127.0.0.1:9/t", clientId: warm } }
store: { kind: memory }
`,
);
chownSync(folder, id, id);
mkdirSync(cache, { recursive: true });
chownSync(cache, id, id);

const child = spawn(process.execPath, [...flags, bundle, 'run', '--config', config], {
  uid: id,
  gid: id,
  env: { NODE_ENV: 'production', NODE_COMPILE_CACHE: cache },
  stdio: ['ignore', 'ignore', 'inherit'],
});
const ended = new Promise((resolve) => {
  child.once('exit', resolve);
});
await until(() => asks('telemetry', '/readyz'));
await asks('telemetry', '/metrics');
await asks('oauth', '/');
await asks('proxy', '/');
child.kill('SIGTERM');
const code = await ended;
rmSync(folder, { recursive: true });
if (code !== 0) throw new Error(`the start that fills the compile cache ended with ${code}`);

const files = readdirSync(cache, { recursive: true }).map((name) => join(cache, name));
if (!files.some((path) => statSync(path).isFile())) throw new Error('the compile cache is empty');
// Node writes 0600: whoever reads it later is another user of the image, or the same one, and nobody writes it.
for (const path of [...files, cache]) chmodSync(path, statSync(path).isDirectory() ? 0o555 : 0o444);
for (const path of [...files, cache]) chownSync(path, 0, 0);

function asks(listener, path) {
  return new Promise((resolve) => {
    const asked = request({ socketPath: join(folder, listener), path }, (answer) => {
      answer.resume();
      answer.once('end', () => resolve(answer.statusCode === 200));
    });
    asked.once('error', () => resolve(false));
    asked.end();
  });
}

async function until(holds) {
  for (let round = 0; round < 300; round += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  child.kill('SIGKILL');
  throw new Error('the sidecar was not ready within 30 s');
}
