// Who is measured, and the upstream behind them: processes that are started, waited for and ended.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export const ANSWER_BYTES = 1024;
const START_LIMIT_MS = 10_000;
const TOKEN = 'bench-token-0123456789abcdef0123456789abcdef';

export interface Contestant {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** From spawn to the first answer that says ready. */
  readonly startMs: number;
  stop(): Promise<void>;
}

/** The bundle that is released. */
export const bundle = 'dist/sidebearer.js';

/** Answers 1 KiB, and 401 to whoever comes without the token. */
export async function startUpstream(folder: string, core: number): Promise<Contestant> {
  const port = await freePort();
  const body = 'x'.repeat(ANSWER_BYTES);
  const config = nginxConfig(
    folder,
    'upstream',
    `server { listen 127.0.0.1:${port} backlog=4096; keepalive_requests 1000000000; keepalive_timeout 600s;
      location / { if ($http_authorization != "Bearer ${TOKEN}") { return 401; } return 200 "${body}"; } }`,
  );
  return startProcess('upstream', core, nginxCommand(config), port, { path: '/', status: 401 });
}

/** The measure of all: nginx with a header that never changes. */
export async function startNginx(folder: string, core: number, upstream: Contestant): Promise<Contestant> {
  const port = await freePort();
  const config = nginxConfig(
    folder,
    'proxy',
    `upstream api { server ${new URL(upstream.url).host}; keepalive 256; keepalive_requests 1000000000; }
    server { listen 127.0.0.1:${port} backlog=4096; keepalive_requests 1000000000; keepalive_timeout 600s;
      location / { proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_set_header Authorization "Bearer ${TOKEN}"; } }`,
  );
  return startProcess('nginx, static header', core, nginxCommand(config), port, { path: '/', status: 200 });
}

export async function startSidebearer(folder: string, core: number, upstream: Contestant): Promise<Contestant> {
  const [proxy, telemetry] = [await freePort(), await freePort()];
  writeFileSync(join(folder, 'token'), TOKEN);
  const config = join(folder, 'sidebearer.yaml');
  writeFileSync(
    config,
    `listen: { proxy: "127.0.0.1:${proxy}", oauth: "off", telemetry: "127.0.0.1:${telemetry}" }
routes: [ { upstream: "${upstream.url}", credential: bench } ]
credentials: { bench: { provider: file, path: ${JSON.stringify(join(folder, 'token'))} } }
store: { kind: memory }
readiness: { require: all }
log: { level: warn }
`,
  );
  const command = [process.execPath, bundle, 'run', '--config', config];
  const started = await startProcess('sidebearer', core, command, telemetry, { path: '/readyz', status: 200 });
  return { ...started, url: `http://127.0.0.1:${proxy}/` };
}

/** The status and the size of one answer. */
export function ask(url: string): Promise<{ status: number; bytes: number }> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { agent: false, timeout: 2_000 }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes }));
      response.on('error', reject);
    });
    asking.on('timeout', () => asking.destroy(new Error('no answer')));
    asking.on('error', reject);
    asking.end();
  });
}

async function startProcess(
  name: string,
  core: number,
  command: readonly string[],
  port: number,
  ready: { readonly path: string; readonly status: number },
): Promise<Contestant> {
  const begunMs = performance.now();
  const child = spawn('taskset', ['-c', String(core), ...command], { stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${port}/`;
  const isReady = async (): Promise<boolean> =>
    ask(new URL(ready.path, url).href).then(
      ({ status }) => status === ready.status,
      () => false,
    );
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`${name} ended at its start with ${child.exitCode}`);
    if (performance.now() - begunMs > START_LIMIT_MS) {
      await stop(child);
      throw new Error(`${name} is not ready after ${START_LIMIT_MS} ms`);
    }
    await delay(2);
  }
  const startMs = performance.now() - begunMs;
  // taskset replaces itself by the command: its pid is the command's.
  return { name, url, pid: child.pid ?? 0, startMs, stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const forced = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(forced);
}

function nginxCommand(config: string): string[] {
  return ['nginx', '-e', 'stderr', '-c', config, '-g', 'daemon off;'];
}

function nginxConfig(folder: string, name: string, servers: string): string {
  const path = join(folder, `${name}.conf`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(folder, `${name}-${kind}`)};`)
    .join(' ');
  writeFileSync(
    path,
    `worker_processes 1; pid ${join(folder, `${name}.pid`)}; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; ${temporary} ${servers} }
`,
  );
  return path;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
