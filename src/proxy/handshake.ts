// One WebSocket handshake, by http-proxy-3, which is loaded at the first one. The same admission, token and rule for a
// 401 as for any request; the destination is the configured upstream. The client sees nothing of an answer before its
// status is known.
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { ProxyServer } from 'http-proxy-3';
import type { Clock, Timer } from '../clock.ts';
import type { Authorization } from '../credentials/bearer.ts';
import { createUpgradeAgent } from '../egress/upgrade-agent.ts';
import type { Way } from '../egress/way.ts';
import { SidebearerError, systemCode, toSidebearerError } from '../errors/sidebearer-error.ts';
import { type Admit, type Admitted, wayFor } from './admission.ts';
import { createAnswerPeek } from './answer-peek.ts';
import { arrivalOf } from './arrival.ts';
import { Bridge } from './bridge.ts';
import { challengeOf } from './challenge.ts';
import type { Exchanges } from './exchange.ts';
import { handshakeHeaders, holdAnswer, sendAnswer } from './handshake-message.ts';
import { upstreamHeaders } from './headers.ts';
import { endLast } from './last-answer.ts';
import type { AttemptStage } from './message.ts';
import type { ProxyObserver, ReplayOutcome } from './observer.ts';
import { renderRawProblem } from './problem.ts';
import { authorityOf } from './target.ts';
import { upstreamError } from './upstream-error.ts';

export interface HandshakeOptions {
  readonly admit: Admit;
  readonly exchanges: Pick<Exchanges, 'enter' | 'leave'>;
  readonly observer: ProxyObserver;
  readonly clock: Clock;
}

/** Before the 101 a client has little to say; beyond this it waits. */
const EARLY_BYTES = 64 * 1024;
let engine: Promise<ProxyServer> | undefined;

function loadEngine(): Promise<ProxyServer> {
  engine ??= import('http-proxy-3').then((library) => {
    const proxy = new library.ProxyServer({});
    // Each handshake has its own callback; without a listener here the library would throw.
    proxy.on('error', () => undefined);
    proxy.on('proxyReqWs', (proxyRequest: ClientRequest, request: IncomingMessage) => {
      handshakes.get(request)?.sending(proxyRequest);
    });
    return proxy;
  });
  return engine;
}

/** The library hands its requests back with ours. */
const handshakes = new WeakMap<IncomingMessage, Handshake>();

export class Handshake {
  readonly #options: HandshakeOptions;
  readonly #open: Set<Bridge>;
  readonly #request: IncomingMessage;
  readonly #socket: Socket;
  readonly #rawHeaders: readonly string[];
  readonly #target: string;
  readonly #early: Buffer[] = [];
  readonly #departure = new AbortController();
  readonly #beganMs: number;
  #earlyBytes = 0;
  #isIn = false;
  /** Refused, left, answered or established: the handshake is over. */
  #isDone = false;
  #admitted: Admitted | undefined = undefined;
  #sent: Authorization | undefined = undefined;
  /** What the upstream answered with 401. */
  #refusedOne: Authorization | undefined = undefined;
  #way: Way | undefined = undefined;
  #bridge: Bridge | undefined = undefined;
  #proxyRequest: ClientRequest | undefined = undefined;
  #stage: AttemptStage = 'connecting';
  #timer: Timer | undefined = undefined;
  #hasTimedOut = false;
  #hasReplayed = false;
  #sentMs = 0;
  #ttfbMs: number | undefined = undefined;

  constructor(options: HandshakeOptions, open: Set<Bridge>, request: IncomingMessage, socket: Socket, head: Buffer) {
    this.#options = options;
    this.#open = open;
    this.#request = request;
    this.#socket = socket;
    this.#rawHeaders = request.rawHeaders;
    this.#target = request.url ?? '';
    this.#beganMs = options.clock.monotonicMs();
    if (head.length > 0) this.#keepEarly(head);
  }

  begin(): void {
    this.#watchClient();
    handshakes.set(this.#request, this);
    const { exchanges, admit, observer } = this.#options;
    try {
      exchanges.enter();
      this.#isIn = true;
      const admitted = admit({
        method: this.#request.method ?? '',
        target: this.#target,
        isHttp10: this.#request.httpVersion === '1.0',
        rawHeaders: this.#rawHeaders,
      });
      if (admitted.facts.hasBody) throw new SidebearerError('request_malformed', { reason: 'a body on an upgrade' });
      this.#admitted = admitted;
      observer.requestBegan(admitted.route.options.name);
      const authorization = admitted.route.bearer.authorization();
      if (authorization !== undefined) this.#send(admitted, authorization);
      else this.#wait(admitted);
    } catch (thrown) {
      this.#refuse(toSidebearerError(thrown));
    }
  }

  /** Its end is only seen by reading, and what is read belongs to the upgraded connection. */
  #watchClient(): void {
    const socket = this.#socket;
    socket.on('error', () => undefined);
    const keep = (chunk: Buffer): void => {
      if (this.#isDone) return void socket.off('data', keep);
      this.#keepEarly(chunk);
      if (this.#earlyBytes > EARLY_BYTES) socket.pause();
    };
    socket.on('data', keep);
    socket.on('end', () => this.#left());
    socket.on('close', () => this.#left());
  }

  #keepEarly(chunk: Buffer): void {
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
  }

  #left(): void {
    if (this.#isDone) return;
    this.#finish(0, true);
    this.#discard();
    this.#socket.destroy();
  }

  #wait(admitted: Admitted): void {
    admitted.route.bearer.wait(this.#departure.signal).then(
      (authorization) => {
        if (!this.#isDone) this.#send(admitted, authorization);
      },
      (thrown) => {
        if (this.#isDone) return;
        const error = toSidebearerError(thrown);
        this.#refuse(error, error.code === 'internal_error' ? undefined : 503);
      },
    );
  }

  #send(admitted: Admitted, authorization: Authorization): void {
    this.#sent = authorization;
    loadEngine().then(
      (proxy) => {
        if (!this.#isDone) this.#dispatch(proxy, admitted, authorization);
      },
      (thrown) => {
        if (!this.#isDone) this.#refuse(toSidebearerError(thrown));
      },
    );
  }

  #dispatch(proxy: ProxyServer, admitted: Admitted, authorization: Authorization): void {
    const { route, facts } = admitted;
    const { upstream, timeouts } = route.options;
    const way = wayFor(route.options, authorization);
    this.#way = way;
    const bridge = new Bridge();
    this.#bridge = bridge;
    this.#stage = 'connecting';
    this.#sentMs = this.#options.clock.monotonicMs();
    // The library builds its request from these two.
    this.#request.url = admitted.path;
    const headers = upstreamHeaders(this.#rawHeaders, facts.nominated, route.injected, authorization.rawHeaders);
    route.forwarding?.(headers, arrivalOf(this.#socket, '1.1'), authorityOf(this.#target) ?? facts.host);
    this.#request.headers = handshakeHeaders(headers, upstream.host);
    const target = {
      protocol: upstream.protocol,
      host: upstream.host,
      hostname: upstream.hostname,
      port: Number(upstream.port) || (upstream.protocol === 'https:' ? 443 : 80),
    };
    proxy.ws(
      this.#request,
      bridge as unknown as Socket,
      Buffer.alloc(0),
      {
        target,
        toProxy: true,
        prependPath: false,
        changeOrigin: false,
        secure: true,
        connectTimeout: timeouts.connectMs,
        ...(way !== undefined && { agent: createUpgradeAgent(upstream, { way, timeoutMs: timeouts.connectMs }) }),
      },
      (thrown: Error) => this.#failed(bridge, thrown),
    );
  }

  /** The library's request, just before its head is written. */
  sending(proxyRequest: ClientRequest): void {
    const bridge = this.#bridge;
    const admitted = this.#admitted;
    if (bridge === undefined || admitted === undefined) return;
    this.#proxyRequest = proxyRequest;
    // The library takes the query apart and puts it together again; the path is sent as it came.
    proxyRequest.path = admitted.path;
    proxyRequest.on('socket', (socket) => {
      // An agent with a way of its own hands over what is connected already.
      if (!socket.connecting && this.#way !== undefined) this.#stage = 'sent';
      const { protocol } = admitted.route.options.upstream;
      socket.once(protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        this.#stage = 'sent';
      });
    });
    const { headersMs } = admitted.route.options.timeouts;
    if (headersMs > 0) {
      this.#timer = this.#options.clock.after(headersMs, () => {
        this.#hasTimedOut = true;
        proxyRequest.destroy(new Error('No answer in time'));
      });
    }
    // These listeners come before the library's own.
    proxyRequest.on('upgrade', (answer, upstreamSocket) => this.#established(bridge, answer, upstreamSocket));
    proxyRequest.on('response', (answer) => {
      // The library then only drains the answer: it is ours to pass on, or not.
      this.#bridge = undefined;
      bridge.destroy();
      this.#answered(answer);
    });
  }

  #failed(bridge: Bridge, thrown: Error): void {
    const address = this.#admitted?.route.options.upstream.origin ?? '';
    if (this.#open.has(bridge)) {
      const code = systemCode(thrown);
      const details = code === undefined ? { address } : { address, systemCode: code };
      this.#options.observer.failed(new SidebearerError('upgrade_failed', details, thrown));
      bridge.destroy(thrown);
    } else if (!this.#isDone && bridge === this.#bridge) {
      this.#refuse(
        this.#hasTimedOut
          ? new SidebearerError('upstream_timeout', { address })
          : upstreamError(thrown, this.#stage, address),
      );
    }
  }

  // --- 101 ---------------------------------------------------------------------------------------------------------

  #established(bridge: Bridge, answer: IncomingMessage, upstreamSocket: Socket): void {
    if (this.#isDone) return void upstreamSocket.destroy();
    const route = this.#admitted?.route.options.name ?? '';
    const { observer } = this.#options;
    this.#judgeReplay(101);
    if (this.#sent !== undefined) this.#admitted?.route.bearer.answers?.head(this.#sent, 101, answer.rawHeaders);
    delete answer.headers['sidebearer-error'];
    this.#finish(101, false);
    this.#open.add(bridge);
    observer.upgradesChanged(route, 1);
    bridge.on('close', () => {
      this.#open.delete(bridge);
      observer.upgradesChanged(route, -1);
      upstreamSocket.end();
    });
    // A half that the client keeps open leads nowhere once the upstream's connection is gone.
    upstreamSocket.on('close', () => bridge.destroySoon());
    bridge.join(this.#socket, this.#early);
  }

  // --- any other answer --------------------------------------------------------------------------------------------

  #answered(answer: IncomingMessage): void {
    if (this.#isDone) return void answer.destroy();
    this.#timer?.cancel();
    this.#ttfbMs = this.#options.clock.monotonicMs() - this.#sentMs;
    const status = answer.statusCode ?? 502;
    const refused = this.#sent;
    const bearer = this.#admitted?.route.bearer;
    if (status === 401 || status === 403) this.#tellChallenge(answer.rawHeaders);
    if (status !== 401 || this.#hasReplayed || refused === undefined || bearer === undefined) {
      this.#judgeReplay(status);
      this.#watchLimits(answer, status);
      this.#pass(answer, []);
      return;
    }
    const held = holdAnswer(answer);
    const decide = (authorization: Authorization | undefined): void => {
      if (this.#isDone || this.#admitted === undefined) return;
      const chunks = held.release();
      if (authorization === undefined) {
        this.#replayed('refresh_failed');
        this.#pass(answer, chunks);
        return;
      }
      this.#discard();
      this.#hasReplayed = true;
      this.#refusedOne = refused;
      this.#send(this.#admitted, authorization);
    };
    bearer.renewed(refused, this.#departure.signal).then(decide, () => decide(undefined));
  }

  /** It sees what passes, and holds nothing of it back. */
  #watchLimits(answer: IncomingMessage, status: number): void {
    const answers = this.#admitted?.route.bearer.answers;
    if (answers === undefined || this.#sent === undefined) return;
    const peek = createAnswerPeek(answers, this.#sent, status, answer.rawHeaders);
    if (peek === undefined) return;
    answer.on('data', (chunk: Buffer) => peek.take(chunk));
    answer.on('end', () => peek.end());
  }

  #tellChallenge(rawHeaders: readonly string[]): void {
    const challenge = challengeOf(rawHeaders);
    if (challenge === undefined || this.#sent === undefined || this.#admitted === undefined) return;
    this.#options.observer.challenged(this.#admitted.route.options.name, this.#sent.credential, challenge);
  }

  #pass(answer: IncomingMessage, held: readonly Buffer[]): void {
    this.#finish(answer.statusCode ?? 502, false);
    sendAnswer(answer, held, this.#socket, this.#options.clock);
  }

  #judgeReplay(status: number): void {
    if (!this.#hasReplayed || this.#sent === undefined || this.#refusedOne === undefined) return;
    const isAccepted = status !== 401;
    this.#admitted?.route.bearer.replayed(this.#sent, isAccepted, this.#refusedOne);
    this.#replayed(isAccepted ? 'accepted' : 'refused_again');
  }

  #replayed(outcome: ReplayOutcome): void {
    if (this.#admitted !== undefined) this.#options.observer.replayed(this.#admitted.route.options.name, outcome);
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  /** Lets go of the attempt under way; nothing that it still reports counts. */
  #discard(): void {
    const bridge = this.#bridge;
    this.#bridge = undefined;
    this.#proxyRequest?.destroy();
    bridge?.destroy();
  }

  #refuse(error: SidebearerError, status = error.row.status): void {
    this.#finish(status, false, error);
    this.#discard();
    endLast(this.#socket, this.#options.clock, renderRawProblem(error, status));
  }

  #finish(status: number, isAborted: boolean, error?: SidebearerError): void {
    this.#isDone = true;
    this.#timer?.cancel();
    this.#departure.abort();
    if (this.#isIn) this.#options.exchanges.leave();
    this.#options.observer.requestEnded({
      route: this.#admitted?.route.options.name,
      method: this.#request.method ?? '',
      status,
      aborted: isAborted,
      durationMs: this.#options.clock.monotonicMs() - this.#beganMs,
      upstreamTtfbMs: this.#ttfbMs,
      ...(error === undefined ? {} : { error }),
    });
  }
}
