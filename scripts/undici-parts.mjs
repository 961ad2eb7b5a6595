// What stands in undici's place in the bundle: the parts of it that src/ imports. Its own entry also loads fetch,
// WebSocket, caches and mocks, 0.8 MB that every start would read. A name that is missing here fails the build.

export { default as buildConnector } from '../node_modules/undici/lib/core/connect.js';
export { default as Agent } from '../node_modules/undici/lib/dispatcher/agent.js';
export { default as Client } from '../node_modules/undici/lib/dispatcher/client.js';
export { default as Pool } from '../node_modules/undici/lib/dispatcher/pool.js';
