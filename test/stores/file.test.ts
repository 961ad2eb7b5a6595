// The store of files keeps the contract.

import { testStoreContract } from './_contract.ts';
import { createFileSetting } from './_file-setting.ts';

testStoreContract('file', (t) => createFileSetting(t));
