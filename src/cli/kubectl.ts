// kubectl of the admin's laptop: a port-forward that is opened again when it drops, and a command in the pod. Every word
// is an argument of its own, and what kubectl says is shown as it says it, for it knows the cluster.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import { childEnvironment } from './child-environment.ts';
import type { Invocation } from './command.ts';
import { plainText } from './status.ts';

export interface Kubectl {
  /**
   * Resolves when the port is forwarded. Both are of 127.0.0.1.
   * @throws kubectl_missing, kubectl_failed
   */
  forward(localPort: number, podPort: number): Promise<Forward>;
  /** @returns its exit code. @throws kubectl_missing */
  execute(argv: readonly string[]): Promise<number>;
}

export interface Forward {
  /** Resolves when kubectl has ended. */
  close(): Promise<void>;
}

/** How long kubectl may take until the port is forwarded, ms. */
const READY_MS = 30_000;
/** Before a dropped forward is opened again, ms. */
const REOPEN_MS = 250;
/** After so many in a row that never came to forward anything. */
const MOST_FAILURES = 20;
const KILL_AFTER_MS = 2_000;

/** @throws usage_invalid */
export function createKubectl({ flags, err }: Invocation, pod: string): Kubectl {
  const place = ['context', 'namespace'].flatMap((name) => {
    const written = flags.get(name)?.value;
    return written === undefined ? [] : [`--${name}=${written}`];
  });
  // `deployment/web` will do as well. A dash would make it a flag.
  if (!/^[a-z0-9][a-z0-9./-]*$/i.test(pod)) {
    throw new SidebearerError('usage_invalid', { reason: '--pod: expected the name of a pod' });
  }
  const named = pod.includes('/') ? pod : `pod/${pod}`;

  function start(argv: readonly string[], stdio: 'pipe' | 'inherit'): ChildProcess {
    const child = spawn('kubectl', [...place, ...argv], {
      stdio: [stdio === 'pipe' ? 'ignore' : 'inherit', stdio, stdio],
      // Out of the terminal's Ctrl-C: the cancel of the login still needs the forward.
      detached: stdio === 'pipe',
      env: childEnvironment(),
    });
    if (child.stderr !== null) {
      createInterface({ input: child.stderr }).on('line', (line) => err(`kubectl: ${plainText(line, 300)}`));
    }
    return child;
  }

  /** Resolves with the running forward, or with undefined where it ended before. @throws kubectl_missing */
  function open(localPort: number, podPort: number): Promise<ChildProcess | undefined> {
    const argv = ['port-forward', '--address=127.0.0.1', named, `${localPort}:${podPort}`];
    const child = start(argv, 'pipe');
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => child.kill('SIGKILL'), READY_MS);
      const settle = (end: () => void): void => {
        clearTimeout(late);
        end();
      };
      child.once('error', (thrown) => settle(() => reject(translate(thrown))));
      child.once('exit', () => settle(() => resolve(undefined)));
      if (child.stdout === null) return;
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('Forwarding from ')) settle(() => resolve(child));
      });
    });
  }

  return {
    async forward(localPort, podPort) {
      const first = await open(localPort, podPort);
      if (first === undefined) throw new SidebearerError('kubectl_failed');
      let child: ChildProcess | undefined = first;
      let isClosed = false;
      const keep = async (): Promise<void> => {
        let failures = 0;
        while (!isClosed && failures < MOST_FAILURES) {
          if (child !== undefined) {
            failures = 0;
            await ended(child);
            if (isClosed) return;
            err('The port-forward dropped; it is opened again.');
          }
          await new Promise((resolve) => setTimeout(resolve, REOPEN_MS));
          if (isClosed) return;
          child = await open(localPort, podPort).catch(() => undefined);
          failures += 1;
        }
      };
      const kept = keep();
      return {
        async close() {
          isClosed = true;
          if (child !== undefined) await end(child);
          await kept;
          // One that was just being opened.
          if (child !== undefined) await end(child);
        },
      };
    },

    async execute(argv) {
      const { container, isTerminal } = { container: flags.get('container')?.value, isTerminal: process.stdin.isTTY };
      const child = start(
        [
          'exec',
          // With a terminal of its own, Ctrl-C reaches the command in the pod.
          ...(isTerminal ? ['--stdin', '--tty'] : []),
          named,
          ...(container === undefined ? [] : [`--container=${container}`]),
          '--',
          ...argv,
        ],
        'inherit',
      );
      try {
        const [code] = await once(child, 'exit');
        return typeof code === 'number' ? code : 1;
      } catch (thrown) {
        throw translate(thrown);
      }
    },
  };
}

function translate(thrown: unknown): SidebearerError {
  const code = systemCode(thrown);
  if (code === 'ENOENT') return new SidebearerError('kubectl_missing');
  return new SidebearerError('kubectl_failed', code === undefined ? {} : { systemCode: code });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  await ended(child);
  clearTimeout(force);
}
