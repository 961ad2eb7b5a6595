// http-proxy-3 with nothing around it but a static header and connections that are kept. Plain JavaScript, for
// stripping types would cost it memory. Arguments: port, upstream, token.
import { Agent, createServer } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { createProxyServer } from 'http-proxy-3';

const [port, upstream = '', token] = process.argv.slice(2);
const proxy = createProxyServer({
  target: upstream,
  agent: new (upstream.startsWith('https:') ? SecureAgent : Agent)({ keepAlive: true }),
  headers: { authorization: `Bearer ${token}` },
});
proxy.on('error', (_error, _request, channel) => channel?.destroy());

const server = createServer((request, response) => proxy.web(request, response));
server.on('upgrade', (request, socket, head) => proxy.ws(request, socket, head));
server.listen(Number(port), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
