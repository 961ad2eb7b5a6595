// What a load is asked for and what it tells, whichever generator stands behind it; and how our own are run.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface LoadRequest {
  readonly url: string;
  /** Sent by the load itself, where there is no proxy to add it. */
  readonly authorization: string | undefined;
  readonly connections: number;
  readonly seconds: number;
  readonly core: number;
  /** For scratch files. */
  readonly folder: string;
  /** Requests for each second; of a paced load only. */
  readonly rate?: number;
}

export interface LoadResult {
  /** Answers, events or echoes: what the CPU time is divided by. */
  readonly answers: number;
  readonly perSecond: number;
  readonly failures: number;
  /** Named, µs. */
  readonly latencies: Readonly<Record<string, number>>;
}

export type Load = (request: LoadRequest) => Promise<LoadResult>;

/** A load that is a program of ours in loads/: gets the request as JSON, prints the result as JSON. */
export function program(file: string): Load {
  return async (request) => {
    const path = join(import.meta.dirname, 'loads', file);
    // Upstreams share its core: they go first, so that the load does not measure itself.
    const command = ['-c', String(request.core), 'nice', '-n', '10', process.execPath, path, JSON.stringify(request)];
    const { stdout } = await promisify(execFile)('taskset', command, { timeout: (request.seconds + 30) * 1000 });
    return JSON.parse(stdout) as LoadResult;
  };
}

/** The request that `program` passed. */
export function readLoadRequest(): LoadRequest {
  return JSON.parse(process.argv[2] ?? '') as LoadRequest;
}
