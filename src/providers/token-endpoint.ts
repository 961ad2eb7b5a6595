// One HTTP request to a provider, over undici's dispatch: the only place that knows whether a byte was sent.
// It never follows a redirect, never sends twice, and never puts what was sent or answered into an error.
import type { Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import { isCertificateAlert, isCertificateFailure } from '../egress/tls-failure.ts';
import { type ErrorDetails, SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import type { TokenCall } from './provider.ts';
import { retryAfterMs } from './retry-after.ts';

/** Far above any token answer, discovery document or key set. */
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface EndpointRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** An answer of any status, redirects included. */
export interface EndpointAnswer {
  readonly status: number;
  /** Empty where it was larger than 1 MiB. */
  readonly body: string;
  readonly retryAfterMs?: number;
  /** Wall ms just before the first byte of the request. */
  readonly sentAtMs: number;
}

/**
 * Sends one request and reads its answer whole.
 * @throws token_endpoint_unreachable nothing was sent (DNS, dial, TLS, or no connection within `timeoutMs`)
 * @throws egress_unreachable, egress_refused nothing was sent: there was no tunnel
 * @throws token_endpoint_no_answer it was sent, or may have been
 * @throws lease_lost `mayBegin` said no; nothing was sent
 */
export type CallEndpoint = (url: string, request: EndpointRequest, call: TokenCall) => Promise<EndpointAnswer>;

export interface EndpointParts {
  readonly clock: Clock;
  /** Egress and TLS of the credential; by default straight out, trusting what Node trusts. */
  readonly dispatcher?: Dispatcher | undefined;
}

let straightOut: Promise<Dispatcher> | undefined;

/** undici is loaded with the first call, not with the program. */
function defaultDispatcher(): Promise<Dispatcher> {
  // What switches verification off for the whole process is not for secrets.
  const connect = { rejectUnauthorized: true };
  straightOut ??= import('undici').then(({ Agent }) => new Agent({ allowH2: false, connect }));
  return straightOut;
}

export function createEndpointCaller({ clock, dispatcher }: EndpointParts): CallEndpoint {
  return async (url, request, call) => {
    const target = new URL(url);
    const through = dispatcher ?? (await defaultDispatcher());
    return new Promise<EndpointAnswer>((resolve, reject) => {
      let begun: Dispatcher.DispatchController | undefined;
      let isOver = false;
      let sentAtMs = 0;
      let status = 0;
      let retryAfter: number | undefined;
      let sizeBytes = 0;
      const chunks: Buffer[] = [];

      const timer = clock.after(call.timeoutMs, () => {
        const giveUp = (): void => failUnanswered({ reason: 'the attempt took too long' });
        // A process that was frozen finds its timers due before it has looked at its sockets, and the answer may lie
        // there. Where nothing was sent yet, nothing may be sent any more.
        if (begun === undefined) giveUp();
        else setImmediate(giveUp);
      });

      function end(): void {
        isOver = true;
        timer.cancel();
      }

      function fail(error: SidebearerError): void {
        if (isOver) return;
        end();
        reject(error);
        begun?.abort(error);
      }

      function failUnanswered(details: ErrorDetails, cause?: unknown): void {
        const address = target.host;
        if (begun === undefined) {
          fail(new SidebearerError('token_endpoint_unreachable', { address, ...details }, cause));
        } else {
          // No cause: undici's parser errors hold the bytes that were answered.
          fail(new SidebearerError('token_endpoint_no_answer', { address, ...details }));
        }
      }

      function succeed(body: string): void {
        if (isOver) return;
        end();
        resolve({ status, body, sentAtMs, ...(retryAfter !== undefined && { retryAfterMs: retryAfter }) });
      }

      const handler: Dispatcher.DispatchHandler = {
        // The connection stands and nothing is written yet: an abort in here sends nothing.
        onRequestStart(controller) {
          if (isOver) return controller.abort(new Error('the attempt is over'));
          if (begun !== undefined) {
            // A dispatcher that replays must not: the first one may have been taken.
            failUnanswered({ reason: 'the connection was replaced' });
            return controller.abort(new Error('never sent twice'));
          }
          if (!call.mayBegin()) {
            const lost = new SidebearerError('lease_lost');
            fail(lost);
            return controller.abort(lost);
          }
          begun = controller;
          sentAtMs = clock.wallMs();
        },
        onResponseStart(_controller, statusCode, headers) {
          // Also called for 1xx: the last one is the answer's.
          status = statusCode;
          retryAfter = retryAfterMs(headers['retry-after'], clock.wallMs());
        },
        onResponseData(controller, chunk) {
          sizeBytes += chunk.length;
          if (sizeBytes <= MAX_ANSWER_BYTES) return void chunks.push(chunk);
          succeed('');
          controller.abort(new Error('the answer is too large'));
        },
        onResponseEnd() {
          succeed(new TextDecoder().decode(Buffer.concat(chunks)));
        },
        onResponseError(_controller, error) {
          if (error instanceof SidebearerError) return fail(error);
          const code = systemCode(error) ?? systemCode(error.cause);
          const tlsReason = code === undefined ? undefined : tlsReasonOf(code);
          if (code !== undefined && tlsReason !== undefined) {
            return failUnanswered({ systemCode: code, reason: tlsReason }, error);
          }
          // Of undici's own errors one has no code: that of its parser.
          failUnanswered(code === undefined ? { reason: 'the answer is not HTTP' } : { systemCode: code }, error);
        },
      };

      // HTTP/2 may replay a request by itself, and an idle connection may be closed by the other side just as it is
      // used again: either makes an outcome unclear, so every call has an HTTP/1.1 connection of its own.
      const options: Dispatcher.DispatchOptions & { allowH2: false } = {
        origin: target.origin,
        path: `${target.pathname}${target.search}`,
        method: request.method,
        headers: { 'accept-encoding': 'identity', 'user-agent': 'sidebearer', ...request.headers },
        body: request.body ?? null,
        headersTimeout: 0,
        bodyTimeout: 0,
        idempotent: false,
        reset: true,
        allowH2: false,
      };
      through.dispatch(options, handler);
    });
  };
}

function tlsReasonOf(code: string): string | undefined {
  if (isCertificateFailure(code)) return 'its TLS certificate is not accepted';
  return isCertificateAlert(code) ? 'it does not accept our TLS certificate, or misses one' : undefined;
}
