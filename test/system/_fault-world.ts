// A world to break: a token endpoint that kills a family at the first reuse, a wire in front of it, an upstream that
// knows every token, and one store for as many programs as a test starts. Logins are committed beside the programs, as
// another replica would.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createRecords, type OpenRecord, type RecordChange } from '../../src/credentials/records.ts';
import { bind } from '../../src/listen.ts';
import { createSealing } from '../../src/stores/sealing.ts';
import { silent } from '../credentials/_rig.ts';
import type { RunningProgram } from './_process.ts';
import { createRotatingEndpoint, type RotatingEndpoint } from './_rotating-endpoint.ts';
import type { Storage } from './_storage.ts';
import { createWire, type Wire } from './_wire.ts';

export const credential = 'grant';

export interface FaultWorldOptions {
  readonly storage: Storage;
  readonly leaseMs: number;
  /** Lines of the credential: `refresh`, `breaker`, `wait`. */
  readonly settings: string;
  /** Default: oauth2. */
  readonly provider?: 'oauth2' | 'codex';
  /** Life of access tokens, ms; default: a minute. */
  readonly lifeMs?: number;
}

export interface FaultWorld {
  readonly storage: Storage;
  readonly endpoint: RotatingEndpoint;
  readonly wire: Wire;
  readonly upstream: FaultUpstream;
  /** One request that the upstream refuses once: a refresh on demand. Undefined: the program did not answer. */
  refresh(program: RunningProgram): Promise<Response | undefined>;
  /** @param sender what the endpoint knows this program by */
  config(sender: string, options?: { oauthPort?: number; end?: string }): string;
  record(): Promise<OpenRecord>;
  /** A login: a new family, stored whatever stands there. */
  logIn(): Promise<void>;
  /** An operator writes a note into the record. */
  edit(note: string): Promise<void>;
  /** Whether what is stored is the newest refresh token of a living family. */
  isStoredCurrent(): Promise<boolean>;
  close(): Promise<void>;
}

export interface FaultUpstream {
  readonly url: string;
  /** So many of the next requests are refused, whatever their token. */
  refusals: number;
  /** Requests whose token had ended, by how many ms. */
  readonly late: readonly number[];
  readonly served: number;
  close(): Promise<void>;
}

export async function createFaultWorld(options: FaultWorldOptions): Promise<FaultWorld> {
  const { storage, leaseMs } = options;
  const endpoint = await createRotatingEndpoint();
  endpoint.lifeMs = options.lifeMs ?? 60_000;
  const wire = await createWire(endpoint.port);
  const upstream = await createUpstream(endpoint);
  const key = randomBytes(32);
  const tokenUrl = `http://127.0.0.1:${wire.port}/token`;
  const clientId = 'sidebearer-faults';
  const bound = { tokenUrl, clientId };
  const { store } = storage;
  const records = createRecords({ credential, bound, store, sealing: createSealing([key]), observer: silent });

  async function change(make: (record: OpenRecord) => RecordChange, note?: string): Promise<void> {
    for (;;) {
      const record = await records.read();
      const { stored, ...prepared } = records.prepare(record, make(record));
      const operator = note === undefined ? stored.operator : { disabled: false, note };
      if ((await records.commit({ ...prepared, stored: { ...stored, operator } })) !== undefined) return;
    }
  }

  return {
    storage,
    endpoint,
    wire,
    upstream,
    config: (sender, { oauthPort, end = '' } = {}) => `
listen: { proxy: "127.0.0.1:0", oauth: ${oauthPort === undefined ? 'off' : `"127.0.0.1:${oauthPort}"`}, telemetry: "127.0.0.1:0" }
routes: [{ name: all, upstream: "${upstream.url}", credential: ${credential} }]
credentials:
  ${credential}:
    provider: ${options.provider ?? 'oauth2'}
    authorizeUrl: ${endpoint.url}/authorize
    tokenUrl: ${tokenUrl}
    clientId: ${clientId}
    tokenParams: { sender: ${sender} }
${options.settings}
store: { ${storage.settings}, keys: ["${key.toString('base64')}"], lease: ${leaseMs}ms }
shutdown: { maxDrain: 2s }
${end}
`,
    async refresh(program) {
      upstream.refusals = 1;
      const response = await send(program);
      upstream.refusals = 0;
      return response;
    },
    record: () => records.read(),
    async logIn() {
      const tokens = endpoint.login();
      await change(() => ({ tokens, account: undefined, intent: undefined, dead: undefined, unclear: undefined }));
    },
    edit: (note) => change(() => ({}), note),
    async isStoredCurrent() {
      const refreshToken = (await records.read()).tokens?.refreshToken ?? '';
      return endpoint.isAlive(refreshToken) && endpoint.isCurrent(refreshToken);
    },
    async close() {
      await wire.close();
      await endpoint.close();
      await upstream.close();
      await storage.close();
    },
  };
}

/** Undefined: the program did not answer. */
export function send({ proxyUrl }: RunningProgram): Promise<Response | undefined> {
  return fetch(`${proxyUrl}/x`).catch(() => undefined);
}

/** Answers 200 with the token it was sent. Access tokens end by their expiry alone, as a JWT does. */
async function createUpstream(endpoint: RotatingEndpoint): Promise<FaultUpstream> {
  const late: number[] = [];
  let served = 0;
  const server = createServer((request, response) => {
    request.resume();
    response.on('error', () => undefined);
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    const lateMs = Date.now() - (endpoint.expiryOf(token) ?? 0);
    if (lateMs > 0) late.push(lateMs);
    const isRefused = upstream.refusals > 0 || endpoint.expiryOf(token) === undefined;
    if (upstream.refusals > 0) upstream.refusals -= 1;
    if (isRefused) return void response.writeHead(401).end();
    served += 1;
    response.end(token);
  });
  const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'port');
  const upstream: FaultUpstream = {
    url,
    refusals: 0,
    late,
    get served() {
      return served;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return upstream;
}
