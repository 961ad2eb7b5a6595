// A world in which every secret is known: two credentials at a provider that repeats what it is told, an upstream that
// does the same, and the built program between them at the lowest log level. What leaves the program is seen.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { createParrotProvider, type ParrotProvider } from './_parrot-provider.ts';
import { createParrotUpstream, type ParrotUpstream } from './_parrot-upstream.ts';
import { freePort, type RunningProgram, runCommand, runProgram } from './_process.ts';
import { createSecretScan, type SecretScan } from './_secret-scan.ts';

/** A client with a secret, and one without. */
export const names = ['generic', 'preset'] as const;
export type Name = (typeof names)[number];

export interface Visit {
  readonly response: Response;
  readonly text: string;
}

export const json = { accept: 'application/json' };

export class SecretWorld {
  readonly scan: SecretScan;
  readonly provider: ParrotProvider;
  readonly upstream: ParrotUpstream;
  readonly folder: string;
  readonly storePath: string;
  readonly oauthUrl: string;
  readonly clientSecret: string;
  readonly key: string;
  readonly config: string;
  /** Headers and query of a client: to be replaced or passed on, and never to be told. */
  readonly #client: { readonly headers: Record<string, string>; readonly query: string };
  #program: RunningProgram | undefined;

  constructor(scan: SecretScan, provider: ParrotProvider, upstream: ParrotUpstream, oauthPort: number) {
    this.scan = scan;
    this.provider = provider;
    this.upstream = upstream;
    this.folder = mkdtempSync(join(tmpdir(), 'sidebearer-'));
    this.storePath = join(this.folder, 'store');
    this.oauthUrl = `http://localhost:${oauthPort}`;
    this.clientSecret = this.secret('client secret');
    this.key = this.sealKey();
    this.config = this.#configure(oauthPort);
    this.#client = {
      headers: {
        authorization: `Bearer ${this.secret("client's own token")}`,
        'x-api-key': this.secret("client's own key"),
      },
      query: `api_key=${encodeURIComponent(this.secret("secret in the client's query"))}`,
    };
  }

  /** A secret of ours, from its first character on with what encodings write differently. */
  secret(kind: string): string {
    const text = `"\\/+=%&<'${randomBytes(24).toString('base64url')}`;
    this.scan.add(kind, text);
    return text;
  }

  sealKey(): string {
    const bytes = randomBytes(32);
    this.scan.add('seal key', bytes.toString('base64'));
    this.scan.add('seal key in hex', bytes.toString('hex'));
    return bytes.toString('base64');
  }

  get program(): RunningProgram {
    if (this.#program === undefined) throw new Error('nothing is running');
    return this.#program;
  }

  /** Starts it, in place of the one that runs. */
  async start(config = this.config, env?: Record<string, string>, cwd?: string): Promise<void> {
    await this.stop('SIGKILL');
    this.#program = await runProgram(config, env, cwd);
  }

  /** Ends it, its whole output seen. */
  async stop(signal?: NodeJS.Signals): Promise<number | string | undefined> {
    const end = await this.#program?.end(signal);
    this.scan.saw('the log', this.#program?.output() ?? '');
    return end;
  }

  async close(): Promise<void> {
    await this.stop('SIGKILL');
    await this.provider.close();
    await this.upstream.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** One request; all of its answer is seen, but for what a browser must be given when a login starts. */
  async visit(where: string, url: string, init: RequestInit = {}): Promise<Visit> {
    const response = await fetch(url, { redirect: 'manual', ...init });
    const text = await response.text();
    const isStart = response.status === 303;
    const headers = [...response.headers].filter(([name]) => !isStart || !/^(location|set-cookie)$/.test(name));
    this.scan.saw(`the headers of ${where}`, headers.map(([name, value]) => `${name}: ${value}`).join('\n'));
    this.scan.saw(where, text);
    return { response, text };
  }

  /** Everything that can be looked at from outside. */
  async lookAround(when: string): Promise<void> {
    const { oauthUrl, program, scan } = this;
    for (const path of ['/', '/?refresh=off', '/oauth/start', '/oauth/start?credential=generic', '/status.json']) {
      await this.visit(`${path} ${when}`, oauthUrl + path);
    }
    for (const path of ['/metrics', '/readyz', '/livez', '/startupz']) {
      await this.visit(`${path} ${when}`, program.telemetryUrl + path);
    }
    const ends = [[], ['--json']].map((flags) => runCommand(['status', '--url', oauthUrl, ...flags]));
    for (const { exit, output } of await Promise.all(ends)) {
      if (exit !== 0) throw new Error(`status exits ${exit}: ${output}`);
      scan.saw(`the output of status ${when}`, output);
    }
    scan.sawFolder(`the store ${when}`, this.storePath);
    scan.saw('the log', program.output());
  }

  async statusOf(name: Name): Promise<CredentialStatus> {
    const { text } = await this.visit('/status.json', `${this.oauthUrl}/status.json`);
    const { credentials } = JSON.parse(text) as { credentials: CredentialStatus[] };
    const found = credentials.find((each) => each.name === name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  }

  /** @param parameters of the callback beside the state; `STATE` and `CODE` in them are replaced */
  async logIn(
    name: Name,
    parameters: Record<string, string> = { code: 'CODE' },
    headers: Record<string, string> = {},
  ): Promise<Visit> {
    const { oauthUrl, scan } = this;
    const { response } = await this.visit('the start of a login', `${oauthUrl}/oauth/start`, {
      method: 'POST',
      headers: { origin: oauthUrl, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ credential: name, replace: 'yes' }).toString(),
    });
    const state = new URL(response.headers.get('location') ?? '').searchParams.get('state') ?? '';
    const cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    const code = this.secret('authorization code');
    scan.add('state', state);
    scan.add('cookie value', cookie.slice(cookie.indexOf('=') + 1));
    scan.sawFolder('the store during a login', this.storePath);
    const filled = Object.entries(parameters).map(([key, value]): [string, string] => [
      key,
      value.replace('STATE', state).replace('CODE', code),
    ]);
    const query = new URLSearchParams([...filled, ['state', state]]);
    const path = name === 'generic' ? '/oauth/callback' : '/auth/callback';
    return await this.visit('the end of a login', `${oauthUrl}${path}?${query}`, { headers: { ...headers, cookie } });
  }

  /** A request to the proxy. */
  call(name: Name, init: RequestInit = {}): Promise<Visit> {
    const url = `${this.program.proxyUrl}/${name}/x?${this.#client.query}`;
    return this.visit(`an answer of the proxy for ${name}`, url, { ...init, headers: this.#client.headers });
  }

  /** A handshake for a WebSocket, at the proxy. */
  upgrade(where: string): Promise<void> {
    const head = `GET /generic/socket?${this.#client.query} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n`;
    const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    return this.sendRaw(where, this.program.proxyUrl, `${head}Upgrade: websocket\r\n${key}\r\n`);
  }

  /** Bytes on a socket; what comes back until it ends. */
  async sendRaw(where: string, url: string, bytes: string): Promise<void> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    // A connection that ends before all was read resets; what came before is what is looked at.
    socket.on('error', () => undefined);
    socket.setTimeout(1_000, () => socket.destroy());
    socket.write(bytes);
    await new Promise((resolve) => socket.on('close', resolve));
    this.scan.saw(where, received);
  }

  #configure(oauthPort: number): string {
    const { provider, upstream, oauthUrl } = this;
    const quick = `
    refresh: { attempts: 1, backoff: { initial: 1ms, max: 1ms }, timeout: 800ms, cooldown: 50ms, maxRetryAfter: 50ms }
    breaker: { failures: 1000, resetAfter: 50ms }`;
    return `
listen: { proxy: "127.0.0.1:0", oauth: "127.0.0.1:${oauthPort}", telemetry: "127.0.0.1:0" }
routes:
${names.map((name) => `  - { name: ${name}, path: /${name}, upstream: "${upstream.url}", credential: ${name} }`).join('\n')}
credentials:
  generic:
    provider: oauth2
    authorizeUrl: ${provider.url}/authorize
    tokenUrl: ${provider.url}/token/generic
    clientId: parrot-client
    clientSecret: ${JSON.stringify(this.clientSecret)}
    redirectUri: ${oauthUrl}/oauth/callback${quick}
  preset:
    provider: codex
    authorizeUrl: ${provider.url}/authorize
    tokenUrl: ${provider.url}/token/preset
    redirectUri: ${oauthUrl}/auth/callback${quick}
store: { kind: file, path: ${this.storePath}, keys: ["${this.key}"], lease: 500ms }
log: { level: trace, access: true }
shutdown: { maxDrain: 1s }
`;
  }
}

/** Nothing runs yet. */
export async function createSecretWorld(): Promise<SecretWorld> {
  const scan = createSecretScan();
  return new SecretWorld(scan, await createParrotProvider(scan), await createParrotUpstream(), await freePort());
}
