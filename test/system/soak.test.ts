// Programs on one store with tokens that live for seconds, killed and restarted while requests come: the provider counts the
// redeems, the family survives unless a kill fell into the one window that no client can close, and no request ever
// gets a 401. The full length is `npm run soak`.
import t from 'tap';
import { skip as noRedis } from '../stores/_redis-server.ts';
import { type SoakFigures, soak } from './_soak.ts';
import { createFileStorage, createRedisStorage } from './_storage.ts';

const programs = Number(process.env['SOAK_PROGRAMS'] ?? 6);
const seconds = Number(process.env['SOAK_SECONDS'] ?? 8);
/** Of an access token; the full run has two seconds. A busy machine must not lose leases for want of a turn. */
const lifeMs = Number(process.env['SOAK_LIFE_MS'] ?? 4_000);
const seed = Number(process.env['SOAK_SEED'] ?? Date.now() % 1_000_000_000);
const storages = { file: createFileStorage, redis: createRedisStorage };

t.setTimeout(240_000 + seconds * 4_000);

for (const [kind, createStorage] of Object.entries(storages)) {
  const skip = kind === 'redis' ? noRedis : false;
  t.test(`${programs} programs on one ${kind} store for ${seconds} s, seed ${seed}`, { skip }, async (t) => {
    const storage = await createStorage();
    const figures: SoakFigures = await soak({ storage, programs, seconds, seed, lifeMs, leaseMs: lifeMs / 5 });
    t.comment(JSON.stringify(figures));
    t.strictSame(figures.wrong, []);
    t.equal(figures.answers['401'] ?? 0, 0, 'no request got a 401');
    t.ok((figures.answers['200'] ?? 0) > 0 && figures.kills > 0, 'requests were served, and programs killed');
    t.equal(figures.recognised, figures.windows, 'each loss was told as what it is');
    t.ok(figures.redeems >= seconds / 8, `${figures.redeems} redeems`);
  });
}
