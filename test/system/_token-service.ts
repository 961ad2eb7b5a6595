// A token endpoint that a test answers for: it keeps what it was sent, and gives a new access token each time.
import { createServer } from 'node:http';
import { bind } from '../../src/listen.ts';

export interface TokenRequest {
  readonly form: Readonly<Record<string, string>>;
  /** How many came before it. */
  readonly index: number;
}

/** Fields of an answer of 200, over a good one; or another answer. */
export type ServiceAnswer = Readonly<Record<string, unknown>> | { readonly status: number; readonly body?: unknown };

export interface TokenService {
  readonly url: string;
  readonly requests: readonly TokenRequest[];
  /** Replaced by tests. */
  answer: (request: TokenRequest) => ServiceAnswer;
  /** Whether this access token was given here. */
  knows(token: string): boolean;
  close(): Promise<void>;
}

export async function createTokenService(): Promise<TokenService> {
  const requests: TokenRequest[] = [];
  const given = new Set<string>();
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const call = { form: Object.fromEntries(new URLSearchParams(body)), index: requests.length };
    requests.push(call);
    const answer = service.answer(call);
    response.setHeader('content-type', 'application/json');
    if (typeof answer['status'] === 'number') {
      response.writeHead(answer['status']).end(JSON.stringify(answer['body'] ?? {}));
      return;
    }
    const access_token = `access-${requests.length}`;
    given.add(access_token);
    response.end(JSON.stringify({ access_token, token_type: 'Bearer', expires_in: 3_600, ...answer }));
  });
  const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'port');
  const service: TokenService = {
    url: `${url}/token`,
    requests,
    answer: () => ({}),
    knows: (token) => given.has(token),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return service;
}
