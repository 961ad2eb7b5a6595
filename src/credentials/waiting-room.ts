// Requests that wait for a token: first come first served, bounded in number and time, gone when the client is.
import type { Clock } from '../clock.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Authorization } from './bearer.ts';

export interface WaitingRoom {
  readonly size: number;
  /**
   * @param ready what this request can use now, if anything; asked again at every `serve`
   * @param atEnd what it gets when the renewal ended and nothing is ready: may throw
   * @throws refresh_queue_full, refresh_wait_timeout; the signal's reason when the client leaves
   */
  join<T>(signal: AbortSignal, ready: () => Authorization | undefined, atEnd: () => T): Promise<Authorization | T>;
  /** A token may have become ready: serves whom it serves. */
  serve(): void;
  /** The renewal ended: everyone gets something. */
  end(): void;
}

interface Waiter {
  /** True when it was served. */
  serve(): boolean;
  end(): void;
}

/** How soon a client that did not get a place, or waited in vain, should come again, ms. */
const RETRY_AFTER_MS = 1_000;

/** @param limits asked at each arrival */
export function createWaitingRoom(
  limits: () => { readonly timeoutMs: number; readonly places: number },
  clock: Clock,
): WaitingRoom {
  const waiters = new Set<Waiter>();
  return {
    get size() {
      return waiters.size;
    },

    join<T>(signal: AbortSignal, ready: () => Authorization | undefined, atEnd: () => T): Promise<Authorization | T> {
      if (signal.aborted) return Promise.reject(signal.reason);
      const { timeoutMs, places } = limits();
      if (waiters.size >= places) {
        return Promise.reject(new SidebearerError('refresh_queue_full', { retryAfterMs: RETRY_AFTER_MS }));
      }
      return new Promise((resolve, reject) => {
        const timer = clock.after(timeoutMs, () => {
          leave();
          reject(new SidebearerError('refresh_wait_timeout', { retryAfterMs: RETRY_AFTER_MS }));
        });
        const abandon = (): void => {
          leave();
          reject(signal.reason);
        };
        const leave = (): void => {
          waiters.delete(waiter);
          timer.cancel();
          signal.removeEventListener('abort', abandon);
        };
        const waiter: Waiter = {
          serve() {
            const authorization = ready();
            if (authorization === undefined) return false;
            leave();
            resolve(authorization);
            return true;
          },
          end() {
            if (waiter.serve()) return;
            leave();
            try {
              resolve(atEnd());
            } catch (thrown) {
              reject(thrown);
            }
          },
        };
        signal.addEventListener('abort', abandon, { once: true });
        waiters.add(waiter);
      });
    },

    serve() {
      for (const waiter of waiters) waiter.serve();
    },
    end() {
      for (const waiter of waiters) waiter.end();
    },
  };
}
