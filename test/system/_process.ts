// Runs the built program as a process of its own and speaks to it as an operator would: a file, signals, log lines.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';

const root = join(import.meta.dirname, '..', '..');
export const program = join(root, 'dist', 'sidebearer.js');
if (!existsSync(program)) throw new Error('dist/sidebearer.js is missing: npm run build');

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly event?: string;
  readonly listener?: string;
  readonly url?: string;
  readonly code?: string;
  readonly [field: string]: unknown;
}

export interface RunningProgram {
  readonly process: ChildProcess;
  readonly proxyUrl: string;
  readonly oauthUrl: string | undefined;
  readonly telemetryUrl: string;
  readonly lines: readonly LogLine[];
  /** Everything that was written to standard output and error. */
  output(): string;
  /** Sends the signal and resolves with the exit code (or the signal's name). */
  end(signal?: NodeJS.Signals): Promise<number | string>;
}

export interface Ended {
  readonly exit: number | string;
  readonly output: string;
}

/** A port that was free a moment ago: redirect URIs must name one before anything listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** What a test that failed half way leaves behind ends with it: after its last test, or where it exits before. */
const running = new Set<ChildProcess>();
const endAll = (): void => {
  for (const child of running) child.kill('SIGKILL');
};
t.teardown(endAll);
process.on('exit', endAll);

/**
 * Starts `run --config -` with the text on standard input; resolves when the proxy listens, or with the end.
 * @param cwd where a crash may leave its dump; default: here
 * @param spawned sees the process before it listens
 */
export async function startProgram(
  config: string,
  env: Record<string, string> = {},
  cwd?: string,
  spawned?: (child: ChildProcess) => void,
): Promise<RunningProgram | Ended> {
  return await startWith(['--config', '-'], config, env, cwd, spawned);
}

/** `run` with these arguments, where anything but a running program is a failure of the test. */
export async function runProgramWith(argv: readonly string[], env?: Record<string, string>): Promise<RunningProgram> {
  return assertRunning(await startWith(argv, '', env));
}

async function startWith(
  argv: readonly string[],
  config: string,
  env: Record<string, string> = {},
  cwd?: string,
  spawned?: (child: ChildProcess) => void,
): Promise<RunningProgram | Ended> {
  const child = spawn(process.execPath, [program, 'run', ...argv], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  running.add(child);
  spawned?.(child);
  child.on('exit', () => running.delete(child));
  const lines: LogLine[] = [];
  let output = '';
  const ended = once(child, 'close').then(([code, signal]): number | string => code ?? signal ?? 'unknown');
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const proxyBound = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (text) => {
      output += `${text}\n`;
      const line = parseLine(text);
      if (line === undefined) return;
      lines.push(line);
      if (line.event === 'listener_bound' && line.listener === 'proxy') resolve();
    });
  });
  // One that reads nothing may have ended already.
  child.stdin.on('error', () => undefined);
  child.stdin.end(config);
  const first = await Promise.race([proxyBound, ended]);
  if (first !== undefined) return { exit: first, output };

  const urlOf = (listener: string): string | undefined =>
    lines.findLast((line) => line.event === 'listener_bound' && line.listener === listener)?.url;
  return {
    process: child,
    lines,
    get proxyUrl() {
      return urlOf('proxy') ?? '';
    },
    get oauthUrl() {
      return urlOf('oauth');
    },
    get telemetryUrl() {
      return urlOf('telemetry') ?? '';
    },
    output: () => output,
    end(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}

/** The same, where anything but a running program is a failure of the test. */
export async function runProgram(config: string, env?: Record<string, string>, cwd?: string): Promise<RunningProgram> {
  return assertRunning(await startProgram(config, env, cwd));
}

function assertRunning(started: RunningProgram | Ended): RunningProgram {
  if (!('process' in started)) throw new Error(`the program ended with ${started.exit}:\n${started.output}`);
  return started;
}

/** Another command of the built program, to its end. @param input standard input */
export async function runCommand(
  argv: readonly string[],
  input = '',
  env: Record<string, string> = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...argv], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  // A command that reads nothing may have ended already.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code, signal] = await once(child, 'close');
  return { exit: code ?? signal ?? 'unknown', output };
}

function parseLine(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}

/** Asks until `check` gives something, at most `withinMs`. */
export async function eventually<T>(
  what: string,
  check: () => T | undefined | Promise<T | undefined>,
  withinMs = 60_000,
): Promise<T> {
  const endsAt = performance.now() + withinMs;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > endsAt) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
