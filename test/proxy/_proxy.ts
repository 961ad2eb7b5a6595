// A proxy listener over real sockets with a credential that the test plays, an upstream that the test scripts, and a
// raw client that shows every byte.
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net';
import { systemClock } from '../../src/clock.ts';
import type { Authorization, Bearer } from '../../src/credentials/bearer.ts';
import type { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import type { ListenAddress } from '../../src/listen.ts';
import type { RouteOptions } from '../../src/proxy/admission.ts';
import { type Cut, createProxyListener, type ProxyLimits } from '../../src/proxy/listener.ts';
import type { ListenerTls } from '../../src/proxy/listener-tls.ts';
import type { ProxyObserver, ReplayOutcome, RequestEnd } from '../../src/proxy/observer.ts';

/** What a test registers its endings with. */
export interface Scope {
  teardown(end: () => unknown): void;
}

export interface Recorded extends ProxyObserver {
  readonly ends: RequestEnd[];
  readonly replays: ReplayOutcome[];
  readonly challenges: string[];
  readonly failures: SidebearerError[];
  upgrades: number;
  inFlight: number;
}

export function createRecorder(): Recorded {
  const recorded: Recorded = {
    ends: [],
    replays: [],
    challenges: [],
    failures: [],
    upgrades: 0,
    inFlight: 0,
    requestBegan() {
      recorded.inFlight += 1;
    },
    requestEnded(end) {
      if (end.route !== undefined) recorded.inFlight -= 1;
      recorded.ends.push(end);
    },
    replayed: (_route, outcome) => void recorded.replays.push(outcome),
    challenged: (_route, credential, challenge) => void recorded.challenges.push(`${credential} ${challenge}`),
    upgradesChanged(_route, delta) {
      recorded.upgrades += delta;
    },
    failed: (error) => void recorded.failures.push(error),
  };
  return recorded;
}

export interface FakeBearer extends Bearer {
  current: Authorization | undefined;
  readonly waits: { resolve(authorization: Authorization): void; reject(error: unknown): void; signal: AbortSignal }[];
  readonly refusals: Authorization[];
  readonly judged: { generation: number; accepted: boolean }[];
  onRenewed: (refused: Authorization, signal: AbortSignal) => Promise<Authorization | undefined>;
}

export function token(generation: number): Authorization {
  return { credential: 'main', generation, rawHeaders: ['Authorization', `Bearer token-${generation}`] };
}

/** A credential whose token is `token-1` until the test says otherwise. */
export function createFakeBearer(injectedNames: readonly string[] = ['authorization']): FakeBearer {
  const bearer: FakeBearer = {
    name: 'main',
    injectedNames,
    current: token(1),
    waits: [],
    refusals: [],
    judged: [],
    onRenewed: async () => undefined,
    authorization: () => bearer.current,
    wait: (signal) =>
      new Promise((resolve, reject) => {
        bearer.waits.push({ resolve, reject, signal });
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      }),
    renewed(refused, signal) {
      bearer.refusals.push(refused);
      return bearer.onRenewed(refused, signal);
    },
    replayed: (sent, accepted) => void bearer.judged.push({ generation: sent.generation, accepted }),
  };
  return bearer;
}

export const limits: ProxyLimits = {
  inFlight: 4096,
  headerBytes: 16 * 1024,
  headerCount: 1000,
  headerTimeoutMs: 15_000,
  keepAliveMs: 72_000,
  replayMemoryBytes: 32 * 1024 * 1024,
};

export interface ProxyUnderTest {
  readonly port: number;
  readonly url: string;
  readonly bearer: FakeBearer;
  readonly observer: Recorded;
  readonly close: (drain?: { minDrainMs: number; maxDrainMs: number }) => Promise<Cut>;
  readonly inFlight: () => number;
}

export async function startProxy(
  scope: Scope,
  upstream: string,
  change: {
    route?: Partial<RouteOptions>;
    routes?: (bearer: FakeBearer) => RouteOptions[];
    limits?: Partial<ProxyLimits>;
    hosts?: string[];
    bearer?: FakeBearer;
    address?: ListenAddress;
    tls?: ListenerTls;
  } = {},
): Promise<ProxyUnderTest> {
  const bearer = change.bearer ?? createFakeBearer();
  const observer = createRecorder();
  const listener = createProxyListener({
    address: change.address ?? { host: '127.0.0.1', port: 0 },
    routes: change.routes?.(bearer) ?? [createRoute(upstream, bearer, change.route)],
    hosts: change.hosts ?? [],
    tls: change.tls,
    limits: { ...limits, ...change.limits },
    observer,
    clock: systemClock,
  });
  const bound = await listener.listen();
  const close = (drain = { minDrainMs: 0, maxDrainMs: 0 }): Promise<Cut> => listener.close(drain);
  scope.teardown(() => close());
  const port = 'port' in bound.address ? bound.address.port : 0;
  return { port, url: bound.url, bearer, observer, close, inFlight: () => listener.inFlight };
}

export function createRoute(upstream: string, bearer: Bearer, change: Partial<RouteOptions> = {}): RouteOptions {
  return {
    name: 'api',
    path: '/',
    stripPath: false,
    upstream: new URL(upstream),
    bearer,
    timeouts: { connectMs: 2000, headersMs: 0, idleMs: 0 },
    replayMaxBodyBytes: 1024 * 1024,
    http2: 'never',
    ...change,
  };
}

export interface Upstream {
  readonly url: string;
  readonly port: number;
  readonly server: Server;
}

/** A real HTTP upstream. */
export async function startUpstream(scope: Scope, listener: RequestListener): Promise<Upstream> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.teardown(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, server };
}

/** An upstream of bare sockets: `answer` gets each connection. */
export async function startRawUpstream(scope: Scope, answer: (socket: Socket) => void): Promise<{ url: string }> {
  const sockets = new Set<Socket>();
  const server = createNetServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    answer(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  scope.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Calls back with each request's head, as text, on a connection whose requests have no body. */
export function onHead(socket: Socket, callback: (head: string) => void): void {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
      const head = text.slice(0, end);
      text = text.slice(end + 4);
      callback(head);
    }
  });
}

export interface RawClient {
  readonly socket: Socket;
  send(text: string | Buffer): void;
  /** Everything received so far, one character a byte. */
  received(): string;
  /** Resolves once what was received contains `text` (or matches). */
  until(text: string | RegExp): Promise<string>;
  /** Resolves at the end: `clean` after a FIN, `reset` after an error. */
  readonly ended: Promise<'clean' | 'reset'>;
}

export async function connectRaw(scope: Scope, port: number): Promise<RawClient> {
  const socket = connect(port, '127.0.0.1');
  scope.teardown(() => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  let text = '';
  let outcome: 'clean' | 'reset' = 'clean';
  const watchers = new Set<() => void>();
  const notify = (): void => {
    for (const watcher of [...watchers]) watcher();
  };
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    notify();
  });
  socket.on('error', () => {
    outcome = 'reset';
  });
  const ended = new Promise<'clean' | 'reset'>((resolve) => {
    socket.on('close', () => {
      resolve(outcome);
      notify();
    });
  });
  return {
    socket,
    send: (data) => void socket.write(data, 'latin1'),
    received: () => text,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text)) {
            watchers.delete(look);
            resolve(text);
          } else if (socket.destroyed) {
            watchers.delete(look);
            reject(new Error(`The connection ended without ${String(wanted)}: ${JSON.stringify(text)}`));
          }
        };
        watchers.add(look);
        look();
      }),
    ended,
  };
}

/** One request on a connection of its own, read to the end. `Connection: close` is up to the caller. */
export async function exchangeRaw(scope: Scope, port: number, request: string | Buffer): Promise<string> {
  const client = await connectRaw(scope, port);
  client.send(request);
  await client.ended;
  return client.received();
}

export function codeOf(answer: string): string | undefined {
  return /^sidebearer-error: (.*)\r$/im.exec(answer)?.[1];
}

export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}

export async function readBody(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Resolves once `condition` holds; rejects after 4 s with its name. */
export async function eventually(name: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 800; turn += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`It never came to pass that ${name}`);
}
