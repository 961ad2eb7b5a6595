// A folder of numbered versions as a compare-and-swap cell: records and leases of the file store are both one.
// It never writes over a version, never removes either of the two highest, and never calls a commit lost that others
// have built upon.
//
// A commit links a finished file to the next number. That alone does not decide it: older versions are deleted, so a
// writer that was frozen can find its number free again. Hence the versions before it (`earlier`) stand in each file:
// who finds a higher number after its own reads there whether that one descends from its write or passed it by.
// Older versions go in ascending order, and only by who listed them after its own link: so whoever sees its number as
// the highest and can then still read it has seen every higher one that existed.

import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Disk } from './disk.ts';
import { isFields } from './stored-record.ts';

/** Stands in a folder from before the first deletion on: an empty listing is then never "absent". */
const marker = 'begun';
/** How many commits may follow upon one before its outcome can no longer be told. */
const remembered = 32;
const maxLooks = 100;

/** What is stored; `writeId` is new with every commit. */
export interface Written {
  readonly writeId: string;
}

export interface Current<T> {
  /** 0: there is none. */
  readonly number: number;
  readonly value: T | undefined;
}

export type SwapResult = { readonly committed: true; readonly number: number } | { readonly committed: false };

export interface VersionedFolder<T extends Written> {
  /** The highest version. @throws store_unavailable, store_permissions_open, and what `decode` and `onLost` throw */
  current(): Promise<Current<T>>;
  /**
   * Writes `value` as `expected + 1` where `expected` is the highest; durable when it returns.
   * @throws as `current`; store_write_failed: it may or may not have been written
   */
  swap(expected: number, value: T): Promise<SwapResult>;
}

export interface VersionedFolderOptions<T extends Written> {
  readonly path: string;
  readonly disk: Disk;
  readonly clock: Clock;
  /** @param value parsed JSON, undefined where it is none */
  readonly decode: (value: unknown, path: string) => T;
  /** Called where versions were here and all are gone; when it returns, the folder counts as empty. */
  readonly onLost: () => void;
}

interface Look<T> extends Current<T> {
  /** Write ids of the versions before it, the latest first. */
  readonly earlier: readonly string[];
  /** All version numbers that were listed, ascending. */
  readonly numbers: readonly number[];
  readonly isMarked: boolean;
}

export function createVersionedFolder<T extends Written>(options: VersionedFolderOptions<T>): VersionedFolder<T> {
  const { path, disk, clock, decode, onLost } = options;
  const pathOf = (number: number): string => join(path, String(number));
  let isTidied = false;

  const look = async (): Promise<Look<T>> => {
    for (let attempt = 1; ; attempt += 1) {
      const names = await disk.list(path);
      if (names !== undefined && !isTidied) {
        isTidied = true;
        await disk.tidyTemporaries(path, names, clock.wallMs());
      }
      const numbers = versionNumbers(names ?? []);
      const number = numbers.at(-1);
      if (number === undefined) {
        const empty = { number: 0, value: undefined, earlier: [], numbers, isMarked: false };
        // Asked after the listing: without a marker by now, nothing can have been deleted under the listing.
        if (names === undefined || !(await disk.exists(join(path, marker)))) return empty;
        if (attempt >= maxLooks) {
          onLost();
          return { ...empty, isMarked: true };
        }
      } else {
        const found = await disk.read(pathOf(number));
        if (found !== undefined) {
          const { earlier, value } = takeApart(found.value);
          const isMarked = names?.includes(marker) ?? false;
          return { number, value: decode(value, pathOf(number)), earlier, numbers, isMarked };
        }
        if (attempt >= maxLooks) {
          throw new SidebearerError('store_unavailable', { path, reason: 'it changes faster than it can be read' });
        }
      }
      // It was passed by between listing and reading: list again.
      await nextTurn();
    }
  };

  /** For a commit that was not linked by this call: an earlier try of the same one may have been. */
  const concludeUnlinked = async (found: Look<T>, target: number, writeId: string): Promise<SwapResult> => {
    if (writeIdAt(found, target) !== writeId) return { committed: false };
    await disk.sync(path);
    return { committed: true, number: target };
  };

  const concludeLinked = async (target: number, writeId: string): Promise<SwapResult> => {
    const found = await look();
    const standing = writeIdAt(found, target);
    if (standing === undefined) {
      throw new SidebearerError('store_write_failed', { path: pathOf(target), reason: 'its outcome cannot be told' });
    }
    if (standing !== writeId) {
      // The number had been used and deleted before we linked it. What stands there now is nobody's.
      if (found.number >= target + 2) await disk.tidy(pathOf(target));
      return { committed: false };
    }
    await prune(found);
    return { committed: true, number: target };
  };

  const prune = async (found: Look<T>): Promise<void> => {
    const old = found.numbers.slice(0, -2);
    if (old.length === 0) return;
    if (!found.isMarked && !(await mark())) return;
    for (const number of old) {
      // Never a higher one while a lower one stays: what others see rests on this order.
      if (!(await disk.tidy(pathOf(number)))) return;
    }
  };

  /** False where it cannot be set: then nothing may be deleted, and the next commit tries again. */
  const mark = async (): Promise<boolean> => {
    let temporary: string | undefined;
    try {
      temporary = await disk.writeTemporary(path, '');
      await disk.link(temporary, join(path, marker));
      await disk.sync(path);
      return true;
    } catch {
      // The commit itself stands; a disk that is full is told by the next one.
      return false;
    } finally {
      if (temporary !== undefined) await disk.tidy(temporary);
    }
  };

  return {
    async current() {
      const { number, value } = await look();
      return { number, value };
    },
    async swap(expected, value) {
      const target = expected + 1;
      const base = await look();
      if (base.number !== expected) return concludeUnlinked(base, target, value.writeId);
      if (expected === 0) {
        await disk.makeFolder(path);
        await disk.sync(dirname(path));
      }
      const earlier = base.value === undefined ? [] : [base.value.writeId, ...base.earlier].slice(0, remembered);
      const temporary = await disk.writeTemporary(path, `${JSON.stringify({ ...value, earlier })}\n`);
      let isLinked: boolean;
      try {
        isLinked = await disk.link(temporary, pathOf(target));
      } finally {
        await disk.tidy(temporary);
      }
      if (!isLinked) return concludeUnlinked(await look(), target, value.writeId);
      await disk.sync(path);
      return concludeLinked(target, value.writeId);
    },
  };
}

/** Version numbers among the names, ascending; whatever else lies in the folder is passed over. */
export function versionNumbers(names: readonly string[]): number[] {
  return names
    .filter((name) => /^[1-9]\d{0,14}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** Whether a record's folder holds a version, or held one. */
export function hasBegun(names: readonly string[]): boolean {
  return names.includes(marker) || versionNumbers(names).length > 0;
}

/** The write id of version `number` as the highest one tells it; undefined where it cannot know. */
function writeIdAt<T extends Written>(found: Look<T>, number: number): string | undefined {
  if (found.number === number) return found.value?.writeId;
  return found.number > number ? found.earlier[found.number - number - 1] : undefined;
}

/** Parts our own field from what was stored. */
function takeApart(stored: unknown): { value: unknown; earlier: readonly string[] } {
  if (!isFields(stored)) return { value: stored, earlier: [] };
  const { earlier, ...value } = stored;
  const isList = Array.isArray(earlier) && earlier.every((id) => typeof id === 'string');
  return { value, earlier: isList ? earlier : [] };
}
