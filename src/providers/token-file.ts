// A token that something else writes to a file (a projected service account token, an agent's sink): read on demand,
// watched through its folder. Never written, and its mode is never judged: kubelet's files are symlinks owned by root.
import { type FSWatcher, statSync, watch as watchFolder } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../clock.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import { jwtExpiresAtMs } from './jwt-claims.ts';
import type { TokenFile } from './provider.ts';
import { isVisibleAscii } from './token-answer.ts';

export interface TokenFileOptions {
  readonly path: string;
  readonly clock: Clock;
}

/** A write is several events; kubelet's swap is some more. */
const SETTLE_MS = 50;
/** A folder that is not there (yet), or was replaced, is looked for again this often. */
const RETRY_MS = 5_000;

export function createTokenFile({ path, clock }: TokenFileOptions): TokenFile {
  return {
    async read() {
      const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
        const code = systemCode(thrown);
        throw new SidebearerError('token_file_unreadable', { path, ...(code !== undefined && { systemCode: code }) });
      });
      const accessToken = text.trim();
      if (accessToken === '') throw new SidebearerError('token_file_unreadable', { path, reason: 'it is empty' });
      if (!isVisibleAscii(accessToken)) throw new SidebearerError('access_token_malformed', { path });
      const expiresAtMs = jwtExpiresAtMs(accessToken);
      return {
        accessToken,
        ...(expiresAtMs !== undefined && { expiresAtMs }),
        obtainedAtMs: clock.wallMs(),
        warnings: [],
      };
    },
    watch: (changed) => watchThroughFolder(dirname(path), clock, changed),
  };
}

/** The folder, not the file: a file that is replaced takes its watch with it. */
function watchThroughFolder(folder: string, clock: Clock, changed: () => void): { close(): void } {
  let watcher: FSWatcher | undefined;
  let watched: string | undefined;
  let timer: Timer | undefined;
  let isClosed = false;

  function later(delayMs: number, then: () => void): void {
    timer?.cancel();
    const fire = (): void => {
      timer = undefined;
      then();
    };
    timer = clock.after(delayMs, fire, { background: true });
  }

  function arm(): boolean {
    watcher?.close();
    watcher = undefined;
    watched = identityOf(folder);
    try {
      watcher = watchFolder(folder, { persistent: false }, stir);
      watcher.on('error', () => later(RETRY_MS, rearm));
    } catch {
      later(RETRY_MS, rearm);
    }
    return watcher !== undefined;
  }

  /** Whatever was written while nobody watched raised no event. */
  function rearm(): void {
    if (!isClosed && arm()) changed();
  }

  /** The first event of a burst sets the time: in a folder that never rests, waiting for rest would be for ever. */
  function stir(): void {
    if (timer !== undefined || isClosed) return;
    later(SETTLE_MS, () => {
      if (identityOf(folder) !== watched) arm();
      changed();
    });
  }

  arm();
  return {
    close() {
      isClosed = true;
      timer?.cancel();
      watcher?.close();
    },
  };
}

/** An inode number is soon used again; with the time of birth it is one folder. */
function identityOf(folder: string): string | undefined {
  try {
    const { dev, ino, birthtimeNs } = statSync(folder, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch {
    return undefined;
  }
}
