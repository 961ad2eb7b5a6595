// Starts the writer as a process of its own and listens to what it tells.
import { type ChildProcess, fork } from 'node:child_process';
import type { Test } from 'tap';

export interface Writer {
  readonly child: ChildProcess;
  /** What it told after `ready`, in order. */
  readonly told: string[];
  /** Lets it begin. */
  begin(): void;
  /** Resolves once it ended: with its exit code, or null where it was killed. */
  readonly ended: Promise<number | null>;
}

/** Resolves once it stands and waits for `begin`. */
export async function forkWriter(t: Test, task: string, path: string, argument = ''): Promise<Writer> {
  const script = new URL('./_writer.ts', import.meta.url);
  // Not the runner's own hooks: they would slow its start and keep files open.
  const child = fork(script, [task, path, argument], { execArgv: [], env: {}, stdio: ['ignore', 2, 2, 'ipc'] });
  t.teardown(() => void child.kill('SIGKILL'));
  const told: string[] = [];
  const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => {
      child.on('message', (message) => told.push(String(message)));
      resolve();
    });
    child.once('close', () => reject(new Error('the writer ended before it stood')));
  });
  return { child, told, begin: () => void child.send('begin'), ended };
}
