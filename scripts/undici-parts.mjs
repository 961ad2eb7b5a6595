// What stands in undici's place in the bundle: the parts of it that src/ imports. Its own entry also loads fetch,
// WebSocket, caches and mocks, 0.7 MB that every start would read. A name that is missing here fails the build.
import send from '../node_modules/undici/lib/api/api-request.js';

export { default as buildConnector } from '../node_modules/undici/lib/core/connect.js';
export { default as Agent } from '../node_modules/undici/lib/dispatcher/agent.js';
export { default as Client } from '../node_modules/undici/lib/dispatcher/client.js';
export { default as Pool } from '../node_modules/undici/lib/dispatcher/pool.js';

/** undici's own `request`, except that there is no global dispatcher: one must be given. */
export function request(url, { dispatcher, method = 'GET', ...options }) {
  const { origin, pathname, search } = new URL(url);
  return send.call(dispatcher, { ...options, method, origin, path: pathname + search });
}
