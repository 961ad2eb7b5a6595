// A page of somebody else, on another origin: where attacks by way of a browser begin.
import { createServer } from 'node:http';
import { bind } from '../../src/listen.ts';

/** @returns its address; by `localhost` it is of the same site as our port, which SameSite cookies do not tell apart */
export async function startElsewhere(
  t: { teardown(end: () => Promise<void>): void },
  html: string,
  name: 'localhost' | '127.0.0.1' = '127.0.0.1',
): Promise<string> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end(`<!doctype html><html lang="en"><title>evil</title>${html}`);
  });
  const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'port');
  t.teardown(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return url.replace('127.0.0.1', name);
}
