// A whole world on loopback: a real OpenID provider, a real upstream, a folder for the store, and the configuration
// that puts the program between them. Tokens live for seconds, so lease and timeout are below a tenth of that.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDemoProvider, type DemoProvider, demoClient } from '../../demo/provider.ts';
import { createDemoUpstream, type DemoUpstream, type Echo } from '../../demo/upstream.ts';
import { freePort } from './_process.ts';

export interface World {
  readonly provider: DemoProvider;
  readonly upstream: DemoUpstream;
  /** The origin of the redirect URI. */
  readonly oauthUrl: string;
  readonly storePath: string;
  readonly key: string;
  /** The configuration, with further lines under the credential and at the end. */
  config(options?: { credential?: string; end?: string }): string;
  close(): Promise<void>;
}

export async function createWorld(options: { tokenSeconds: number }): Promise<World> {
  const oauthPort = await freePort();
  const oauthUrl = `http://localhost:${oauthPort}`;
  const provider = await createDemoProvider({
    port: 0,
    accessTokenSeconds: options.tokenSeconds,
    redirectUris: [`${oauthUrl}/oauth/callback`],
  });
  const upstream = await createDemoUpstream({ introspect: provider.introspect });
  const storePath = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  const key = randomBytes(32).toString('base64');
  return {
    provider,
    upstream,
    oauthUrl,
    storePath,
    key,
    config: ({ credential = '', end = '' } = {}) => `
listen: { proxy: "127.0.0.1:0", oauth: "127.0.0.1:${oauthPort}", telemetry: "127.0.0.1:0" }
routes:
  - name: echo
    upstream: ${upstream.url}
    credential: demo
credentials:
  demo:
    provider: oidc
    issuer: ${provider.issuer}
    clientId: ${demoClient.id}
    redirectUri: ${oauthUrl}/oauth/callback
${credential}
store: { kind: file, path: ${storePath}, keys: ["${key}"], lease: 500ms }
log: { level: trace, access: true }
shutdown: { maxDrain: 3s }
${end}
`,
    async close() {
      await provider.close();
      await upstream.close();
      rmSync(storePath, { recursive: true, force: true });
    },
  };
}

/** One request through the proxy, with what the upstream received. */
export async function callEcho(
  url: string,
  init?: RequestInit,
): Promise<{ response: Response; echo: Echo | undefined; text: string }> {
  const response = await fetch(url, init);
  const text = await response.text();
  const isEcho = response.status === 200 && response.headers.get('content-type') === 'application/json';
  return { response, text, echo: isEcho ? (JSON.parse(text) as Echo) : undefined };
}

/** The value of one series. */
export async function metric(telemetryUrl: string, series: string): Promise<number | undefined> {
  const body = await (await fetch(`${telemetryUrl}/metrics`)).text();
  const line = body.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}
