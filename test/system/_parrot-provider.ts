// A token endpoint that repeats what it was told, in every place where an answer has room: the provider that a log, a
// page or a metric must be safe from. Every token it gives, and every secret it is told, is one for the scan.
import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { bind } from '../../src/listen.ts';
import type { SecretScan } from './_secret-scan.ts';

export interface ParrotCall {
  readonly credential: string;
  readonly grantType: string;
  /** Everything secret in this request. */
  readonly told: readonly string[];
  /** What would be given. */
  readonly gifts: Gifts;
  readonly response: ServerResponse;
}

interface Gifts {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly id_token: string;
  readonly token_type: string;
  readonly expires_in: number;
}

/** One way to answer. */
export type Way = (call: ParrotCall) => void;

export interface ParrotProvider {
  readonly url: string;
  /** How the next calls of this credential and grant are answered; undefined: well. */
  answer(credential: string, grantType: string, way: Way | undefined): void;
  /** Life of the access tokens from now on. */
  lifeSeconds: number;
  /** Calls so far. */
  calls(credential: string, grantType: string): number;
  close(): Promise<void>;
}

export async function createParrotProvider(scan: SecretScan): Promise<ParrotProvider> {
  const ways = new Map<string, Way>();
  const counts = new Map<string, number>();
  let made = 0;

  /** Every other one with characters that each encoding writes differently. */
  const make = (kind: string, prefix: string): string => {
    made += 1;
    const secret = `${prefix}${made}-${made % 2 === 0 ? '"\\/+=%&<\'' : ''}${randomBytes(24).toString('base64url')}`;
    scan.add(kind, secret);
    return secret;
  };
  const makeIdToken = (): string => {
    const claims = {
      iss: 'https://parrot.example',
      sub: 'parrot-user',
      email: 'parrot@example.test',
      jti: randomBytes(12).toString('base64url'),
      'https://api.openai.com/auth': { chatgpt_account_id: 'parrot-account', chatgpt_plan_type: 'plus' },
    };
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const payload = part(claims);
    const token = `${part({ alg: 'RS256', kid: 'parrot' })}.${payload}.${randomBytes(32).toString('base64url')}`;
    scan.add('id token', token);
    scan.add("id token's payload", payload);
    return token;
  };

  const server = createServer(async (request, response) => {
    response.on('error', () => undefined);
    let body = '';
    for await (const chunk of request) body += chunk;
    const credential = request.url?.split('/').at(-1) ?? '';
    const form = new URLSearchParams(body);
    const grantType = form.get('grant_type') ?? '';
    const key = `${credential} ${grantType}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    const told = ['code', 'code_verifier', 'refresh_token', 'client_secret'].flatMap((name) => form.getAll(name));
    for (const verifier of form.getAll('code_verifier')) scan.add('code_verifier', verifier);
    const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (basic !== undefined) {
      scan.add("client's Basic credentials", basic);
      told.push(basic);
    }
    const gifts = {
      access_token: make('access token', 'AT'),
      refresh_token: make('refresh token', 'RT'),
      id_token: makeIdToken(),
      token_type: 'Bearer',
      expires_in: provider.lifeSeconds,
    };
    const way = ways.get(key) ?? ((call) => sendJson(call, 200, call.gifts));
    way({ credential, grantType, told, gifts, response });
  });
  const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'port');

  const provider: ParrotProvider = {
    url,
    lifeSeconds: 3_600,
    answer(credential, grantType, way) {
      if (way === undefined) ways.delete(`${credential} ${grantType}`);
      else ways.set(`${credential} ${grantType}`, way);
    },
    calls: (credential, grantType) => counts.get(`${credential} ${grantType}`) ?? 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return provider;
}

function sendJson({ response }: ParrotCall, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function sendText({ response }: ParrotCall, status: number, text: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'text/html', ...headers }).end(text);
}

function sendRaw({ response }: ParrotCall, bytes: string): void {
  response.socket?.end(bytes);
}

/** Both what the client sent and what it would be given. */
function everything({ told, gifts }: ParrotCall): string {
  return [...told, gifts.access_token, gifts.refresh_token, gifts.id_token].join(' ');
}

const inUrl = (call: ParrotCall): string => encodeURIComponent(everything(call));

/** Ways to fail. What is told in `error` alone is what was sent: that is all that a client can recognise. */
export const failingWays: Readonly<Record<string, Way>> = {
  'error_description repeats everything': (call) =>
    sendJson(call, 400, { error: 'invalid_request', error_description: everything(call), error_uri: everything(call) }),
  'error is what was sent': (call) => sendJson(call, 400, { error: call.told[0] }),
  'error names the beginning of what was sent': (call) =>
    sendJson(call, 400, { error: `unknown_token:${call.told[0]?.slice(0, 24)}...` }),
  'error is what was sent, URL-encoded': (call) =>
    sendJson(call, 400, { error: `bad:${encodeURIComponent(call.told[0] ?? '')}` }),
  'error.code is the last of what was sent': (call) =>
    sendJson(call, 403, { error: { code: call.told.at(-1), message: everything(call), type: everything(call) } }),
  'code is a piece of what was sent': (call) => sendJson(call, 500, { code: call.told[0]?.slice(4, 40) }),
  'a page of HTML': (call) => sendText(call, 502, `<h1>${everything(call)}</h1>`),
  headers: (call) => {
    const text = inUrl(call);
    const headers = { 'www-authenticate': `Bearer error="${text}"`, 'set-cookie': `t=${text}`, [`x-${text}`]: text };
    sendText(call, 503, '', { ...headers, 'retry-after': text });
  },
  'the phrase of the status': ({ response, ...call }) =>
    void response.writeHead(500, inUrl({ response, ...call })).end(),
  'a redirect': (call) => sendText(call, 307, everything(call), { location: `http://localhost:9/?t=${inUrl(call)}` }),
  'torn JSON': (call) => sendText(call, 200, JSON.stringify({ ...call.gifts, expires_in: 60 }).slice(0, -20)),
  'JSON that is no object': (call) => sendJson(call, 200, [everything(call)]),
  'tokens of other types': (call) =>
    sendJson(call, 200, {
      access_token: { value: call.gifts.access_token },
      refresh_token: [call.gifts.refresh_token],
    }),
  'a token that cannot stand in a header': (call) =>
    sendJson(call, 200, { access_token: `${call.gifts.access_token}\r\nx: ${call.gifts.id_token}` }),
  'a header that is none': (call) => sendRaw(call, `HTTP/1.1 200 OK\r\n${everything(call)}\r\n\r\n`),
  'no HTTP': (call) => sendRaw(call, everything(call)),
  'an answer that is cut off': (call) =>
    sendRaw(call, `HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{"a":"${inUrl(call)}`),
  'no answer': ({ response }) => void response.socket?.destroy(),
  'a body above the limit': (call) => sendText(call, 200, everything(call).padEnd(1_100_000, 'x')),
  'too many requests': (call) => sendText(call, 429, everything(call), { 'retry-after': '0' }),
};

/** Tokens among fields that are not what they should be. */
export const oddWays: Readonly<Record<string, Way>> = {
  'fields that repeat everything': (call) =>
    sendJson(call, 200, {
      ...call.gifts,
      token_type: everything(call),
      scope: [everything(call)],
      refresh_expires_in: everything(call),
      [everything(call)]: everything(call),
    }),
  'a refresh token alone': (call) =>
    sendJson(call, 200, { refresh_token: call.gifts.refresh_token, id_token: 7, expires_in: everything(call) }),
};

/** The grant is gone: at 400, and as Codex says it. */
export const endingWays: Readonly<Record<string, Way>> = {
  invalid_grant: (call) => sendJson(call, 400, { error: 'invalid_grant', error_description: everything(call) }),
  refresh_token_reused: (call) =>
    sendJson(call, 401, { error: { code: 'refresh_token_reused', message: everything(call) }, code: call.told[0] }),
};
