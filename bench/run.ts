// Side by side on one machine, in one run. The proxy has a core for itself; the upstream and the load share another.
// Numbers of different runs do not compare; ratios do, nearly. --help tells the flags.
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { measureAddedLatency } from './added-latency.ts';
import { cases } from './cases.ts';
import { contestants } from './contestants.ts';
import { contestantVersion, describeMachine, missing, packageVersion } from './machine.ts';
import { caseTable, latencyTable, startTable } from './report.ts';
import { type Course, type Entrant, runCase, type Score } from './rounds.ts';
import { bundle, imageFlags } from './sidebearer.ts';
import { measureStarts } from './start-times.ts';

const PROXY_CORE = 0;
const LOAD_CORE = 1;
const LATENCY = 'latency';
const START = 'start';
const caseNames = [...cases.map(({ name }) => name), LATENCY, START];

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: caseNames.join(',') },
    peers: { type: 'string', default: contestants.map(({ name }) => name).join(',') },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '10' },
    bundle: { type: 'string', default: bundle },
    'node-flags': { type: 'string', default: imageFlags.join(' ') },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const help = `node bench/run.ts [flags]
  --cases    of ${caseNames.join(',')}
  --peers    of ${contestants.map(({ name }) => name).join(',')}
  --rounds   of each case, in turn; default 5
  --seconds  of each round; default 1
  --minutes  after which nothing more is begun, and what is left out is told; default 10
  --bundle, --node-flags   another build of Sidebearer, and what Node is given for it
  --write    writes bench/RESULTS.md`;

const sidebearer = { bundle: values.bundle, nodeFlags: values['node-flags'].split(' ').filter((flag) => flag !== '') };

/** Those who can run here; the others are told. */
async function findEntrants(): Promise<{ entrants: Entrant[]; versions: string[]; left: string[] }> {
  const [entrants, versions, left]: [Entrant[], string[], string[]] = [[], [], []];
  for (const each of contestants) {
    if (!values.peers.split(',').includes(each.name)) continue;
    const built = await each.build?.();
    if (built !== undefined && 'missing' in built) {
      left.push(`${each.name}: ${built.missing}`);
      continue;
    }
    const path = built?.path ?? '';
    const version = await contestantVersion(each, path);
    if (version === undefined) {
      left.push(`${each.name}: it is not installed`);
      continue;
    }
    entrants.push({ ...each, setting: { path, sidebearer } });
    if (version !== each.name) versions.push(version);
  }
  return { entrants, versions, left };
}

async function compare(folder: string): Promise<string> {
  const course: Course = {
    folder,
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    proxyCore: PROXY_CORE,
    loadCore: LOAD_CORE,
    deadlineMs: performance.now() + Number(values.minutes) * 60_000,
  };
  const wanted = values.cases.split(',');
  const { entrants, versions, left } = await findEntrants();
  const flags = sidebearer.nodeFlags.length === 0 ? 'no flags' : sidebearer.nodeFlags.join(' ');
  versions.push(packageVersion('http-proxy-3'), packageVersion('undici'), `Node ${process.versions.node} (${flags})`);
  const parts = [
    `${new Date().toISOString().slice(0, 10)}. ${describeMachine()}; ${versions.join(', ')}.`,
    `Medians; rounds: ${course.rounds}, of ${course.seconds} s; the proxy alone on one core, load and upstream on another.`,
    ...left.map((each) => `Left out: ${each}.`),
    '',
  ];
  let peaks: Score[] = [];
  for (const each of cases) {
    if (!wanted.includes(each.name)) continue;
    if (performance.now() > course.deadlineMs) {
      parts.push(`${each.doc}: left out, the time was over.\n`);
      continue;
    }
    const scores = await runCase(each, entrants, course);
    if (each.name === 'get') peaks = scores;
    parts.push(caseTable(each, scores));
  }
  if (wanted.includes(START)) parts.push(startTable(await measureStarts(course, sidebearer)));
  if (wanted.includes(LATENCY)) {
    // The peaks are the plain GET's: without it there is nothing to take a share of.
    if (peaks.length === 0) parts.push('Added latency is left out: it needs the case get.\n');
    else parts.push(latencyTable(await measureAddedLatency(entrants, peaks, course)));
    if (performance.now() > course.deadlineMs) parts.push('Peers that are missing here: the time was over.\n');
  }
  return parts.join('\n');
}

async function main(): Promise<void> {
  const unknown = values.cases.split(',').filter((name) => !caseNames.includes(name));
  const strangers = values.peers.split(',').filter((peer) => contestants.every(({ name }) => name !== peer));
  if (values.help || unknown.length > 0 || strangers.length > 0) {
    console.log([...unknown, ...strangers].map((name) => `There is no ${name}.\n`).join('') + help);
    process.exitCode = values.help ? 0 : 1;
    return;
  }
  const absent = await missing();
  if (absent !== undefined) {
    console.log(`The benchmark is skipped: ${absent}.`);
    return;
  }
  if (!existsSync(sidebearer.bundle)) {
    console.error(`${sidebearer.bundle} is missing: run \`npm run build\` first.`);
    process.exitCode = 1;
    return;
  }
  // Nor may what measures disturb the proxy.
  await promisify(execFile)('taskset', ['-acp', String(LOAD_CORE), String(process.pid)]);
  const folder = mkdtempSync(join(tmpdir(), 'sidebearer-bench-'));
  // Started by root, nginx's worker is another user.
  chmodSync(folder, 0o755);
  try {
    const results = await compare(folder);
    console.log(results);
    if (values.write) {
      const title = '# Results\n\nMade by `npm run bench -- --write`; every figure is of that one run.\n\n';
      writeFileSync(join(import.meta.dirname, 'RESULTS.md'), title + results);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
