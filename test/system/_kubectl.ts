// A `kubectl` for the PATH: port-forward carries a port as the real one does, exec notes what it was told. What it was
// called with stands in calls.jsonl of its folder, its process ids in pids.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const forwarder = new URL('./_port-forward.ts', import.meta.url).href;

export interface StandIn {
  /** For PATH. */
  readonly path: string;
  calls(): string[][];
  pids(): number[];
}

/** @param podHost the address that plays the pod's loopback. @param exitOfExec what `kubectl exec` ends with */
export function createKubectlStandIn(t: { teardown(end: () => void): void }, podHost: string, exitOfExec = 0): StandIn {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-kubectl-'));
  const lines = (name: string): string[] =>
    existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8').trim().split('\n') : [];
  const pids = (): number[] => lines('pids').map(Number);
  t.teardown(() => {
    for (const pid of pids()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself, as it should.
      }
    }
    rmSync(folder, { recursive: true, force: true });
  });
  // Without what a test runner gives to each Node through NODE_OPTIONS: this is another program.
  const script = join(folder, 'kubectl.mjs');
  writeFileSync(
    join(folder, 'kubectl'),
    `#!/bin/sh\nunset NODE_OPTIONS\nexec "${process.execPath}" "${script}" "$@"\n`,
  );
  writeFileSync(
    script,
    `import { appendFileSync } from 'node:fs';
import { startPortForward } from ${JSON.stringify(forwarder)};
const argv = process.argv.slice(2);
appendFileSync(${JSON.stringify(join(folder, 'calls.jsonl'))}, JSON.stringify(argv) + '\\n');
if (argv.includes('exec')) {
  process.stderr.write('said in the pod\\n');
  process.exitCode = ${exitOfExec};
} else {
  appendFileSync(${JSON.stringify(join(folder, 'pids'))}, process.pid + '\\n');
  const [local, pod] = argv.at(-1).split(':').map(Number);
  await startPortForward({ teardown() {} }, { host: ${JSON.stringify(podHost)}, port: pod }, local);
  console.log('Forwarding from 127.0.0.1:' + local + ' -> ' + pod);
}
`,
  );
  chmodSync(join(folder, 'kubectl'), 0o755);
  return { path: folder, calls: () => lines('calls.jsonl').map((line) => JSON.parse(line)), pids };
}
