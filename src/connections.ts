// The connections of a listener, and its end: whoever is being answered gets a grace, then all are cut. Node's own lists
// do not have those that are still in their TLS handshake, and one of them would hold the end up.
import type { Server, Socket } from 'node:net';

/** The open connections, the oldest first. */
export function trackConnections(server: Server): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return connections;
}

/** Takes no new connection; resolves when the last one has ended. A server that never listened has none. */
export function closeServer(server: Server, connections: ReadonlySet<Socket>, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const forced = setTimeout(() => {
      for (const socket of connections) socket.destroy();
    }, graceMs);
    server.close(() => {
      clearTimeout(forced);
      resolve();
    });
  });
}
