// Side by side on one machine, in one run: CPU of the proxy for one request, throughput, memory, time to ready.
// The proxy has a core for itself; the upstream and wrk share another. Numbers of different runs do not compare.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import {
  ANSWER_BYTES,
  ask,
  bundle,
  type Contestant,
  startNginx,
  startSidebearer,
  startUpstream,
} from './contestants.ts';
import { readUsage } from './process-stats.ts';

const run = promisify(execFile);
const PROXY_CORE = 0;
const LOAD_CORE = 1;
/** Memory settles after the start, before it is called idle. */
const IDLE_MS = 1_000;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
  },
});

interface Round {
  readonly cpuUsPerRequest: number;
  readonly requestsPerSecond: number;
  readonly p99: string;
  readonly failures: number;
}

async function missing(): Promise<string | undefined> {
  for (const tool of ['nginx', 'wrk', 'taskset']) {
    // `nginx -v` and `taskset --version` end well, `wrk -v` does not: whether it can be started is what counts.
    const found = await run(tool, [tool === 'taskset' ? '--version' : '-v']).then(
      () => true,
      (error: { code?: unknown }) => error.code !== 'ENOENT',
    );
    if (!found) return `${tool} is not installed`;
  }
  if (availableParallelism() < 2) return 'it needs two cores';
  return existsSync('/proc/self/stat') ? undefined : 'there is no /proc';
}

async function measure(contestant: Contestant): Promise<Round> {
  const before = readUsage(contestant.pid);
  const arguments_ = ['-c', String(LOAD_CORE), 'wrk', '-t1', `-c${values.connections}`, `-d${values.seconds}s`];
  const { stdout } = await run('taskset', [...arguments_, '--latency', contestant.url]);
  const after = readUsage(contestant.pid);
  const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? 0);
  const requests = number(/(\d+) requests in/);
  const socketErrors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout) ?? [];
  return {
    cpuUsPerRequest: (after.cpuUs - before.cpuUs) / Math.max(requests, 1),
    requestsPerSecond: number(/Requests\/sec:\s+([\d.]+)/),
    p99: /99%\s+(\S+)/.exec(stdout)?.[1] ?? '?',
    failures:
      number(/Non-2xx or 3xx responses: (\d+)/) + socketErrors.slice(1).reduce((sum, each) => sum + Number(each), 0),
  };
}

async function verify({ name, url }: Contestant): Promise<void> {
  const { status, bytes } = await ask(url);
  if (status !== 200 || bytes !== ANSWER_BYTES) throw new Error(`${name} answers ${status} with ${bytes} bytes`);
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return (low + high) / 2;
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  rows.forEach((row, index) => {
    console.log(`| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`);
    if (index === 0) console.log(`|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  });
}

function megabytes(bytes: number): string {
  return (bytes / 1_048_576).toFixed(1);
}

async function compare(folder: string): Promise<void> {
  const running: Contestant[] = [];
  try {
    const upstream = await startUpstream(folder, LOAD_CORE);
    running.push(upstream);
    const contestants: Contestant[] = [];
    for (const start of [startNginx, startSidebearer]) {
      const contestant = await start(folder, PROXY_CORE, upstream);
      running.push(contestant);
      contestants.push(contestant);
      await verify(contestant);
    }
    await delay(IDLE_MS);
    const idle = contestants.map(({ pid }) => readUsage(pid).anonymousBytes);
    const rounds = contestants.map((): Round[] => []);
    // In turn, so that whatever drifts in the machine meets each of them.
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const [index, contestant] of contestants.entries()) {
        const result = await measure(contestant);
        rounds[index]?.push(result);
        const { cpuUsPerRequest, requestsPerSecond, p99, failures } = result;
        const rate = `${cpuUsPerRequest.toFixed(1)} µs, ${requestsPerSecond.toFixed(0)}/s, p99 ${p99}`;
        console.log(`round ${round}  ${contestant.name}: ${rate}, ${failures} failures`);
      }
    }
    const cpu = rounds.map((each) => median(each.map(({ cpuUsPerRequest }) => cpuUsPerRequest)));
    console.log('');
    printTable([
      ['', 'CPU, µs', '× nginx', 'requests/s', 'RssAnon idle / loaded, MB', 'start to ready, ms', 'failures'],
      ...contestants.map(({ name, pid, startMs }, index) => [
        name,
        (cpu[index] ?? 0).toFixed(1),
        ((cpu[index] ?? 0) / (cpu[0] ?? 1)).toFixed(2),
        median((rounds[index] ?? []).map(({ requestsPerSecond }) => requestsPerSecond)).toFixed(0),
        `${megabytes(idle[index] ?? 0)} / ${megabytes(readUsage(pid).anonymousBytes)}`,
        startMs.toFixed(0),
        String((rounds[index] ?? []).reduce((sum, { failures }) => sum + failures, 0)),
      ]),
    ]);
  } finally {
    for (const each of running.toReversed()) await each.stop();
  }
}

const absent = await missing();
if (absent !== undefined) {
  console.log(`The benchmark is skipped: ${absent}.`);
} else if (existsSync(bundle)) {
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-bench-'));
  console.log(
    `${cpus()[0]?.model.trim()}, Node ${process.version}: ${values.connections} connections, GET, ${ANSWER_BYTES} bytes, ` +
      `${values.rounds} rounds of ${values.seconds} s, the proxy alone on core ${PROXY_CORE}\n`,
  );
  try {
    await compare(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
} else {
  console.error(`${bundle} is missing: run \`npm run build\` first.`);
  process.exitCode = 1;
}
