// The upstream for streams, as a process: server-sent events that carry the moment they were sent, and a WebSocket
// that echoes. 401 to whoever comes without the token.
// Arguments: port, token.
import { createServer, type IncomingMessage } from 'node:http';
import { WebSocketServer } from 'ws';

/** Between two events of a stream. */
const EVENT_MS = 20;

const [port, token] = process.argv.slice(2);
const isKnown = (request: IncomingMessage): boolean => request.headers.authorization === `Bearer ${token}`;
const moment = (): string => `data: ${process.hrtime.bigint()} ${'x'.repeat(64)}\n\n`;

const server = createServer((request, response) => {
  if (!isKnown(request)) {
    response.writeHead(401).end();
    return;
  }
  // The second header is what nginx needs to be told to hold nothing back.
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
  response.write(moment());
  const ticking = setInterval(() => response.write(moment()), EVENT_MS);
  response.on('close', () => clearInterval(ticking));
});

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
server.on('upgrade', (request, socket, head) => {
  if (!isKnown(request)) {
    socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, (peer) => {
    peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
    peer.on('error', () => peer.terminate());
  });
});

server.listen(Number(port), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
