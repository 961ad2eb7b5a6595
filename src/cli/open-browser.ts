// Opening an address in the browser of whoever sits here, where somebody does. The address is an argument of a program,
// never a part of a shell's line.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { childEnvironment } from './child-environment.ts';

export interface Surroundings {
  readonly platform: NodeJS.Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly isContainer: boolean;
}

export function surroundings(env: Surroundings['env']): Surroundings {
  const isContainer = existsSync('/.dockerenv') || existsSync('/run/.containerenv');
  return { platform: process.platform, env, isContainer };
}

export type Launcher = readonly [program: string, ...argv: string[]];

/** What opens an address here; undefined in a container, over SSH, and without a display: no browser there is the admin's. */
export function browserLauncher({ platform, env, isContainer }: Surroundings): Launcher | undefined {
  const has = (name: string): boolean => (env[name] ?? '') !== '';
  if (isContainer || ['KUBERNETES_SERVICE_HOST', 'SSH_CONNECTION', 'SSH_TTY', 'SSH_CLIENT'].some(has)) return undefined;
  switch (platform) {
    case 'darwin':
      return ['open'];
    case 'win32':
      // `start` is a word of the shell's, and an & in an address would end its command.
      return ['rundll32', 'url.dll,FileProtocolHandler'];
    default:
      return has('DISPLAY') || has('WAYLAND_DISPLAY') ? ['xdg-open'] : undefined;
  }
}

/** Some launchers stay as long as the browser does: who is still there after this has opened it, ms. */
const PATIENCE_MS = 3_000;

/** @returns whether it was opened, as far as the launcher tells */
export function openBrowser([program, ...argv]: Launcher, address: string): Promise<boolean> {
  return new Promise((resolve) => {
    // What it says goes nowhere: browsers write about their own affairs for hours.
    const child = spawn(program, [...argv, address], { stdio: 'ignore', detached: true, env: childEnvironment() });
    const patience = setTimeout(() => resolve(true), PATIENCE_MS);
    patience.unref();
    const settle = (isOpen: boolean): void => {
      clearTimeout(patience);
      resolve(isOpen);
    };
    child.once('error', () => settle(false));
    child.once('exit', (code) => settle(code === 0));
    child.unref();
  });
}
