// A token endpoint whose refresh tokens serve once: a second redeem kills the family. It counts every redeem, says who
// sent it, and answers what a test scripts, when the test says so.
import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { bind } from '../../src/listen.ts';

/** `by` is the `sender` among the configured token parameters. */
export interface Redeem {
  readonly refreshToken: string;
  readonly by: string;
  readonly atMs: number;
  readonly outcome: 'rotated' | 'reused' | 'dead' | 'scripted';
  /** The refresh token that came instead. */
  readonly to: string | undefined;
}

/** What one call meets. Without `status` the endpoint does its work. */
export interface Scripted {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** The work is done at once; the answer waits for this. */
  readonly until?: Promise<unknown>;
}

export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresAtMs: number;
  readonly obtainedAtMs: number;
}

export interface RotatingEndpoint {
  /** Origin. */
  readonly url: string;
  readonly port: number;
  readonly redeems: readonly Redeem[];
  /** Redeems of a refresh token that had been rotated, while its family lived: each has killed one. */
  readonly reuses: readonly Redeem[];
  /** For the coming calls, in order; `always` serves when it is empty. */
  readonly script: Scripted[];
  always: Scripted;
  /** Of access tokens from now on. */
  lifeMs: number;
  /** A family of its own. */
  login(): IssuedTokens;
  isAlive(refreshToken: string): boolean;
  /** The newest of its family. */
  isCurrent(refreshToken: string): boolean;
  /** Resolves once so many redeems have come. */
  redeemed(count: number): Promise<void>;
  /** Wall ms at which an access token ends; undefined: it was never issued. */
  expiryOf(accessToken: string): number | undefined;
  close(): Promise<void>;
}

interface Family {
  current: string;
  isAlive: boolean;
}

export async function createRotatingEndpoint(): Promise<RotatingEndpoint> {
  const families = new Map<string, Family>();
  const expiries = new Map<string, number>();
  const redeems: Redeem[] = [];
  const waiting = new Set<() => void>();

  function issue(family: Family): IssuedTokens {
    const refreshToken = `rt-${randomBytes(12).toString('base64url')}`;
    const accessToken = `at-${randomBytes(12).toString('base64url')}`;
    family.current = refreshToken;
    families.set(refreshToken, family);
    const obtainedAtMs = Date.now();
    const expiresAtMs = obtainedAtMs + endpoint.lifeMs;
    expiries.set(accessToken, expiresAtMs);
    return { accessToken, refreshToken, obtainedAtMs, expiresAtMs };
  }

  function note(redeem: Omit<Redeem, 'atMs'>): void {
    redeems.push({ ...redeem, atMs: Date.now() });
    for (const wake of [...waiting]) wake();
  }

  function redeem(refreshToken: string, by: string): { status: number; body: unknown } {
    const family = families.get(refreshToken);
    if (family === undefined || !family.isAlive) {
      note({ refreshToken, by, outcome: 'dead', to: undefined });
      return { status: 400, body: { error: 'invalid_grant' } };
    }
    if (family.current !== refreshToken) {
      family.isAlive = false;
      note({ refreshToken, by, outcome: 'reused', to: undefined });
      return { status: 400, body: { error: 'invalid_grant' } };
    }
    const issued = issue(family);
    note({ refreshToken, by, outcome: 'rotated', to: issued.refreshToken });
    return {
      status: 200,
      body: {
        access_token: issued.accessToken,
        refresh_token: issued.refreshToken,
        token_type: 'Bearer',
        expires_in: endpoint.lifeMs / 1_000,
      },
    };
  }

  function send(response: ServerResponse, status: number, body: unknown, headers: Scripted['headers'] = {}): void {
    const text = typeof body === 'string' ? body : JSON.stringify(body ?? {});
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
  }

  const server = createServer(async (request, response) => {
    response.on('error', () => undefined);
    let text = '';
    try {
      for await (const chunk of request) text += chunk;
    } catch {
      return;
    }
    const form = new URLSearchParams(text);
    const refreshToken = form.get('refresh_token') ?? '';
    const by = form.get('sender') ?? '';
    const step = endpoint.script.shift() ?? endpoint.always;
    if (step.status !== undefined) {
      note({ refreshToken, by, outcome: 'scripted', to: undefined });
      await step.until;
      send(response, step.status, step.body, step.headers);
      return;
    }
    const { status, body } = redeem(refreshToken, by);
    await step.until;
    send(response, status, body);
  });
  const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'port');

  const endpoint: RotatingEndpoint = {
    url,
    port: Number(new URL(url).port),
    redeems,
    get reuses() {
      return redeems.filter(({ outcome }) => outcome === 'reused');
    },
    script: [],
    always: {},
    lifeMs: 60_000,
    login: () => issue({ current: '', isAlive: true }),
    isAlive: (refreshToken) => families.get(refreshToken)?.isAlive === true,
    isCurrent: (refreshToken) => families.get(refreshToken)?.current === refreshToken,
    redeemed: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (redeems.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    expiryOf: (accessToken) => expiries.get(accessToken),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return endpoint;
}
