// Runs the command line as a process of its own, as an operator does.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

export function sidebearer(argv: readonly string[], { env = {}, input }: CommandOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    // Nothing of the machine's own settings may reach the command.
    const child = spawn(process.execPath, [main, ...argv], { env: { PATH: process.env['PATH'] ?? '', ...env } });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
    child.stdin.on('error', () => {
      // A command that reads nothing may have ended already.
    });
    child.stdin.end(input);
  });
}
