// A TCP wire to a server on loopback that can be cut, slow, or lose what travels on it. It knows nothing of what that
// is.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What one connection meets. */
export type Fate =
  | { readonly kind: 'pass'; readonly delayMs?: number }
  /** Reset: before anything was passed on; once the server answers to what was passed on; in the middle of that. */
  | { readonly kind: 'cut'; readonly when: 'before' | 'received' | 'answering' }
  /** Silence, on a connection that stands: the server never sees the request; or nobody ever sees its answer. */
  | { readonly kind: 'lose'; readonly what: 'request' | 'answer' };

export interface Wire {
  readonly port: number;
  /** For the coming connections, in order; `always` serves when it is empty. */
  readonly fates: Fate[];
  always: Fate;
  /** Nobody listens any more: connections are refused, those that stand are reset. */
  down(): Promise<void>;
  /** Back on the same port. */
  up(): Promise<void>;
  close(): Promise<void>;
}

const pass: Fate = { kind: 'pass' };

/** @param port of the server, on 127.0.0.1 */
export async function createWire(port: number): Promise<Wire> {
  const sockets = new Set<Socket>();

  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  };

  function serve(client: Socket): void {
    keep(client);
    const fate = wire.fates.shift() ?? wire.always;
    if (fate.kind === 'cut' && fate.when === 'before') return void client.resetAndDestroy();
    if (fate.kind === 'lose' && fate.what === 'request') return void client.resume();
    const server = connect(port, '127.0.0.1');
    keep(server);
    const later = (act: () => void): void => {
      if (fate.kind === 'pass' && fate.delayMs !== undefined) setTimeout(act, fate.delayMs);
      else act();
    };
    client.on('data', (chunk: Buffer) => later(() => server.write(chunk)));
    client.on('end', () => later(() => server.end()));
    client.on('close', () => server.destroy());
    server.on('data', (chunk: Buffer) => {
      if (fate.kind === 'lose') return;
      if (fate.kind === 'cut' && fate.when === 'received') return void client.resetAndDestroy();
      if (fate.kind === 'cut') {
        client.write(chunk.subarray(0, Math.floor(chunk.length / 2)), () => client.resetAndDestroy());
        return;
      }
      later(() => client.write(chunk));
    });
    server.on('end', () => {
      if (fate.kind === 'pass') later(() => client.end());
    });
    server.on('close', () => {
      if (fate.kind === 'pass') later(() => client.destroy());
    });
  }

  let listener = createServer(serve);
  const listen = (at: number): Promise<void> =>
    new Promise((resolve, reject) => {
      listener = createServer({ allowHalfOpen: true }, serve);
      listener.once('error', reject);
      listener.listen(at, '127.0.0.1', resolve);
    });
  await listen(0);
  const { port: ownPort } = listener.address() as AddressInfo;

  const wire: Wire = {
    port: ownPort,
    fates: [],
    always: pass,
    down: () =>
      new Promise((resolve) => {
        listener.close(() => resolve());
        for (const socket of sockets) socket.resetAndDestroy();
      }),
    up: () => listen(ownPort),
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return wire;
}
