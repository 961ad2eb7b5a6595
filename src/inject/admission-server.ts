// The webhook's HTTPS listener. It answers the API server, and says to anybody else what it wants; it never keeps what
// it was sent, and no request of any kind ends it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { closeServer, trackConnections } from '../connections.ts';
import { SidebearerError, systemCode, toSidebearerError } from '../errors/sidebearer-error.ts';
import { type Review, review } from './admission-review.ts';
import type { Certificate } from './certificate.ts';
import type { Injection } from './pod-injection.ts';

export interface AdmissionObserver {
  reviewed(review: Review): void;
  /** A request or a handshake that came to nothing. */
  failed(error: SidebearerError): void;
}

export interface AdmissionServer {
  /** To be bound by the composition root. */
  readonly server: Server;
  /** For new connections; those that are open go on with what they began with. */
  renew(certificate: Certificate): void;
  /** Ends the listener; whoever is being answered gets `graceMs`. */
  close(graceMs: number): Promise<void>;
  /** From now on each answer ends its connection, so that the API server turns to another replica. */
  leave(): void;
}

const PATH = '/mutate';
/** The API server takes objects of up to 3 MiB; as JSON in a review they may be longer. */
const MAX_BODY_BYTES = 8 * 1_048_576;
/** The API server's own client keeps a connection for 90 s: were ours shorter, a pod could meet its end. */
const KEEP_ALIVE_MS = 180_000;
/** The longest that the API server waits for a webhook. */
const REQUEST_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 500;

export function createAdmissionServer(
  certificate: Certificate,
  inject: (pod: unknown) => Injection,
  observer: AdmissionObserver,
): AdmissionServer {
  let isLeaving = false;

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (isLeaving) response.setHeader('connection', 'close');
    try {
      assertRequest(request);
      const text = await readBody(request);
      if (text === undefined) return;
      const reviewed = review(text, inject);
      observer.reviewed(reviewed);
      send(response, 200, 'application/json', JSON.stringify(reviewed.answer));
    } catch (thrown) {
      const error = toSidebearerError(thrown);
      observer.failed(error);
      // A connection is kept for the API server alone.
      response.setHeader('connection', 'close');
      const status = error.details.status ?? error.row.status;
      if (status === 405) response.setHeader('allow', 'POST');
      send(response, status, 'text/plain; charset=utf-8', `${error.code}: ${error.message}. ${error.next}\n`);
    }
  }

  const server = createServer(
    {
      cert: certificate.cert,
      key: certificate.key,
      minVersion: 'TLSv1.2',
      headersTimeout: 10_000,
      requestTimeout: REQUEST_TIMEOUT_MS,
      // Node looks only each 30 s by default.
      connectionsCheckingInterval: 2_000,
      keepAliveTimeout: KEEP_ALIVE_MS,
      handshakeTimeout: 10_000,
    },
    respond,
  );
  server.maxConnections = MAX_CONNECTIONS;
  const connections = trackConnections(server);
  // Node's own listener ends the connection.
  server.on('tlsClientError', (thrown) => {
    const error = handshakeError(thrown);
    if (error !== undefined) observer.failed(error);
  });

  return {
    server,
    renew: ({ cert, key }) => server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' }),
    leave() {
      isLeaving = true;
    },
    close: (graceMs) => closeServer(server, connections, graceMs),
  };
}

/** @throws admission_request_invalid */
function assertRequest({ method, url = '', headers }: IncomingMessage): void {
  // The API server adds ?timeout=10s.
  if (url.split('?', 1)[0] !== PATH) throw invalid(404, `the path is ${PATH}`);
  if (method !== 'POST') throw invalid(405, 'the method is POST');
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json') throw invalid(415, 'its content-type is not application/json');
  if (headers['content-encoding'] !== undefined) throw invalid(415, 'its body is compressed');
  if (Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw new SidebearerError('admission_request_too_large');
}

function invalid(status: number, reason: string): SidebearerError {
  return new SidebearerError('admission_request_invalid', { status, reason });
}

/** @returns undefined where the other side left. @throws admission_request_too_large, admission_request_invalid */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Uint8Array>) {
      length += chunk.byteLength;
      // Too much is read on into nothing: the end of a connection with bytes unread is a reset, which may overtake the answer.
      if (length <= MAX_BODY_BYTES) chunks.push(chunk);
    }
  } catch {
    return undefined;
  }
  if (length > MAX_BODY_BYTES) throw new SidebearerError('admission_request_too_large');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw invalid(400, 'its body is not UTF-8');
  }
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}

/** undefined: whoever it was left, as a probe of the port does. */
function handshakeError(thrown: Error): SidebearerError | undefined {
  const code = systemCode(thrown) ?? '';
  if (!code.startsWith('ERR_SSL_') && code !== 'ERR_TLS_HANDSHAKE_TIMEOUT') return undefined;
  return new SidebearerError('admission_tls_failed', { systemCode: code }, thrown);
}
