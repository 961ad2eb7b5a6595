// A real redis-server for a test: on a free port of loopback, in a folder of its own, gone at the test's end.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';

/** What tap's `skip` takes: a word where there is no redis-server. */
export const skip: string | false = hasRedis() ? false : 'there is no redis-server here';

interface Scope {
  teardown(end: () => unknown): void;
}

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  /** A client of the test's own, with every right. */
  readonly admin: Redis;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** On the same port and with the data that is on the disk. */
  start(): Promise<void>;
}

const durable = ['--appendonly', 'yes', '--appendfsync', 'always'];

/** @param settings command line of redis-server; given, they stand instead of the durable ones */
export async function startRedisServer(t: Scope, settings: readonly string[] = durable): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'sidebearer-redis-'));
  const isTls = settings.includes('--tls-port');
  const port = await freePort();
  const ports = isTls ? ['--port', '0', '--tls-port', String(port)] : ['--port', String(port)];
  const rest = settings.filter((word, index) => word !== '--tls-port' && settings[index - 1] !== '--tls-port');
  const common = ['--bind', '127.0.0.1', '--dir', folder, '--save', '', '--daemonize', 'no'];
  let child: ChildProcess | undefined;

  const start = async (): Promise<void> => {
    const started = spawn('redis-server', [...common, ...ports, ...rest], { stdio: ['ignore', 'pipe', 'ignore'] });
    child = started;
    const lines: string[] = [];
    for await (const line of createInterface({ input: started.stdout })) {
      lines.push(line);
      if (line.includes('Ready to accept connections')) break;
    }
    if (!lines.at(-1)?.includes('Ready')) throw new Error(`redis-server did not start: ${lines.slice(-3).join(' | ')}`);
    started.stdout.resume();
  };
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };

  const admin = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => 20 });
  admin.on('error', () => {});
  t.teardown(async () => {
    admin.disconnect();
    await kill();
    await rm(folder, { recursive: true, force: true });
  });
  await start();
  return {
    url: `${isTls ? 'rediss' : 'redis'}://127.0.0.1:${port}/0`,
    port,
    folder,
    admin,
    signal: (name) => void child?.kill(name),
    kill,
    start,
  };
}

/** Free when it was asked; what takes it meanwhile makes the start fail loudly. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function hasRedis(): boolean {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
