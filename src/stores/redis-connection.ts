// Connections to Redis, and what is asked over them: each call is bounded in time, tried again while the server
// restarts or fails over, and ends in a result or an error with a code. It never queues a command for a server that is
// away: what is late then would be sent to whatever comes back.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ConnectionOptions, SecureContext } from 'node:tls';
import { Redis, type RedisOptions } from 'ioredis';
import { type Clock, sleep } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import { judgeRedisFailure, type RedisFailure } from './redis-failure.ts';

export interface RedisConnection {
  /** Host and port: all of the URL that may be told. */
  readonly address: string;
  /**
   * Every call may be sent twice (an answer that was lost, a failover), so it must be one that does no harm then.
   * @throws store_unavailable, store_forbidden, store_write_failed, record_corrupt
   */
  run<T>(about: About, send: (redis: Redis) => Promise<T>): Promise<T>;
  /** A connection of its own, for a subscription. */
  connect(): Redis;
  /** After each (re)connection. */
  onReady(ready: () => void): void;
  /** Whom TLS trusts from now on: the connection is made anew, and what was asked over it is asked again. */
  trust(secureContext: SecureContext | undefined): void;
  close(): void;
}

/** What a call is for. */
export interface About {
  readonly isWrite: boolean;
  readonly credential?: string;
}

export interface RedisConnectionOptions {
  /** `redis://` or `rediss://`, with user, password and number of the database. */
  readonly url: string;
  /** Whom TLS trusts; undefined: whom Node trusts. */
  readonly secureContext: SecureContext | undefined;
  readonly clock: Clock;
  readonly random: () => number;
}

/** How long one call may take, waiting for a server that restarts included. */
const PATIENCE_MS = 5_000;
/** A server that says nothing for so long after a command is frozen or gone, and so is the connection. */
const SILENCE_MS = 2_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

export function createRedisConnection({ url, secureContext, clock, random }: RedisConnectionOptions): RedisConnection {
  const { host, port, username, password, db, isTls } = parseRedisUrl(url);
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const backoff = (times: number): number =>
    Math.min(FIRST_PAUSE_MS * 2 ** (times - 1), LONGEST_PAUSE_MS) * (0.5 + random() / 2);
  // The library reads it at each connection.
  const tls: ConnectionOptions = {
    rejectUnauthorized: true,
    ...(secureContext !== undefined && { secureContext }),
    ...serverName(host),
  };
  const options = {
    host,
    port,
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    db,
    // A variable of the environment that switches verification off is not for tokens.
    ...(isTls && { tls }),
    // The answers are plain strings and numbers, and every server speaks it.
    protocol: 2 as const,
    disableClientInfo: true,
    connectTimeout: SILENCE_MS,
    socketTimeout: SILENCE_MS,
    retryStrategy: backoff,
    // A connection that broke ends what was sent over it at once: whoever asked decides whether to ask again.
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // What was the master is a replica now: its name may lead to another server by now.
    reconnectOnError: ({ message }: Error) => /^(READONLY|ERR .*-READONLY) /.test(message),
  } satisfies RedisOptions;

  const ready = new Set<() => void>();
  const waiting = new Set<PromiseWithResolvers<void>>();
  /** Why there is no connection, as the last try to get one told. */
  let lastFailure: RedisFailure | undefined;
  let isClosed = false;
  const redis = new Redis(options);
  redis.on('error', (thrown: unknown) => {
    lastFailure = judgeRedisFailure(thrown, { address, isWrite: false });
    // A wrong password is no better in a second.
    if (!lastFailure.mayPass) for (const { reject } of waiting) reject(lastFailure.error);
  });
  redis.on('ready', () => {
    lastFailure = undefined;
    for (const { resolve } of waiting) resolve();
    for (const call of ready) call();
  });

  const unavailable = (): SidebearerError =>
    lastFailure?.error ?? new SidebearerError('store_unavailable', { address, reason: 'there is no answer' });

  /** @throws whatever there is to say where it does not come in time */
  const within = async <T>(result: Promise<T>, ms: number): Promise<T> => {
    const late = Promise.withResolvers<never>();
    const timer = clock.after(Math.max(ms, 0), () => late.reject(unavailable()), { background: true });
    try {
      return await Promise.race([result, late.promise]);
    } finally {
      timer.cancel();
    }
  };

  const connected = async (ms: number): Promise<void> => {
    if (isClosed) throw new SidebearerError('store_unavailable', { address, reason: 'the store is closed' });
    // A connection that is being closed calls itself ready to its end.
    if (redis.status === 'ready' && redis.stream.writable) return;
    if (lastFailure?.mayPass === false) throw lastFailure.error;
    const wait = Promise.withResolvers<void>();
    waiting.add(wait);
    try {
      await within(wait.promise, ms);
    } finally {
      waiting.delete(wait);
    }
  };

  return {
    address,
    async run(about, send) {
      const endsAtMs = clock.monotonicMs() + PATIENCE_MS;
      const leftMs = (): number => endsAtMs - clock.monotonicMs();
      for (let attempt = 1; ; attempt += 1) {
        await connected(leftMs());
        try {
          return await within(send(redis), leftMs());
        } catch (thrown) {
          const { error, mayPass } = judgeRedisFailure(thrown, { address, ...about });
          const waitMs = backoff(attempt);
          if (!mayPass || waitMs >= leftMs()) throw error;
          // A connection that broke has its own pause before the next.
          if (isReply(thrown)) await sleep(clock, waitMs, undefined, { background: true });
          else await nextTurn();
        }
      }
    },
    connect() {
      const own = new Redis({ ...options, autoResubscribe: false });
      // Whoever holds it sees that it is not ready; why, is told by the first.
      own.on('error', () => {});
      return own;
    },
    onReady: (call) => void ready.add(call),
    trust(next) {
      if (next === undefined) delete tls.secureContext;
      else tls.secureContext = next;
      if (isTls && !isClosed) redis.disconnect(true);
    },
    close() {
      isClosed = true;
      ready.clear();
      for (const { reject } of waiting) reject(unavailable());
      redis.disconnect();
    },
  };
}

function isReply(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'ReplyError';
}

interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly db: number;
  readonly isTls: boolean;
}

function parseRedisUrl(text: string): RedisAddress {
  const url = new URL(text);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 6379 : Number(url.port),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    db: Number(url.pathname.slice(1)),
    isTls: url.protocol === 'rediss:',
  };
}

/** An address is no name that TLS could ask for. */
function serverName(host: string): { servername?: string } {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}
