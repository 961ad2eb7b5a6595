// The HTTP/2 connections to one upstream: which of them takes another request, and when they end. It never opens one.
import { type ClientHttp2Session, connect } from 'node:http2';
import type { Socket } from 'node:net';

export interface H2Connection {
  readonly session: ClientHttp2Session;
  /** Streams at work; whoever opens one counts it. */
  open: number;
  /** Why it ended, where it failed. */
  error: Error | undefined;
}

export interface H2Connections {
  /** One with room for another stream. */
  take(): H2Connection | undefined;
  /** @param socket connected, TLS included, and nobody's */
  add(socket: Socket): H2Connection;
  /** Ends idle connections at once, the others with their streams. */
  close(): Promise<void>;
  destroy(): Promise<void>;
}

/** On one connection, whatever more the upstream allows: beyond it another connection shares the work. */
const MAX_STREAMS = 100;

/** What the upstream may send ahead on a stream that is held back, and on the connection as a whole. */
const STREAM_WINDOW_BYTES = 256 * 1024;
const CONNECTION_WINDOW_BYTES = 1024 * 1024;

/** Shorter than gateways keep silent connections in mind: a request on a forgotten one would never be answered. */
const IDLE_MS = 30_000;

/** Whether a client may repeat a header is between it and the upstream. Node's types know it of servers alone. */
const LENIENT = { strictSingleValueFields: false };

/** @param maxHeadBytes of an answer */
export function createH2Connections(origin: string, maxHeadBytes: number): H2Connections {
  const connections = new Set<H2Connection>();

  const hasRoom = ({ session, open }: H2Connection): boolean => {
    if (session.closed || session.destroyed) return false;
    // Before the upstream's settings came, and where it allows none for now, what is too much waits in the session.
    const allowed = session.remoteSettings?.maxConcurrentStreams ?? MAX_STREAMS;
    return open < Math.max(1, Math.min(allowed, MAX_STREAMS));
  };
  const allEnded = async (): Promise<void> => {
    await Promise.all([...connections].map(({ session }) => new Promise((resolve) => session.once('close', resolve))));
  };

  return {
    take() {
      for (const connection of connections) if (hasRoom(connection)) return connection;
      return undefined;
    },
    add(socket) {
      const session = connect(origin, {
        createConnection: () => socket,
        peerMaxConcurrentStreams: MAX_STREAMS,
        settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES, maxHeaderListSize: maxHeadBytes },
        maxHeaderListPairs: 4096,
        maxSendHeaderBlockLength: 1024 * 1024,
        ...LENIENT,
      });
      const connection: H2Connection = { session, open: 0, error: undefined };
      connections.add(connection);
      session.on('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
      session.on('error', (error: Error) => {
        connection.error = error;
      });
      session.on('close', () => connections.delete(connection));
      session.setTimeout(IDLE_MS, () => {
        if (connection.open === 0) session.close();
      });
      return connection;
    },
    async close() {
      const ended = allEnded();
      for (const { session } of connections) session.close();
      await ended;
    },
    async destroy() {
      const ended = allEnded();
      for (const { session } of connections) session.destroy();
      await ended;
    },
  };
}
