// What `kubectl port-forward` does with a port of a pod, the fault that ends it included: after the first reset from the
// pod it lets go of everything and takes no connection any more (kubectl #1363).
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface PortForward {
  readonly port: number;
  /** Connections that were carried. */
  readonly carried: number;
  /** The pod has reset one, and the forward is gone. */
  readonly isLost: boolean;
  close(): Promise<void>;
}

/** Where the pod's own loopback is played by another address of this machine's. */
export interface Pod {
  readonly host: string;
  readonly port: number;
}

interface Scope {
  teardown(end: () => unknown): void;
}

/** @param localPort of 127.0.0.1; 0: any */
export async function startPortForward(t: Scope, pod: Pod, localPort = 0): Promise<PortForward> {
  const sockets = new Set<Socket>();
  let carried = 0;
  let isLost = false;
  const server = createServer({ allowHalfOpen: true }, (local) => {
    carried += 1;
    const remote = connect({ ...pod, allowHalfOpen: true });
    for (const socket of [local, remote]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    local.pipe(remote);
    remote.pipe(local);
    local.on('error', () => remote.destroy());
    remote.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') {
        isLost = true;
        server.close();
        for (const socket of sockets) socket.destroy();
      }
      local.destroy();
    });
  });
  server.listen(localPort, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  t.teardown(close);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get carried() {
      return carried;
    },
    get isLost() {
      return isLost;
    },
    close,
  };
}
