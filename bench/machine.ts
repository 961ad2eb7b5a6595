// What the results were measured on and with: the machine, and the version that each contestant tells.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { promisify } from 'node:util';
import type { Contestant } from './contestants.ts';

const run = promisify(execFile);

/** Why nothing can be measured here. */
export async function missing(): Promise<string | undefined> {
  for (const tool of ['wrk', 'taskset', 'openssl']) {
    if ((await versionLine([tool, '--version'])) === undefined) return `${tool} is not installed`;
  }
  if (availableParallelism() < 2) return 'it needs two cores';
  return existsSync('/proc/self/stat') ? undefined : 'there is no /proc';
}

/** The first line that it prints, whatever it exits with; undefined where it cannot be started. */
export async function versionLine([command = '', ...arguments_]: readonly string[]): Promise<string | undefined> {
  type Printed = { stdout?: string; stderr?: string; code?: unknown };
  const printed: Printed = await run(command, arguments_).catch((thrown: Printed) => thrown);
  if (printed.code === 'ENOENT') return undefined;
  return `${printed.stdout}${printed.stderr}`.trim().split('\n')[0] ?? '';
}

export function describeMachine(): string {
  return `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${cpus().length} cores, Linux ${release().split('-')[0]}`;
}

/** Of what runs on Node. */
export function packageVersion(name: string): string {
  const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as { version: string };
  return `${name} ${version}`;
}

/** Its name and `2.9.4` of whatever stands around it; undefined where it cannot be started. */
export async function contestantVersion({ name, version }: Contestant, path: string): Promise<string | undefined> {
  if (version === undefined) return name;
  const line = await versionLine(version(path));
  return line === undefined ? undefined : `${name} ${/\d+\.\d+(\.\d+)?/.exec(line)?.[0] ?? ''}`.trim();
}
