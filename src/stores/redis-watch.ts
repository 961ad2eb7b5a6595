// One subscription for all credentials, on a connection of its own, which is asked for life: a message of a dead one
// would be missed for long. After each (re)connection the records are compared, for what was committed meanwhile is in
// no message.
import type { Redis } from 'ioredis';
import type { Clock, Timer } from '../clock.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import type { RedisConnection } from './redis-connection.ts';

export interface RedisWatches {
  add(credential: string, changed: () => void): { close(): void };
  close(): void;
}

export interface RedisWatchesOptions {
  readonly connection: RedisConnection;
  readonly channel: string;
  /** Which of them changed since this process looked last. */
  readonly compare: (credentials: readonly string[]) => Promise<string[]>;
  readonly clock: Clock;
  readonly onWarning: (warning: SidebearerError) => void;
}

/** How often the subscription is asked for life, and, where there is none, the records are read. */
const PULSE_MS = 30_000;

export function createRedisWatches(options: RedisWatchesOptions): RedisWatches {
  const { connection, channel, compare, clock, onWarning } = options;
  const listeners = new Map<string, Set<() => void>>();
  let subscriber: Redis | undefined;
  let pulse: Timer | undefined;
  let hasWarned = false;

  const tell = (credential: string): void => {
    for (const changed of listeners.get(credential) ?? []) changed();
  };

  const catchUp = async (): Promise<void> => {
    const all = [...listeners.keys()];
    // Where it cannot be compared, whoever watches reads, and learns why it cannot be.
    for (const credential of await compare(all).catch(() => all)) tell(credential);
  };

  const warn = (thrown: unknown): void => {
    if (hasWarned) return;
    hasWarned = true;
    const { details } = toSidebearerError(thrown);
    const next =
      'The records are read from time to time instead. Check that Redis answers, and that the ACL of the user allows the channel.';
    onWarning(new SidebearerError('store_watch_failed', { ...details, address: connection.address, next }));
  };

  const begin = (): Redis => {
    const redis = connection.connect();
    redis.on('message', (_channel, credential) => tell(credential));
    redis.on('ready', () => void subscribe(redis));
    return redis;
  };

  const subscribe = async (redis: Redis): Promise<void> => {
    try {
      await redis.subscribe(channel);
      hasWarned = false;
    } catch {
      // A connection that broke: the next one begins again. An ACL that forbids it: the pulse reads instead.
      if (redis === subscriber)
        warn(new SidebearerError('store_watch_failed', { reason: 'the subscription was refused' }));
      return;
    }
    await catchUp();
  };

  const beat = (): void => {
    pulse = clock.after(PULSE_MS, () => void check().finally(() => subscriber !== undefined && beat()), {
      background: true,
    });
  };

  const check = async (): Promise<void> => {
    try {
      // A connection that does not answer is closed by its own time limit, and made anew.
      await subscriber?.ping();
    } catch {
      warn(new SidebearerError('store_watch_failed', { reason: 'there is no subscription' }));
    }
    if (hasWarned) await catchUp();
  };

  const end = (): void => {
    pulse?.cancel();
    subscriber?.disconnect();
    subscriber = undefined;
  };

  return {
    add(credential, changed) {
      if (subscriber === undefined) {
        subscriber = begin();
        beat();
      }
      // Its own function each time, so that one callback given twice is two watches.
      const call = (): void => changed();
      const all = listeners.get(credential) ?? new Set();
      listeners.set(credential, all);
      all.add(call);
      return {
        close() {
          all.delete(call);
          if (all.size === 0 && listeners.get(credential) === all) listeners.delete(credential);
          if (listeners.size === 0) end();
        },
      };
    },
    close() {
      listeners.clear();
      end();
    },
  };
}
