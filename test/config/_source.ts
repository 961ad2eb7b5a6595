// A configuration as text, with files and variables that exist only in the test.
import { checkConfig, type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import type { Mistake } from '../../src/config/mistake.ts';

export interface World {
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
}

export function sourceOf(text: string, { env = {}, files = {} }: World = {}) {
  const readFile = (path: string): string => {
    const content = files[path];
    if (content === undefined) throw Object.assign(new Error('absent'), { code: 'ENOENT' });
    return content;
  };
  return { file: 'c.yaml', text, env, readFile };
}

export function load(text: string, world?: World): LoadedConfig {
  return loadConfig(sourceOf(text, world));
}

export function mistakesOf(text: string, world?: World): readonly Mistake[] {
  return checkConfig(sourceOf(text, world), { resolveReferences: true }).mistakes;
}

/** The least that is valid: lines 1 to 8. What is added begins on line 9. */
export const minimal = `routes:
  - upstream: https://api.example
    credential: codex
credentials:
  codex:
    provider: codex
store:
  kind: memory
`;
