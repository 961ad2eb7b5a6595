// Whether the server keeps what it has confirmed: asked after each connection, for a failover leads to another server.
// It only warns: what is lost all the same is written back by a process that knows it.
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { RedisConnection } from './redis-connection.ts';

const expected = { appendonly: 'yes', appendfsync: 'always', 'maxmemory-policy': 'noeviction' } as const;

export function checkRedisDurability(connection: RedisConnection, onWarning: (warning: SidebearerError) => void): void {
  const told = new Set<string>();
  const warn = (reason: string): void => {
    if (told.has(reason)) return;
    told.add(reason);
    onWarning(new SidebearerError('store_not_durable', { address: connection.address, reason }));
  };

  const check = async (): Promise<void> => {
    for (const [name, value] of Object.entries(expected)) {
      try {
        // One at a time: servers before 7 take one name only.
        const answer = await connection.run({ isWrite: false }, (redis) => redis.config('GET', name));
        const actual = Array.isArray(answer) ? String(answer[1]) : '';
        if (actual !== value) warn(`${name} is not ${value}`);
      } catch (thrown) {
        // A server that is gone is asked when it is back; one that does not say, as hosted ones do, cannot be judged.
        if (!(thrown instanceof SidebearerError) || !isRefusal(thrown)) return;
        return warn('the server does not tell its configuration (CONFIG GET), so it cannot be checked');
      }
    }
  };
  connection.onReady(() => void check());
}

function isRefusal({ code, details }: SidebearerError): boolean {
  return code === 'store_forbidden' || details.reason?.startsWith('the server answered') === true;
}
