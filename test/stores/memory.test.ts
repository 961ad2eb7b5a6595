// The store in memory keeps the contract.
import { createMemoryStore } from '../../src/stores/memory.ts';
import { createFakeClock } from '../_fake-clock.ts';
import { testStoreContract } from './_contract.ts';

testStoreContract('memory', async (t) => {
  const clock = createFakeClock();
  const store = createMemoryStore({ clock });
  t.teardown(() => store.close());
  return { clock, open: async () => store };
});
