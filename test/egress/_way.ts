// Ways as the composition root makes them, without a configuration.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { parseEgressProxy } from '../../src/egress/egress-proxy.ts';
import { createExemptions } from '../../src/egress/exemptions.ts';
import { openTlsFiles } from '../../src/egress/tls-files.ts';
import { createWay, type Way } from '../../src/egress/way.ts';
import type { Scope } from '../proxy/_proxy.ts';

export interface WayChoice {
  /** URL of an egress proxy. */
  readonly proxy?: string;
  readonly noProxy?: string;
  /** Texts in PEM, which are written to files. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
}

export async function openWay(scope: Scope, choice: WayChoice): Promise<Way> {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-tls-'));
  scope.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const files: Record<string, string> = {};
  for (const name of ['ca', 'cert', 'key'] as const) {
    const text = choice[name];
    if (text === undefined) continue;
    files[name] = join(folder, `${name}.pem`);
    writeFileSync(files[name], text);
  }
  const tls = await openTlsFiles({ ...files, serverName: choice.serverName }, 'tls');
  const proxy = choice.proxy === undefined ? undefined : parseEgressProxy(choice.proxy);
  const way = createWay({ proxy, isExempt: createExemptions(choice.noProxy ?? ''), tls, clock: systemClock });
  if (way === undefined) throw new Error('a way with nothing to say');
  return way;
}
