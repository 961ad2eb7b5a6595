// The system calls of a running program, seen and altered from outside: it is killed, stopped or refused at one of
// them, without any door for that in the program itself.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What alters a disk for good, by the names that it has on any machine. */
export const writing = 'fsync,?link,linkat,?unlink,unlinkat';

/** Why it cannot be used here; undefined: it can. */
export const straceMissing: string | undefined = (() => {
  const { error, status } = spawnSync('strace', ['-f', '-e', 'trace=none', 'true']);
  if (error !== undefined) return 'strace is not installed';
  return status === 0 ? undefined : 'ptrace is refused here';
})();

export interface Tracer {
  /** The calls so far: name, arguments and result, as strace writes them. */
  calls(): readonly string[];
  /** A signal has stopped every thread. */
  readonly isStopped: boolean;
  /** Lets the program go on by itself. */
  detach(): Promise<void>;
}

export interface TraceOptions {
  /** `fsync:signal=KILL:when=2`, as strace writes it. */
  readonly inject?: string;
  /** Only calls that name one of these paths, or a file opened under it. */
  readonly paths?: readonly string[];
}

const tracing = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of tracing) child.kill('SIGKILL');
});

/**
 * Resolves once every thread is held. Counts (`when`) are kept for each thread and each call: the program is to run
 * with one thread for files (`oneFileThread`).
 */
export async function trace(pid: number, options: TraceOptions = {}): Promise<Tracer> {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-strace-'));
  const output = join(folder, 'calls');
  const paths = (options.paths ?? []).flatMap((path) => ['-P', path]);
  const inject = options.inject === undefined ? [] : ['-e', `inject=${options.inject}`];
  const argv = ['-f', '-o', output, '-e', `trace=${writing}`, ...paths, ...inject, '-p', String(pid)];
  const child = spawn('strace', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  tracing.add(child);
  const ended = once(child, 'close');
  let told = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      told += chunk;
      if (/attached/.test(told)) resolve();
    });
    child.once('close', () => reject(new Error(`strace ended: ${told}`)));
  });
  let kept: string[] | undefined;
  const lines = (): string[] =>
    kept ??
    readFileSync(output, 'utf8')
      .split('\n')
      .map((line) => line.replace(/^\d+ +/, ''));
  return {
    calls: () => lines().filter((line) => /^\w+\(/.test(line)),
    get isStopped() {
      return lines().some((line) => line.startsWith('--- stopped by'));
    },
    async detach() {
      child.kill('SIGINT');
      await ended;
      tracing.delete(child);
      kept = lines();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Environment of a program whose file operations run one after the other. */
export const oneFileThread = { UV_THREADPOOL_SIZE: '1' } as const;
