// A folder as kubelet mounts a ConfigMap or a Secret: each file a link through `..data`, which is swapped as a whole.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Mount {
  path(name: string): string;
  /** Puts these in the place of all that was there. */
  swap(files: Readonly<Record<string, string>>): void;
}

export function createMount(t: { teardown(end: () => void): unknown }, files: Readonly<Record<string, string>>): Mount {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-mount-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  let count = 0;
  let current: string | undefined;
  const mount: Mount = {
    path: (name) => join(folder, name),
    swap(next) {
      count += 1;
      const data = `..2026_${count}`;
      mkdirSync(join(folder, data));
      for (const [name, text] of Object.entries(next)) writeFileSync(join(folder, data, name), text);
      symlinkSync(data, join(folder, '..data_tmp'));
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
      for (const name of Object.keys(next)) {
        if (count === 1) symlinkSync(join('..data', name), join(folder, name));
      }
      // kubelet takes the old one away at once.
      if (current !== undefined) rmSync(join(folder, current), { recursive: true });
      current = data;
    },
  };
  mount.swap(files);
  return mount;
}
