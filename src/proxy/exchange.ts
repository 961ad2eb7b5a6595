// What a request means: a route, a token, waiting for one, the rule for a 401, one replay, the errors. Written once,
// on the contract of message.ts; it never touches a socket, and the second answer to a token is always final.
import type { Clock } from '../clock.ts';
import type { Authorization } from '../credentials/bearer.ts';
import { SidebearerError, toSidebearerError } from '../errors/sidebearer-error.ts';
import { type Admit, type Admitted, type Route, upstreamFor } from './admission.ts';
import { type AnswerPeek, createAnswerPeek } from './answer-peek.ts';
import { BodyFlow } from './body-flow.ts';
import { challengeOf } from './challenge.ts';
import { clientHeaders, clientTrailers, isFramedClearly, upstreamHeaders } from './headers.ts';
import type { AnswerListener, Attempt, AttemptStage, ClientListener, ClientMessage } from './message.ts';
import type { ProxyObserver, ReplayOutcome } from './observer.ts';
import { type Problem, renderProblem } from './problem.ts';
import type { ReplayMemory } from './replay.ts';
import { authorityOf } from './target.ts';

export interface ExchangesOptions {
  readonly admit: Admit;
  readonly observer: ProxyObserver;
  readonly clock: Clock;
  readonly replayMemory: ReplayMemory;
  /** Requests at work and waiting; beyond it `overloaded`. Asked at each. */
  readonly maxInFlight: () => number;
}

/** All exchanges of a listener. */
export interface Exchanges {
  /** Takes a request over, from its head to its end. */
  begin(client: ClientMessage): ClientListener;
  /** A request that is not an exchange (an upgrade's handshake) takes a place among them. @throws overloaded */
  enter(): void;
  leave(): void;
  readonly inFlight: number;
}

export function createExchanges(options: ExchangesOptions): Exchanges {
  const room: Room = { options, inFlight: 0 };
  return {
    begin(client) {
      const exchange = new Exchange(room, client);
      exchange.begin();
      return exchange;
    },
    enter: () => enter(room),
    leave() {
      room.inFlight -= 1;
    },
    get inFlight() {
      return room.inFlight;
    },
  };
}

interface Room {
  readonly options: ExchangesOptions;
  inFlight: number;
}

function enter(room: Room): void {
  if (room.inFlight >= room.options.maxInFlight()) throw new SidebearerError('overloaded', { retryAfterMs: 1000 });
  room.inFlight += 1;
}

/** Of a 401's body so much is kept while the token is renewed; the rest waits at the upstream. */
const HELD_BODY_BYTES = 64 * 1024;

/** A 401 that waits for the outcome of a renewal. */
interface HeldAnswer {
  readonly status: number;
  readonly reason: string;
  readonly rawHeaders: readonly string[];
  readonly chunks: Buffer[];
  bytes: number;
  /** Present once the answer has ended. */
  trailers: readonly string[] | undefined;
  error: SidebearerError | undefined;
}

/** RFC 9110 §9.2.2, and what the registry of methods calls safe (§16.1.1). */
const idempotent: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'PUT',
  'DELETE',
  'PROPFIND',
  'QUERY',
  'REPORT',
  'SEARCH',
]);

/** One request. Every field is set here, so that all of them have one shape. */
class Exchange implements ClientListener, AnswerListener {
  readonly #room: Room;
  readonly #client: ClientMessage;
  readonly #beganMs: number;
  #isIn = false;
  #isDone = false;
  #admitted: Admitted | undefined = undefined;
  /** Aborts a wait or a renewal when the client leaves; made when there is something to abort. */
  #departure: AbortController | undefined = undefined;
  #sent: Authorization | undefined = undefined;
  /** What the upstream answered with 401. */
  #refusedOne: Authorization | undefined = undefined;
  #peek: AnswerPeek | undefined = undefined;
  #attempt: Attempt | undefined = undefined;
  #attemptEnded = false;
  #hasReplayed = false;
  #hasRetried = false;
  #held: HeldAnswer | undefined = undefined;
  /** Undefined: the request has none. */
  #body: BodyFlow | undefined = undefined;
  #status = 0;
  #sentMs = 0;
  #ttfbMs: number | undefined = undefined;

  constructor(room: Room, client: ClientMessage) {
    this.#room = room;
    this.#client = client;
    this.#beganMs = room.options.clock.monotonicMs();
  }

  begin(): void {
    const { options } = this.#room;
    try {
      enter(this.#room);
      this.#isIn = true;
      const admitted = options.admit(this.#client);
      this.#admitted = admitted;
      const { route } = admitted;
      route.use.enter();
      options.observer.requestBegan(route.options.name);
      if (admitted.facts.hasBody) {
        this.#body = new BodyFlow(this.#client, options.replayMemory, route.options.replayMaxBodyBytes);
      }
      const authorization = route.bearer.authorization();
      if (authorization === undefined) this.#wait(route);
      else this.#send(admitted, authorization);
    } catch (thrown) {
      this.#refuse(toSidebearerError(thrown));
    }
  }

  // --- the token and the request -----------------------------------------------------------------------------------

  #wait(route: Route): void {
    route.bearer.wait(this.#departed()).then(
      (authorization) => {
        if (!this.#isDone && this.#admitted !== undefined) this.#send(this.#admitted, authorization);
      },
      (thrown) => {
        if (this.#isDone) return;
        const error = toSidebearerError(thrown);
        this.#refuse(error, error.code === 'internal_error' ? undefined : 503);
      },
    );
  }

  #departed(): AbortSignal {
    this.#departure ??= new AbortController();
    return this.#departure.signal;
  }

  #send(admitted: Admitted, authorization: Authorization): void {
    const { route, facts, path } = admitted;
    const rawHeaders = upstreamHeaders(
      this.#client.rawHeaders,
      facts.nominated,
      route.injected,
      authorization.rawHeaders,
    );
    route.forwarding?.(rawHeaders, this.#client.arrival(), authorityOf(this.#client.target) ?? facts.host);
    this.#sent = authorization;
    this.#attemptEnded = false;
    this.#attempt = upstreamFor(route, authorization).createAttempt(
      {
        method: this.#client.method,
        path,
        rawHeaders,
        hasBody: facts.hasBody,
        acceptsTrailers: facts.acceptsTrailers,
        needsNewConnection: this.#hasRetried,
      },
      this,
    );
    this.#body?.begin(this.#attempt);
    this.#sentMs = this.#room.options.clock.monotonicMs();
    this.#attempt.start();
  }

  // --- the request's body ------------------------------------------------------------------------------------------

  bodyReceived(chunk: Buffer): void {
    if (!this.#isDone) this.#body?.receive(chunk);
  }

  bodyEnded(): void {
    if (!this.#isDone) this.#body?.complete();
  }

  bodyWanted(attempt: Attempt): void {
    if (!this.#isDone && attempt === this.#attempt && this.#held === undefined) this.#body?.want();
  }

  broken(error: SidebearerError): void {
    if (this.#isDone) return;
    this.#attempt?.abort();
    if (this.#status === 0) {
      this.#refuse(error);
      return;
    }
    this.#client.abort();
    this.#finish(true, error);
  }

  // --- the answer --------------------------------------------------------------------------------------------------

  interim(attempt: Attempt, status: number, rawHeaders: readonly string[]): void {
    if (this.#isDone || attempt !== this.#attempt) return;
    this.#client.sendInterim(status, clientHeaders(rawHeaders, status, false));
  }

  answered(attempt: Attempt, status: number, reason: string, rawHeaders: readonly string[]): void {
    if (this.#isDone || attempt !== this.#attempt) return;
    this.#ttfbMs = this.#room.options.clock.monotonicMs() - this.#sentMs;
    if (!isFramedClearly(rawHeaders)) {
      attempt.abort();
      this.#refuse(new SidebearerError('upstream_malformed', { reason: 'its transfer coding' }));
      return;
    }
    if (status === 401 || status === 403) this.#tellChallenge(rawHeaders);
    if (this.#hasReplayed) this.#reportReplay(status !== 401);
    else if (status === 401 && this.#refused({ status, reason, rawHeaders })) return;
    this.#watchLimits(status, rawHeaders);
    this.#pass(status, reason, rawHeaders);
  }

  /** Nothing is held back for it. */
  #watchLimits(status: number, rawHeaders: readonly string[]): void {
    const answers = this.#admitted?.route.bearer.answers;
    if (answers === undefined || this.#sent === undefined) return;
    this.#peek = createAnswerPeek(answers, this.#sent, status, rawHeaders);
  }

  received(attempt: Attempt, chunk: Buffer): void {
    if (this.#isDone || attempt !== this.#attempt) return;
    if (this.#peek !== undefined && !this.#peek.take(chunk)) this.#peek = undefined;
    if (this.#held !== undefined) {
      this.#held.chunks.push(chunk);
      this.#held.bytes += chunk.length;
      if (this.#held.bytes > HELD_BODY_BYTES) attempt.pause();
    } else if (!this.#client.send(chunk)) {
      attempt.pause();
    }
  }

  drained(): void {
    if (!this.#isDone && this.#held === undefined) this.#attempt?.resume();
  }

  ended(attempt: Attempt, rawTrailers: readonly string[]): void {
    if (this.#isDone || attempt !== this.#attempt) return;
    this.#attemptEnded = true;
    this.#peek?.end();
    if (this.#held !== undefined) this.#held.trailers = rawTrailers;
    else this.#complete(rawTrailers);
  }

  failed(attempt: Attempt, error: SidebearerError, stage: AttemptStage): void {
    if (this.#isDone || attempt !== this.#attempt) return;
    this.#attemptEnded = true;
    if (this.#held !== undefined) {
      this.#held.error = error;
    } else if (this.#status !== 0) {
      this.#client.abort();
      this.#finish(true, error);
    } else if (this.#mayRetry(error, stage) && this.#admitted !== undefined) {
      this.#hasRetried = true;
      if (this.#sent !== undefined) this.#send(this.#admitted, this.#sent);
    } else {
      this.#refuse(error);
    }
  }

  #mayRetry(error: SidebearerError, stage: AttemptStage): boolean {
    if (this.#hasRetried || !this.#isRepeatable()) return false;
    // Nothing was done with it, so that any method may be repeated.
    if (stage === 'refused') return true;
    // A pooled connection that the upstream was just closing: RFC 9110 §9.2.2 lets a proxy repeat this once.
    return stage === 'sent' && error.code === 'upstream_closed' && idempotent.has(this.#client.method);
  }

  /** Everything of the body that was read from the client is still at hand. */
  #isRepeatable(): boolean {
    return this.#body === undefined || this.#body.isRepeatable;
  }

  #pass(status: number, reason: string, rawHeaders: readonly string[]): void {
    this.#body?.settle();
    const { method, isHttp10 } = this.#client;
    const mayHaveTrailers = !isHttp10 && method !== 'HEAD' && status !== 204 && status !== 304;
    if (this.#client.sendHead(status, reason, clientHeaders(rawHeaders, status, mayHaveTrailers))) {
      this.#status = status;
    } else {
      this.#attempt?.abort();
      this.#refuse(new SidebearerError('upstream_malformed', { reason: 'the head of the answer' }));
    }
  }

  #complete(rawTrailers: readonly string[]): void {
    this.#client.end(clientTrailers(rawTrailers));
    this.#finish(false);
  }

  // --- the rule for a 401 ------------------------------------------------------------------------------------------

  /** @returns true where the answer is held until it is known whether there is a better token */
  #refused(answer: { status: number; reason: string; rawHeaders: readonly string[] }): boolean {
    const refused = this.#sent;
    const bearer = this.#admitted?.route.bearer;
    if (refused === undefined || bearer === undefined) return false;
    if (!this.#isRepeatable()) {
      // The request cannot be helped, the next ones can: the renewal is begun and nobody here waits for its outcome,
      // which the credential reports itself.
      bearer.renewed(refused, new AbortController().signal).catch(() => undefined);
      this.#replayed('body_too_large');
      return false;
    }
    this.#held = { ...answer, chunks: [], bytes: 0, trailers: undefined, error: undefined };
    this.#body?.hold();
    bearer.renewed(refused, this.#departed()).then(
      (authorization) => this.#renewed(authorization),
      () => this.#renewed(undefined),
    );
    return true;
  }

  #renewed(authorization: Authorization | undefined): void {
    const held = this.#held;
    if (this.#isDone || held === undefined || this.#admitted === undefined) return;
    this.#held = undefined;
    if (authorization === undefined) {
      this.#replayed('refresh_failed');
      this.#release(held);
      return;
    }
    if (!this.#attemptEnded) this.#attempt?.abort();
    this.#hasReplayed = true;
    this.#refusedOne = this.#sent;
    this.#send(this.#admitted, authorization);
    this.#body?.settle();
  }

  /** The 401 as it came, and what was held of it. */
  #release(held: HeldAnswer): void {
    this.#pass(held.status, held.reason, held.rawHeaders);
    if (this.#isDone) return;
    let canTakeMore = true;
    for (const chunk of held.chunks) canTakeMore = this.#client.send(chunk);
    if (held.error !== undefined) {
      this.#client.abort();
      this.#finish(true, held.error);
    } else if (held.trailers !== undefined) {
      this.#complete(held.trailers);
    } else {
      // An upload that the 401 had interrupted goes on, should the upstream want it.
      this.#body?.want();
      if (canTakeMore) this.#attempt?.resume();
    }
  }

  #reportReplay(isAccepted: boolean): void {
    if (this.#sent !== undefined && this.#refusedOne !== undefined) {
      this.#admitted?.route.bearer.replayed(this.#sent, isAccepted, this.#refusedOne);
    }
    this.#replayed(isAccepted ? 'accepted' : 'refused_again');
  }

  #tellChallenge(rawHeaders: readonly string[]): void {
    const challenge = challengeOf(rawHeaders);
    if (challenge === undefined || this.#sent === undefined || this.#admitted === undefined) return;
    const { route } = this.#admitted;
    this.#room.options.observer.challenged(route.options.name, this.#sent.credential, challenge);
  }

  #replayed(outcome: ReplayOutcome): void {
    if (this.#admitted !== undefined) this.#room.options.observer.replayed(this.#admitted.route.options.name, outcome);
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  left(): void {
    if (this.#isDone) return;
    this.#attempt?.abort();
    this.#finish(true);
  }

  /** An answer of our own, before any of the upstream's. */
  #refuse(error: SidebearerError, status?: number): void {
    const problem: Problem = renderProblem(error, status);
    // Where the request could be read in two ways, so can its end.
    if (error.code === 'request_malformed' || error.code === 'request_coding_unknown') this.#client.distrust();
    this.#client.sendHead(problem.status, problem.reason, problem.headers);
    if (this.#client.method !== 'HEAD') this.#client.send(problem.body);
    this.#client.end([]);
    this.#status = problem.status;
    this.#finish(false, error);
  }

  #finish(isAborted: boolean, error?: SidebearerError): void {
    this.#isDone = true;
    this.#departure?.abort();
    this.#body?.drop();
    if (this.#isIn) this.#room.inFlight -= 1;
    this.#admitted?.route.use.leave();
    const { observer, clock } = this.#room.options;
    observer.requestEnded({
      route: this.#admitted?.route.options.name,
      method: this.#client.method,
      status: this.#status,
      aborted: isAborted,
      durationMs: clock.monotonicMs() - this.#beganMs,
      upstreamTtfbMs: this.#ttfbMs,
      ...(error === undefined ? {} : { error }),
    });
  }
}
