// A proxy in a process of its own, so that its memory can be measured. Run with a carrier's name and an upstream it
// says its port; it ends when its standard input does.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Scope } from '../_proxy.ts';
import { type Carrier, carriers } from './_carriers.ts';

export interface ProxyProcess {
  readonly port: number;
  /** Anonymous memory, bytes. */
  rssAnon(): number;
  /** The same without what the collector can free. */
  held(): Promise<number>;
}

export async function startProxyProcess(scope: Scope, carrier: Carrier, upstream: string): Promise<ProxyProcess> {
  const child = spawn(process.execPath, ['--expose-gc', import.meta.filename, carrier.name, upstream], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  scope.teardown(() => {
    child.kill();
    return exited;
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (line: Buffer) => resolve(Number(line)));
    child.once('exit', () => reject(new Error('The proxy did not start')));
  });
  const rssAnon = (): number =>
    Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024;
  return {
    port,
    rssAnon,
    async held() {
      const collected = new Promise((resolve) => child.stdout.once('data', resolve));
      child.stdin.write('collect\n');
      await collected;
      return rssAnon();
    },
  };
}

if (process.argv[1] === import.meta.filename) {
  const [, , name, upstream = ''] = process.argv;
  const carrier = carriers.find((each) => each.name === name);
  const { port } = (await carrier?.start({ teardown: () => undefined }, upstream)) ?? {};
  process.stdin.on('end', () => process.exit());
  process.stdin.on('data', async () => {
    for (let i = 0; i < 3; i += 1) {
      globalThis.gc?.();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    process.stdout.write('collected\n');
  });
  process.stdout.write(`${port}\n`);
}
