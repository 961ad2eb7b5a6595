// A proxy in a process of its own, so that its memory can be measured. Run with a carrier's name and an upstream it says
// its port; it ends when its standard input does.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { ProxyLimits } from '../../../src/proxy/listener.ts';
import type { Scope } from '../_proxy.ts';
import { type Carrier, carriers } from './_carriers.ts';

export interface ProxyProcess {
  readonly port: number;
  /**
   * Bytes that are held, after a collection: objects, and the buffers that they keep alive outside of the heap. What
   * the collector has not yet returned, and what the allocator keeps of freed buffers, is not held.
   */
  held(): Promise<number>;
}

export async function startProxyProcess(
  scope: Scope,
  carrier: Carrier,
  upstream: string,
  limits: Partial<ProxyLimits> = {},
): Promise<ProxyProcess> {
  const run = [import.meta.filename, carrier.name, upstream, JSON.stringify(limits)];
  const child = spawn(process.execPath, ['--expose-gc', ...run], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  scope.teardown(() => {
    child.stdin.end();
    return exited;
  });
  const lines = createInterface(child.stdout);
  const answer = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error('The proxy has ended'));
      child.once('exit', gone);
      lines.once('line', (line) => {
        child.off('exit', gone);
        resolve(Number(line));
      });
    });
  return {
    port: await answer(),
    held() {
      child.stdin.write('held\n');
      return answer();
    },
  };
}

if (process.argv[1] === import.meta.filename) {
  const [, , name, upstream = '', limits = '{}'] = process.argv;
  const carrier = carriers.find((each) => each.name === name);
  const { port } =
    (await carrier?.start({ teardown: () => undefined }, upstream, { limits: JSON.parse(limits) })) ?? {};
  process.stdin.on('end', () => process.exit());
  process.stdin.on('data', async () => {
    // Finalizers run, and what they free is collected the next time.
    for (let i = 0; i < 3; i += 1) {
      globalThis.gc?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { heapUsed, external } = process.memoryUsage();
    process.stdout.write(`${heapUsed + external}\n`);
  });
  process.stdout.write(`${port}\n`);
}
