// The codex preset in the built program, between the strict stand-in of its endpoints and an upstream that wants the
// headers of chatgpt.com: the configuration names nothing but addresses, everything else is the preset's own.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { bind } from '../../src/listen.ts';
import { type CodexProvider, createCodexProvider } from './_codex-provider.ts';
import { logIn } from './_login.ts';
import { freePort } from './_process.ts';

export interface CodexWorld {
  readonly provider: CodexProvider;
  readonly oauthUrl: string;
  /** @param credential further settings of the credential, in YAML's flow style */
  config(credential?: string): string;
  logIn(choice?: 'continue' | 'deny', extra?: Record<string, string>): ReturnType<typeof logIn>;
  /** An order of the administration, as a program gives it. */
  order(path: string): Promise<{ readonly status: number; readonly body: Record<string, unknown> }>;
  status(): Promise<CredentialStatus>;
  close(): Promise<void>;
}

export async function createCodexWorld(): Promise<CodexWorld> {
  const oauthPort = await freePort();
  const oauthUrl = `http://localhost:${oauthPort}`;
  const redirectUri = `${oauthUrl}/auth/callback`;
  const provider = await createCodexProvider([redirectUri]);
  const upstream = await createUpstream(provider);
  const storePath = mkdtempSync(join(tmpdir(), 'sidebearer-'));
  const key = randomBytes(32).toString('base64');
  return {
    provider,
    oauthUrl,
    config: (credential = '') => `
listen: { proxy: "127.0.0.1:0", oauth: "127.0.0.1:${oauthPort}", telemetry: "127.0.0.1:0" }
routes:
  - { name: codex, upstream: "${upstream.url}/backend-api/codex", credential: codex }
credentials:
  codex:
    provider: codex
    authorizeUrl: ${provider.url}/oauth/authorize
    tokenUrl: ${provider.url}/oauth/token
    revokeUrl: ${provider.url}/oauth/revoke
    deviceUrl: ${provider.url}/api/accounts/deviceauth/usercode
    redirectUri: ${redirectUri}
    refresh: { attempts: 1 }
${credential}
store: { kind: file, path: ${storePath}, keys: ["${key}"] }
log: { level: trace, access: true }
shutdown: { maxDrain: 3s }
`,
    logIn: (choice = 'continue', extra = {}) => logIn(oauthUrl, 'codex', choice, extra),
    async order(path) {
      const response = await fetch(oauthUrl + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: '{"credential":"codex"}',
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    },
    async status() {
      const answer = (await (await fetch(`${oauthUrl}/status.json`)).json()) as { credentials: CredentialStatus[] };
      const [status] = answer.credentials;
      if (status === undefined) throw new Error('no credential');
      return status;
    },
    async close() {
      await provider.close();
      await upstream.close();
      rmSync(storePath, { recursive: true, force: true });
    },
  };
}

/** 401 without a token that lives, 400 where the account is not the token's; else the headers as they came. */
async function createUpstream({ accountOf }: CodexProvider) {
  const server = createServer((request, response) => {
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
    const account = token === undefined ? undefined : accountOf(token);
    const isRight = request.headers['chatgpt-account-id'] === account;
    const status = account === undefined ? 401 : isRight ? 200 : 400;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ path: request.url, headers: request.headers }));
  });
  const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'port');
  return {
    url,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A request as the Codex CLI sends one, with a token of its own that must not get through. */
export async function callCodex(
  proxyUrl: string,
): Promise<{ readonly status: number; readonly path: string; readonly headers: IncomingHttpHeaders }> {
  const response = await fetch(`${proxyUrl}/responses?stream=true`, {
    headers: {
      authorization: 'Bearer of-the-client',
      'chatgpt-account-id': 'of-the-client',
      'x-openai-fedramp': 'false',
      originator: 'codex_cli_rs',
      session_id: 'session-1',
      'openai-beta': 'responses=experimental',
    },
  });
  const text = await response.text();
  const { path = '', headers = {} } = response.status === 200 ? JSON.parse(text) : {};
  return { status: response.status, path, headers };
}
