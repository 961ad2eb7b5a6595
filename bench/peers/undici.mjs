// The least that Node's http server and undici's dispatch can do together: a static header, no token to wait for, no
// replay, no rule about any header but the two that would break the next hop. Plain JavaScript, for stripping types
// would cost it memory. Arguments: port, upstream, token.
import { createServer } from 'node:http';
import { Pool } from 'undici';

const [port, upstream = '', token] = process.argv.slice(2);
const pool = new Pool(upstream);

class Answer {
  #response;

  constructor(response) {
    this.#response = response;
  }

  onRequestStart() {}

  onResponseStart(controller, status) {
    const headers = controller.rawHeaders.map((part) => part.toString('latin1'));
    this.#response.writeHead(status, endToEnd(headers));
    this.#response.on('drain', () => controller.resume());
  }

  onResponseData(controller, chunk) {
    if (!this.#response.write(chunk)) controller.pause();
  }

  onResponseEnd() {
    this.#response.end();
  }

  onResponseError() {
    this.#response.destroy();
  }
}

function endToEnd(raw) {
  const headers = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase();
    if (name !== 'connection' && name !== 'transfer-encoding') headers.push(raw[i], raw[i + 1]);
  }
  return headers;
}

createServer((request, response) => {
  const headers = endToEnd(request.rawHeaders);
  headers.push('Authorization', `Bearer ${token}`);
  const body = request.method === 'GET' ? null : request;
  pool.dispatch({ method: request.method, path: request.url, headers, body }, new Answer(response));
}).listen(Number(port), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
