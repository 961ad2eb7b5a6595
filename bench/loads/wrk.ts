// As many requests as the proxy can take: wrk, one thread, every connection asks again as soon as it is answered.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Load } from '../load.ts';

const POST_BYTES = 16_384;

/** @param method POST sends 16 KiB */
export function wrk(method: 'GET' | 'POST'): Load {
  return async ({ url, authorization, connections, seconds, core, folder }) => {
    const script = join(folder, 'post.lua');
    writeFileSync(script, `wrk.method = "POST"\nwrk.body = string.rep("x", ${POST_BYTES})\n`);
    const command = [
      ...['-c', String(core), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '--timeout', '10s'],
      ...(method === 'POST' ? ['-s', script] : []),
      ...(authorization === undefined ? [] : ['-H', `Authorization: ${authorization}`]),
      url,
    ];
    const { stdout } = await promisify(execFile)('taskset', command, { timeout: (seconds + 30) * 1000 });
    const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? 0);
    const socketErrors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout) ?? [];
    return {
      answers: number(/(\d+) requests in/),
      perSecond: number(/Requests\/sec:\s+([\d.]+)/),
      failures:
        number(/Non-2xx or 3xx responses: (\d+)/) + socketErrors.slice(1).reduce((sum, each) => sum + Number(each), 0),
      latencies: {},
    };
  };
}
