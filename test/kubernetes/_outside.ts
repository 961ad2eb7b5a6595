// What pods reach outside of the cluster: a provider whose refresh tokens serve once, and an upstream that answers with
// what it was shown. Both run in the test's own process, on the node's address.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Scope } from './_cluster.ts';

/** Where pods reach what runs on the node. */
export const NODE = '198.51.100.1';

export interface Outside {
  readonly port: number;
  /** The refresh tokens that were shown, in order. */
  readonly redeemed: string[];
}

/** The first refresh token is `first`; access tokens are `access-1`, `access-2`, … */
export async function startOutside(t: Scope): Promise<Outside> {
  const redeemed: string[] = [];
  let current = 'first';
  const server: Server = createServer(async (asked, answer) => {
    if (asked.url !== '/token') {
      answer.end(asked.headers.authorization);
      return;
    }
    const given = new URLSearchParams(await textOf(asked)).get('refresh_token') ?? '';
    redeemed.push(given);
    if (given !== current) {
      answer.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"invalid_grant"}');
      return;
    }
    current = `refresh-${redeemed.length}`;
    const tokens = { access_token: `access-${redeemed.length}`, token_type: 'Bearer', expires_in: 3600 };
    answer.writeHead(200, { 'content-type': 'application/json' });
    answer.end(JSON.stringify({ ...tokens, refresh_token: current }));
  });
  server.listen(0, NODE);
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, redeemed };
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of message) text += chunk;
  return text;
}
