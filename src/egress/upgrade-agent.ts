// An agent for Node's own client, which http-proxy-3 uses, that makes its connections as the rest of the proxy does.
// It serves one origin, whatever the options of a request say, and keeps no connection.
import { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ConnectorOptions, createConnector } from './connector.ts';

type Created = (error: Error | null, socket: Duplex) => void;

/** @param origin http or https */
export function createUpgradeAgent(origin: URL, options: Omit<ConnectorOptions, 'allowH2'>): Agent {
  return new UpgradeAgent(origin, options);
}

class UpgradeAgent extends Agent {
  /** What Node compares with the request's. */
  readonly protocol: string;
  readonly #open: (created: Created) => void;

  constructor(origin: URL, options: Omit<ConnectorOptions, 'allowH2'>) {
    super({ keepAlive: false });
    const { protocol, host, hostname, port } = origin;
    this.protocol = protocol;
    const connect = createConnector({ ...options, allowH2: false });
    this.#open = (created) =>
      connect({ protocol, host, hostname: hostname.replace(/^\[(.*)\]$/, '$1'), port }, (error, socket) => {
        // Node passes over the socket where there is an error; its type forgets so.
        created(error, socket as Duplex);
      });
  }

  override createConnection(_options: unknown, created?: Created): undefined {
    if (created !== undefined) this.#open(created);
    return undefined;
  }
}
