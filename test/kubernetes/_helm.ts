// helm, as the tests of the chart use it: what it renders, as objects, and what it says where it renders nothing.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const run = promisify(execFile);

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const chart = join(root, 'helm/sidebearer');

export interface Manifest {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
}

export async function helm(...args: string[]): Promise<string> {
  return (await run('helm', args)).stdout;
}

/** The release `app`. */
export async function render(...args: string[]): Promise<Manifest[]> {
  return readManifests(await helm('template', 'app', ...args));
}

export function readManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const manifest = document.toJS() as Manifest | null;
    return manifest === null ? [] : [manifest];
  });
}

/** What helm says when it renders nothing. */
export async function refusal(...args: string[]): Promise<string> {
  return helm('template', 'app', ...args).then(
    () => 'it was rendered',
    (error: { stderr: string }) => error.stderr,
  );
}
