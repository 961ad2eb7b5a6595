// Sidebearer as it is released: the bundle, the flags of the image, a token that is stored. Nothing is asked of its
// provider, for the token is valid for hours.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../src/clock.ts';
import { createFileStore } from '../src/stores/file.ts';
import { createPlaintextSealing } from '../src/stores/sealing.ts';
import { freePort, type Launch } from './running-process.ts';
import { TOKEN, type Upstream } from './upstreams.ts';

export const bundle = 'dist/sidebearer.js';
/** What the image gives to Node; docs/decisions/008-node-and-start.md has the figures. */
export const imageFlags: readonly string[] = ['--max-semi-space-size=8', '--disable-sigusr1'];

const CREDENTIAL = 'bench';
/** Nobody answers there. */
const TOKEN_URL = 'http://127.0.0.1:9/token';
const CLIENT_ID = 'bench';
const TOKEN_LIFE_MS = 10 * 3_600_000;

export interface SidebearerOptions {
  readonly bundle: string;
  readonly nodeFlags: readonly string[];
}

export async function launchSidebearer(
  folder: string,
  { origin, kind, caFile }: Pick<Upstream, 'origin' | 'kind' | 'caFile'>,
  options: SidebearerOptions,
): Promise<Launch & { readonly url: string }> {
  const [proxy, oauth, telemetry] = [await freePort(), await freePort(), await freePort()];
  const store = join(folder, `store-${kind}`);
  await storeToken(store);
  const config = join(folder, `sidebearer-${kind}.yaml`);
  writeFileSync(
    config,
    `listen: { proxy: "127.0.0.1:${proxy}", oauth: "127.0.0.1:${oauth}", telemetry: "127.0.0.1:${telemetry}" }
routes: [ { upstream: "${origin}", credential: ${CREDENTIAL} } ]
credentials:
  ${CREDENTIAL}: { provider: oauth2, tokenUrl: "${TOKEN_URL}", authorizeUrl: "${TOKEN_URL}", clientId: ${CLIENT_ID} }
store: { kind: file, path: ${JSON.stringify(store)}, plaintext: true }
readiness: { require: all }
log: { level: warn }
`,
  );
  return {
    command: [process.execPath, ...options.nodeFlags, options.bundle, 'run', '--config', config],
    ...(caFile !== undefined && { env: { NODE_EXTRA_CA_CERTS: caFile } }),
    ready: { url: `http://127.0.0.1:${telemetry}/readyz`, status: 200 },
    url: `http://127.0.0.1:${proxy}`,
  };
}

/** Where a record is there already, the launch before stored it. */
async function storeToken(path: string): Promise<void> {
  const store = await createFileStore({ path, clock: systemClock, onWarning: () => undefined });
  try {
    const { version, record } = await store.read(CREDENTIAL);
    if (record !== undefined) return;
    const now = Date.now();
    const tokens = {
      accessToken: TOKEN,
      refreshToken: 'bench',
      obtainedAtMs: now,
      expiresAtMs: now + TOKEN_LIFE_MS,
    };
    await store.commit(CREDENTIAL, version, {
      format: 1,
      credential: CREDENTIAL,
      version: 1,
      generation: 1,
      writeId: randomBytes(12).toString('base64url'),
      bound: { tokenUrl: TOKEN_URL, clientId: CLIENT_ID },
      salt: randomBytes(16).toString('base64'),
      sealed: createPlaintextSealing().seal(JSON.stringify(tokens), ''),
      operator: { disabled: false, note: '' },
    });
  } finally {
    await store.close();
  }
}
