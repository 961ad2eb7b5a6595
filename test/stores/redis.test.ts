// The store on Redis keeps the contract, on a real server.
import t from 'tap';
import { createFakeClock } from '../_fake-clock.ts';
import { testStoreContract } from './_contract.ts';
import { type RedisServer, skip, startRedisServer } from './_redis-server.ts';
import { createRedisSetting } from './_redis-setting.ts';

if (skip) t.test('the contract on a real Redis', { skip }, () => undefined);
else {
  let server: Promise<RedisServer> | undefined;
  testStoreContract('redis', async (test) => {
    // One server for all: each setting has keys of its own.
    server ??= startRedisServer(t);
    const clock = createFakeClock(Date.now());
    return { clock, ...createRedisSetting(test, (await server).url, clock) };
  });
}
