// A process on a core of its own: started, waited for until it answers, ended. Whoever starts one must stop it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const START_LIMIT_MS = 10_000;
/** SIGKILL follows SIGTERM after this. */
const STOP_LIMIT_MS = 5_000;
/** How often it is asked whether it is ready: the error of `startMs`. */
const POLL_MS = 2;

export interface Launch {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The address that tells when it is ready, by this status. */
  readonly ready: { readonly url: string; readonly status: number };
}

/** What lives still: whatever ends the benchmark ends them too. */
const living = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of living) child.kill('SIGTERM');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

export interface RunningProcess {
  readonly pid: number;
  /** From spawn to the first answer that says ready. */
  readonly startMs: number;
  stop(): Promise<void>;
}

export async function startProcess(name: string, core: number, launch: Launch): Promise<RunningProcess> {
  const { command, env, ready } = launch;
  const begunMs = performance.now();
  const child = spawn('taskset', ['-c', String(core), ...command], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...env },
  });
  living.add(child);
  child.once('exit', () => living.delete(child));
  const isReady = async (): Promise<boolean> =>
    ask(ready.url).then(
      (status) => status === ready.status,
      () => false,
    );
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`${name} ended at its start with ${child.exitCode}`);
    if (performance.now() - begunMs > START_LIMIT_MS) {
      await stop(child);
      throw new Error(`${name} is not ready after ${START_LIMIT_MS} ms`);
    }
    await delay(POLL_MS);
  }
  const startMs = performance.now() - begunMs;
  // taskset replaces itself by the command: its pid is the command's.
  return { pid: child.pid ?? 0, startMs, stop: () => stop(child) };
}

/** The status of one answer, whose body may be without end. */
function ask(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { agent: false, timeout: 2_000 }, (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    asking.on('timeout', () => asking.destroy(new Error('no answer')));
    asking.on('error', reject);
    asking.end();
  });
}

/** A port that was free a moment ago: most contestants cannot tell which one the system gave them. */
export function freePort(): Promise<number> {
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

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const forced = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await ended;
  clearTimeout(forced);
}
