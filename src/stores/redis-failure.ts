// What Redis, or the way to it, answered instead of a result, as a code of ours.
// A reply error of ioredis holds its command, which holds the record, or the password: it is never a cause, and of its
// text only the first word is told.
import { type ErrorDetails, SidebearerError, systemCode } from '../errors/sidebearer-error.ts';

export interface RedisFailure {
  readonly error: SidebearerError;
  /** It passes by itself within seconds, most likely: worth another try. */
  readonly mayPass: boolean;
}

type Judgement = { readonly mayPass: boolean; readonly reason: string; readonly next?: string } & (
  | { readonly code: 'store_forbidden' | 'store_unavailable' | 'store_write_failed' }
  | { readonly code: 'record_corrupt' }
);

const checkUser = 'Check the user and the password in store.url, and what the ACL of that user allows.';
const refused = { code: 'store_forbidden', mayPass: false, next: checkUser } as const;
const stopped = { code: 'store_write_failed', mayPass: false } as const;
const passing = { code: 'store_unavailable', mayPass: true } as const;

/** By the first word of the reply; what is not here is judged by whether it was a write. */
const replies: Readonly<Record<string, Judgement>> = {
  WRONGPASS: { ...refused, reason: 'the user or the password is wrong (WRONGPASS)' },
  NOAUTH: { ...refused, reason: 'a password is required (NOAUTH)' },
  NOPERM: { ...refused, reason: 'the user may not run the command, or not on this key or channel (NOPERM)' },
  READONLY: { code: 'store_write_failed', mayPass: true, reason: 'the server is a replica (READONLY)' },
  LOADING: { ...passing, reason: 'the server is reading its data (LOADING)' },
  BUSY: { ...passing, reason: 'the server runs a script that does not end (BUSY)' },
  MASTERDOWN: { ...passing, reason: 'the server has lost its master (MASTERDOWN)' },
  TRYAGAIN: { ...passing, reason: 'the cluster is moving keys (TRYAGAIN)' },
  CLUSTERDOWN: { ...passing, reason: 'the cluster is down (CLUSTERDOWN)' },
  OOM: { ...stopped, reason: 'the server has no memory left (OOM)' },
  MISCONF: { ...stopped, reason: 'the server cannot write its own files (MISCONF)' },
  NOREPLICAS: { ...stopped, reason: 'the server has too few replicas (NOREPLICAS)' },
  MOVED: { code: 'store_unavailable', mayPass: false, reason: 'it is a cluster, which is not supported (MOVED)' },
  WRONGTYPE: { code: 'record_corrupt', mayPass: false, reason: 'under its key stands something else (WRONGTYPE)' },
};

export interface FailureContext {
  /** Host and port. */
  readonly address: string;
  readonly isWrite: boolean;
  readonly credential?: string;
}

/** @param thrown what ioredis rejected with, or emitted */
export function judgeRedisFailure(thrown: unknown, { address, isWrite, credential }: FailureContext): RedisFailure {
  if (thrown instanceof SidebearerError) return { error: thrown, mayPass: false };
  const about: ErrorDetails = { address, ...(credential !== undefined && { credential }) };
  if (!(thrown instanceof Error) || thrown.name !== 'ReplyError') {
    const code = systemCode(thrown);
    const details = code === undefined ? { reason: 'there is no connection' } : { systemCode: code };
    return { error: new SidebearerError('store_unavailable', { ...about, ...details }), mayPass: true };
  }
  const word = replyWord(thrown.message);
  const known = replies[word];
  if (known === undefined) {
    const code = isWrite ? 'store_write_failed' : 'store_unavailable';
    return { error: new SidebearerError(code, { ...about, reason: `the server answered ${word}` }), mayPass: false };
  }
  const { code, mayPass, reason, next } = known;
  const details = { ...about, reason, ...(next !== undefined && { next }) };
  return { error: new SidebearerError(code, details), mayPass };
}

/** Redis before 7 wraps what a script met: `ERR Error running script …: -READONLY You …`. */
function replyWord(message: string): string {
  const wrapped = /^ERR .*?-([A-Z]{2,30}) /.exec(message)?.[1];
  return wrapped ?? /^[A-Z]{2,30}\b/.exec(message)?.[0] ?? 'something unknown';
}
