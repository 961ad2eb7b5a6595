// Which program this is: stamped by the build; in a working tree read from package.json and git.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Invocation } from './command.ts';

// Put in place by scripts/build.ts.
declare const SIDEBEARER_VERSION: string | undefined;
declare const SIDEBEARER_COMMIT: string | undefined;

export interface BuildInfo {
  readonly version: string;
  /** Twelve hex digits, or `unknown`. */
  readonly commit: string;
}

export function buildInfo(): BuildInfo {
  if (typeof SIDEBEARER_VERSION === 'string' && typeof SIDEBEARER_COMMIT === 'string') {
    return { version: SIDEBEARER_VERSION, commit: SIDEBEARER_COMMIT };
  }
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const description: unknown = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const hasVersion = typeof description === 'object' && description !== null && 'version' in description;
  return { version: hasVersion ? String(description.version) : 'unknown', commit: readCommit(root) };
}

function readCommit(root: string): string {
  // Installed below another project's repository, git would tell that one's commit.
  if (!existsSync(`${root}.git`)) return 'unknown';
  try {
    return execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 2_000,
    }).trim();
  } catch {
    return 'unknown';
  }
}

export async function version({ out }: Invocation): Promise<number> {
  const { version, commit } = buildInfo();
  out(`sidebearer ${version} (commit ${commit}, node ${process.version})`);
  return 0;
}
