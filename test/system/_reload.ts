// What the tests of a reload share: an upstream that tells what it was sent, a program that runs on a file, and what of
// it an operator would look at.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually, type LogLine, type RunningProgram } from './_process.ts';

export interface Echo {
  readonly upstream: string;
  readonly authorization: string;
  readonly path: string;
}

export interface Upstream {
  readonly url: string;
  readonly requests: IncomingMessage['headers'][];
  /** Answers wait for it. */
  gate: Promise<unknown>;
}

interface Test {
  teardown(end: () => unknown): unknown;
}

export async function createUpstream(t: Test, name: string, make?: () => Server): Promise<Upstream> {
  const server = make?.() ?? createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const upstream: Upstream = { url: `http://127.0.0.1:${port}`, requests: [], gate: Promise.resolve() };
  server.on('request', async (request: IncomingMessage, response) => {
    upstream.requests.push(request.headers);
    await upstream.gate;
    const { authorization = '' } = request.headers;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ upstream: name, authorization, path: request.url }));
  });
  return upstream;
}

export async function call(
  url: string,
): Promise<{ readonly status: number; readonly echo: Echo; readonly code: string | null }> {
  const response = await fetch(url);
  const text = await response.text();
  const echo = response.status === 200 ? JSON.parse(text) : { upstream: '', authorization: '', path: '' };
  return { status: response.status, echo, code: response.headers.get('sidebearer-error') };
}

/** Lines of one event. */
export function told({ lines }: RunningProgram, event: string): LogLine[] {
  return lines.filter((line) => line.event === event);
}

/** Resolves once so many lines of the event were written. */
export async function toldTimes(program: RunningProgram, event: string, times: number): Promise<LogLine[]> {
  return await eventually(`${times} times ${event}`, async () => {
    const lines = told(program, event);
    return lines.length >= times ? lines : undefined;
  });
}

export async function metric({ telemetryUrl }: RunningProgram, line: string): Promise<string | undefined> {
  const text = await (await fetch(`${telemetryUrl}/metrics`)).text();
  return text
    .split('\n')
    .find((each) => each.startsWith(`${line} `))
    ?.slice(line.length + 1);
}

export async function metricsText({ telemetryUrl }: RunningProgram): Promise<string> {
  return await (await fetch(`${telemetryUrl}/metrics`)).text();
}
