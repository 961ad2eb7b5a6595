// Follows the files of a running configuration, and puts a changed one in force. One reload at a time; the last state of
// the files wins. What cannot be used is refused as a whole and told once; the configuration before it goes on.
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError, systemCode, toSidebearerError } from '../errors/sidebearer-error.ts';
import { foldersOf, watchContents } from '../file-watch.ts';
import { changesBetween } from './changes.ts';
import { tlsFilesOf } from './files.ts';
import { type ConfigSource, type LoadedConfig, loadConfig } from './load.ts';
import { formatMistake, type Mistake, type Warning } from './mistake.ts';
import { ConfigRefusal } from './refusal.ts';
import type { ReloadMistake, ReloadObserver } from './reload-observer.ts';
import type { Config } from './schema.ts';

export interface ReloaderOptions {
  /** Read again each time, overrides and all. */
  readonly source: ConfigSource;
  /** What is in force. */
  readonly config: Config;
  /** The files that it was read from, as they were then. */
  readonly files: FileContents;
  /** What the command made of the configuration when it started, made again. */
  readonly adjust: (config: Config) => Config;
  /**
   * Puts it in force, or rejects with a ConfigRefusal or a SidebearerError and has changed nothing.
   * @param against what speaks against it already: then it is tried only, and all of it is told
   */
  readonly apply: (config: Config, against: readonly SidebearerError[]) => Promise<void>;
  readonly observer: ReloadObserver;
  readonly warn: (warning: Warning) => void;
  readonly clock: Clock;
}

export interface Reloader {
  /** Somebody asks for it: what was refused before is told again. */
  request(): void;
  /** Resolves when no reload is at work any more. */
  close(): Promise<void>;
}

/** A file may be half written, or away for a moment: what seems wrong is looked at once more before it is told, ms. */
const CONFIRM_MS = 1_000;

/** Digests by path. */
export type FileContents = ReadonlyMap<string, string>;

/** Reads a configuration, and tells which files that took and what they held. */
export function readConfig(source: ConfigSource): { readonly loaded: LoadedConfig; readonly files: FileContents } {
  const files = new Map<string, string>();
  // Before it is read: of a file that changes in between, the digest is too old, and it is read again. Too new, and
  // nobody ever would.
  const note = (path: string): void => void (files.has(path) || files.set(path, digest(path)));
  const loaded = loadConfig({
    ...source,
    readFile(path) {
      note(path);
      return source.readFile(path);
    },
  });
  if (loaded.ok) tlsFilesOf(loaded.config).forEach(note);
  return { loaded, files };
}

export function createReloader(options: ReloaderOptions): Reloader {
  const { source, observer, clock } = options;
  let active = options.config;
  let paths: readonly string[] = [];
  /** What the files held when they were last put in force, when they were last refused, and when last looked at. */
  let contents = options.files;
  let refused: FileContents | undefined;
  let seen = contents;
  let watches = new Map<string, { close(): void }>();
  let isDirty = false;
  let isRequested = false;
  let running: Promise<void> | undefined;
  const closing = new AbortController();
  /** Cuts the second look short. */
  let stirred = new AbortController();

  function follow(next: readonly string[]): void {
    paths = next;
    const folders = new Set(next.flatMap(foldersOf));
    const kept = new Map<string, { close(): void }>();
    for (const [folder, watch] of watches) {
      if (folders.has(folder)) kept.set(folder, watch);
      else watch.close();
    }
    for (const folder of folders) if (!kept.has(folder)) kept.set(folder, watchContents(folder, clock, moved));
    watches = kept;
  }

  /** In a folder that never rests, a neighbour would put off the second look for ever. */
  function moved(): void {
    if (running !== undefined && isEqual(snapshot(paths), seen)) follow(paths);
    else stir();
  }

  function stir(): void {
    isDirty = true;
    stirred.abort();
    running ??= run().finally(() => {
      running = undefined;
    });
  }

  async function run(): Promise<void> {
    while ((isDirty || isRequested) && !closing.signal.aborted) {
      isDirty = false;
      stirred = new AbortController();
      const now = snapshot(paths);
      // A neighbour in a folder, or what was refused already.
      if (!isRequested && (isEqual(now, contents) || (refused !== undefined && isEqual(now, refused)))) {
        // What was refused was taken back.
        if (refused !== undefined && isEqual(now, contents)) {
          refused = undefined;
          observer.unchanged();
        }
        follow(paths);
        continue;
      }
      await reload();
    }
  }

  async function reload(): Promise<void> {
    if ((await attempt()) === undefined) return;
    await sleep(clock, CONFIRM_MS, AbortSignal.any([closing.signal, stirred.signal]), { background: true });
    // Something moved: the loop comes by again.
    if (isDirty || closing.signal.aborted) return;
    const mistakes = await attempt();
    if (mistakes === undefined || isDirty) return;
    isRequested = false;
    // Not what they hold by now: that may be mended already.
    refused = seen;
    observer.refused(mistakes);
  }

  /** What is wrong with it; undefined where it is in force now. */
  async function attempt(): Promise<readonly ReloadMistake[] | undefined> {
    try {
      const { loaded, files } = readConfig(source);
      // Of one that cannot be read whole, what the one in force was read from is still of interest.
      seen = loaded.ok ? files : new Map([...snapshot([...contents.keys()]), ...files]);
      follow([...seen.keys()]);
      if (!loaded.ok) return loaded.mistakes.map(mistakeOf);
      await putInForce(options.adjust(loaded.config), files, loaded.warnings);
      return undefined;
    } catch (thrown) {
      const errors = thrown instanceof ConfigRefusal ? thrown.errors : [toSidebearerError(thrown)];
      return errors.map(withoutPlace);
    }
  }

  async function putInForce(config: Config, files: FileContents, warnings: readonly Warning[]): Promise<void> {
    const { applied, fixed } = changesBetween(active, config);
    const against = fixed.map((setting) => new SidebearerError('restart_required', { setting }));
    const changed = [...files].filter(([path, text]) => contents.get(path) !== text).map(([path]) => path);
    const isNew = applied.length > 0 || changed.length > 0;
    if (isNew || against.length > 0) await options.apply(config, against);
    if (closing.signal.aborted) return;
    active = config;
    contents = files;
    if (isNew) observer.applied({ settings: applied, files: changed });
    else if (isRequested || refused !== undefined) observer.unchanged();
    refused = undefined;
    isRequested = false;
    if (applied.length > 0) for (const warning of warnings) options.warn(warning);
  }

  follow([...contents.keys()]);
  // What changed since it was read, before anybody watched.
  stir();
  return {
    request() {
      isRequested = true;
      stir();
    },
    async close() {
      closing.abort();
      for (const watch of watches.values()) watch.close();
      await running;
    },
  };
}

function mistakeOf(mistake: Mistake): ReloadMistake {
  const { code, path, line, column } = mistake;
  const place = { ...(line !== undefined && { line }), ...(column !== undefined && { column }) };
  const { message: reason } = mistake;
  return { error: new SidebearerError(code, { setting: path, reason, ...place }), text: formatMistake(mistake) };
}

function withoutPlace(error: SidebearerError): ReloadMistake {
  const { setting = '', path, reason } = error.details;
  const what = [path, reason].filter((each) => each !== undefined).join(': ');
  return { error, text: [error.code, setting, what === '' ? error.message : what].join(': ') };
}

/** Digests: what the files hold may be secret, and is not kept twice. */
function snapshot(paths: readonly string[]): Map<string, string> {
  return new Map(paths.map((path) => [path, digest(path)]));
}

function digest(path: string): string {
  try {
    // A pipe would give its text to whoever reads first, or keep the reader for ever.
    if (!statSync(path).isFile()) return 'no file';
    return createHash('sha256').update(readFileSync(path)).digest('base64');
  } catch (thrown) {
    return `unreadable ${systemCode(thrown) ?? ''}`;
  }
}

function isEqual(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([path, text]) => b.get(path) === text);
}
