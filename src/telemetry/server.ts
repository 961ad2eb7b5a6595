// The telemetry listener: /metrics and the probes on an http server of their own, so that a busy proxy or OAuth port
// cannot keep them from answering. It names no account, and changes nothing but for the one order that a pod may give it
// where that is switched on: to end.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { closeServer, trackConnections } from '../connections.ts';
import { SidebearerError } from '../errors/sidebearer-error.ts';
import type { Metrics } from './metrics.ts';
import { live, type ProbeAnswer, type ProbeFacts, ready, started } from './probes.ts';
import { quitPath, quitRefusal } from './quit.ts';

export interface TelemetryServerOptions {
  readonly metrics: Pick<Metrics, 'expose'>;
  /** What is known at the moment of the question. */
  readonly probes: () => ProbeFacts;
  /** The exposition could not be made; the scrape was answered with 500. */
  readonly failed?: (thrown: unknown) => void;
  /** What POST /quitquitquit orders at this moment; called once, and answered at once. Undefined: it is switched off. */
  readonly quit?: () => (() => void) | undefined;
  /** Who ordered it may not. */
  readonly quitRefused?: (error: SidebearerError) => void;
}

export interface TelemetryServer {
  /** To be bound by the composition root. */
  readonly server: Server;
  /** Ends the listener; answers that are under way get `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** What the path takes, with a 405. */
  readonly allow?: string;
}

/**
 * This listener is open to the pod network: whoever opens connections without end must neither use up the process's file
 * descriptors nor keep the kubelet out, whose probe is answered long before it is the oldest.
 */
const MOST_CONNECTIONS = 256;

export function createTelemetryServer(options: TelemetryServerOptions): TelemetryServer {
  const { metrics, probes, failed, quitRefused } = options;
  const pages = new Map<string, () => Answer | Promise<Answer>>([
    ['/metrics', async () => ({ status: 200, ...(await metrics.expose()) })],
    ['/livez', () => probeAnswer(live())],
    ['/readyz', () => probeAnswer(ready(probes()))],
    ['/startupz', () => probeAnswer(started(probes()))],
  ]);

  const notFound = (): Answer => text(404, `Not found. Here are ${[...pages.keys()].join(', ')}.`);

  let hasQuit = false;

  /** Off, it is a path like any other, but for a word to who may order it. */
  function answerQuit(request: IncomingMessage): Answer {
    const refusal = quitRefusal(request, typeof server.address() === 'string');
    const quit = options.quit?.();
    if (quit === undefined) return refusal === undefined ? problem(new SidebearerError('quit_off')) : notFound();
    if (refusal !== undefined) {
      quitRefused?.(refusal);
      return problem(refusal);
    }
    if (hasQuit) return text(200, 'Ending already.');
    hasQuit = true;
    quit();
    return text(200, 'Ending.');
  }

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // No body is wanted here: whoever sends one is not waited for.
    request.resume();
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    if (path === quitPath) return send(response, answerQuit(request));
    const page = pages.get(path);
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (page === undefined) return send(response, notFound());
    if (!isRead) return send(response, { ...text(405, 'Only GET and HEAD.'), allow: 'GET, HEAD' });
    try {
      send(response, await page());
    } catch (thrown) {
      failed?.(thrown);
      send(response, text(500, 'This could not be told; see the log.'));
    }
  }

  const server = createServer(
    // Node looks only each 30 s by default.
    { headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 2_000 },
    respond,
  );
  server.maxRequestsPerSocket = 10_000;
  const connections = trackConnections(server);
  server.on('connection', () => {
    const [oldest] = connections;
    if (connections.size > MOST_CONNECTIONS) oldest?.destroy();
  });

  return {
    server,
    close: (graceMs = 1_000) => closeServer(server, connections, graceMs),
  };
}

function send(response: ServerResponse, { status, contentType, body, allow }: Answer): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(allow !== undefined && { allow }),
  });
  response.end(body);
}

function probeAnswer({ ok, reasons }: ProbeAnswer): Answer {
  const body = JSON.stringify({ status: ok ? 'ok' : 'unavailable', reasons });
  return { status: ok ? 200 : 503, contentType: 'application/json', body: `${body}\n` };
}

function text(status: number, sentence: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${sentence}\n` };
}

/** A refusal of POST /quitquitquit, as the proxy and the OAuth listener answer (RFC 9457). */
function problem({ code, row, next }: SidebearerError): Answer {
  const { status, message: title } = row;
  const body = JSON.stringify({ type: `urn:sidebearer:error:${code}`, title, status, detail: `${title}.`, code, next });
  const allow = status === 405 ? { allow: 'POST' } : {};
  return { status, contentType: 'application/problem+json', body: `${body}\n`, ...allow };
}
