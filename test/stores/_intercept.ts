// Stands between the file store and the disk, so that a test can fail, delay or end the process at any one step.
// It replaces Node's own functions, for everyone in the process: production code has no door for it.

import promises, { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/** Called before each step with its name and first argument; what it throws, the step throws. */
export type BeforeStep = (step: string, target: string) => void | Promise<void>;

const functions = ['open', 'link', 'lstat', 'mkdir', 'readdir', 'stat', 'unlink'] as const;
const methods = ['sync', 'writeFile', 'readFile', 'stat', 'close'] as const;

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

/** Intercepts until the returned function is called. */
export async function interceptDisk(before: BeforeStep): Promise<() => void> {
  const handle = await open(new URL(import.meta.url));
  const prototype: object = Object.getPrototypeOf(handle);
  await handle.close();
  const undo = [
    ...functions.map((name) => replace(promises, name, name, before)),
    ...methods.map((name) => replace(prototype, name, `file.${name}`, before)),
  ];
  syncBuiltinESMExports();
  return () => {
    for (const restore of undo) restore();
    syncBuiltinESMExports();
  };
}

function replace(holder: object, name: string, step: string, before: BeforeStep): () => void {
  const original: AnyFunction = Reflect.get(holder, name);
  const replaced: AnyFunction = async function (this: unknown, ...args) {
    try {
      await before(step, String(args[0]));
    } catch (thrown) {
      // A close that fails has closed all the same.
      if (name === 'close') await original.apply(this, args);
      throw thrown;
    }
    return original.apply(this, args);
  };
  Reflect.set(holder, name, replaced);
  return () => void Reflect.set(holder, name, original);
}

/** As the system reports it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
