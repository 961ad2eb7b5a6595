// What Linux knows of a process and its children: CPU time and anonymous memory, from /proc.
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: 100 on every Linux that Node runs on; one tick is 10 ms. */
const TICK_US = 10_000;

export interface Usage {
  /** User and system time, µs. */
  readonly cpuUs: number;
  /** RssAnon, bytes. */
  readonly anonymousBytes: number;
}

/** The sum over `pid` and all that descend from it and still live. */
export function readUsage(pid: number): Usage {
  let cpuUs = 0;
  let anonymousBytes = 0;
  for (const each of family(pid)) {
    const fields = statFields(each);
    cpuUs += (Number(fields[11]) + Number(fields[12])) * TICK_US;
    const match = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${each}/status`, 'utf8'));
    anonymousBytes += Number(match?.[1] ?? 0) * 1024;
  }
  return { cpuUs, anonymousBytes };
}

function family(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      parents.set(pid, Number(statFields(pid)[1]));
    } catch {
      // It ended between the listing and the reading.
    }
  }
  const members = [root];
  for (const member of members) {
    for (const [pid, parent] of parents) if (parent === member) members.push(pid);
  }
  return members;
}

/** The fields of /proc/PID/stat after the name, which may hold spaces and brackets. */
function statFields(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
