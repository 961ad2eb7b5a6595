// A reloader on real files and a clock of the system: what its tests share.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { readFile } from '../../src/cli/configuration.ts';
import { systemClock } from '../../src/clock.ts';
import { ConfigRefusal } from '../../src/config/refusal.ts';
import { createReloader, readConfig } from '../../src/config/reloader.ts';
import type { Config } from '../../src/config/schema.ts';

export const text = (upstream = 'https://one.example', more = ''): string => `
routes: [{ upstream: "${upstream}", credential: app }]
credentials: { app: { provider: file, path: /token } }
store: { kind: memory }
${more}`;

interface Circumstances {
  readonly read?: (path: string) => string;
  readonly adjust?: (config: Config) => Config;
  /** Happens after the first reading, and before anybody watches. */
  readonly meanwhile?: (put: (content: string) => void) => void;
}

export async function start(
  t: Test,
  first = text(),
  files: Readonly<Record<string, string>> = {},
  { read = readFile, adjust = (config) => config, meanwhile }: Circumstances = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  const file = join(folder, 'config.yaml');
  const put = (content: string, name = 'config.yaml'): void => {
    writeFileSync(join(folder, '.new'), content);
    renameSync(join(folder, '.new'), join(folder, name));
  };
  for (const [name, content] of Object.entries(files)) put(content, name);
  put(first.replaceAll('FOLDER', folder));
  const source = { file, env: {}, readFile: read };
  const { loaded, files: contents } = readConfig(source);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.mistakes));
  meanwhile?.(put);
  const told: string[] = [];
  const warned: string[] = [];
  const applied: Config[] = [];
  let apply: (config: Config) => Promise<void> = async () => undefined;
  const reloader = createReloader({
    source,
    config: adjust(loaded.config),
    files: contents,
    adjust,
    apply: async (config, against) => {
      const found = await apply(config).then(
        () => [],
        (thrown: ConfigRefusal) => thrown.errors,
      );
      if (against.length + found.length > 0) throw new ConfigRefusal([...against, ...found]);
      applied.push(config);
    },
    observer: {
      applied: ({ settings }) => void told.push(`applied ${settings}`),
      refused: (mistakes) => void told.push(`refused ${mistakes.map(({ error }) => error.code)}`),
      unchanged: () => void told.push('unchanged'),
    },
    warn: ({ path }) => void warned.push(path),
    clock: systemClock,
  });
  // A watch keeps no process alive.
  const awake = setInterval(() => undefined, 1_000);
  t.teardown(async () => {
    clearInterval(awake);
    await reloader.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const until = async (count: number): Promise<void> => {
    while (told.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  return {
    folder,
    file,
    put: (content: string, name?: string) => put(content.replaceAll('FOLDER', folder), name),
    reloader,
    told,
    warned,
    applied,
    until,
    onApply(next: typeof apply) {
      apply = next;
    },
  };
}
