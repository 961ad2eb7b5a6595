// The classical use of a compare-and-swap: count up, and begin again at each conflict.
import type { Store } from '../../src/stores/store.ts';
import { createRecord } from './_record.ts';

/** Counts the record's generation up `times` times. */
export async function increment(store: Store, credential: string, times: number): Promise<void> {
  for (let done = 0; done < times; ) {
    const { version, record } = await store.read(credential);
    const counted = { generation: (record?.generation ?? 0) + 1, version: (record?.version ?? 0) + 1 };
    if ((await store.commit(credential, version, createRecord(credential, counted))).committed) done += 1;
  }
}
