// Asking a running sidecar: where it listens by flag, configuration or default, and one GET to it.
import { request } from 'node:http';
import { defaultAddresses } from '../config/default-addresses.ts';
import { formatMistake } from '../config/mistake.ts';
import { readDuration } from '../config/units.ts';
import { SidebearerError, systemCode } from '../errors/sidebearer-error.ts';
import { formatListenAddress, type ListenAddress, parseListenAddress } from '../listen.ts';
import type { Invocation } from './command.ts';

/** More than 10,000 credentials need. */
const MAX_BODY_BYTES = 32 * 1_048_576;

export interface Target {
  /** The telemetry listener also stands in for an OAuth listener that is off. */
  readonly listener: 'oauth' | 'telemetry';
  /** As an operator would write it. */
  readonly name: string;
  readonly host?: string;
  readonly port?: number;
  readonly socketPath?: string;
  /** `admin.token` of the configuration that named the place. */
  readonly adminToken?: string;
}

/** What goes with a request; with a body it is a POST. */
export interface Order {
  /** JSON. */
  readonly body?: string;
  readonly method?: 'DELETE';
  readonly token?: string;
  /** Shows whose login it is. */
  readonly handle?: string;
  /** What to say where no answer came in time. */
  readonly lateReason: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * Where the listener is: --url, else the listen flag, else --config, else the default. Undefined where the
 * configuration has mistakes, which have been told then.
 * @throws usage_invalid, sidecar_unreachable for an address that names no port
 */
export async function findListener(
  invocation: Invocation,
  listener: 'oauth' | 'telemetry',
): Promise<Target | undefined> {
  const { flags } = invocation;
  const url = flags.get('url');
  if (url !== undefined) return targetOfUrl(url.value, listener);
  const written = flags.get(`listen-${listener}`);
  if (written !== undefined) {
    if (listener === 'oauth' && written.value === 'off') return findListener(invocation, 'telemetry');
    const address = parseListenAddress(written.value);
    if (address !== undefined) return targetOf(address, listener);
    throw new SidebearerError('usage_invalid', { reason: `${written.source}: expected host:port or unix:/path` });
  }
  if (!flags.has('config')) {
    const address = parseListenAddress(defaultAddresses[listener]);
    return address === undefined ? undefined : targetOf(address, listener);
  }
  // zod and yaml are loaded only where there is a file to read: a probe runs every few seconds.
  const [{ loadConfig }, { openConfig }] = await Promise.all([
    import('../config/load.ts'),
    import('./configuration.ts'),
  ]);
  const loaded = loadConfig(await openConfig(invocation));
  if (!loaded.ok) {
    for (const mistake of loaded.mistakes) invocation.err(formatMistake(mistake));
    return undefined;
  }
  const { listen, admin } = loaded.config;
  const address = listen[listener];
  if (address === 'off') return targetOf(listen.telemetry, 'telemetry');
  return { ...targetOf(address, listener), ...(admin.token !== undefined && { adminToken: admin.token }) };
}

function targetOfUrl(text: string, listener: Target['listener']): Target {
  const url = URL.parse(text);
  if (url === null || url.protocol !== 'http:' || url.pathname !== '/' || url.search !== '') {
    throw new SidebearerError('usage_invalid', { reason: '--url: expected http://HOST:PORT' });
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { listener, name: url.origin, host, port: url.port === '' ? 80 : Number(url.port) };
}

function targetOf(address: ListenAddress, listener: Target['listener']): Target {
  const name = formatListenAddress(address);
  if ('path' in address) return { listener, name, socketPath: address.path };
  if (address.port === 0) {
    const reason = `listen.${listener} leaves the port to the system: name it with --url`;
    throw new SidebearerError('sidecar_unreachable', { reason });
  }
  // What listens on every address is reached on this machine's own.
  const host = address.host === '0.0.0.0' ? '127.0.0.1' : address.host === '::' ? '::1' : address.host;
  return { listener, name, host, port: address.port };
}

/** @throws sidecar_unreachable */
export function ask(target: Target, path: string, timeoutMs: number, order?: Order): Promise<Answer> {
  const { name, host, port, socketPath } = target;
  return new Promise((resolve, reject) => {
    const fail = (thrown: unknown): void => {
      const code = systemCode(thrown);
      const isLate = thrown instanceof Error && thrown.name === 'TimeoutError';
      const reason = isLate ? (order?.lateReason ?? 'no answer in time') : undefined;
      reject(
        new SidebearerError('sidecar_unreachable', {
          address: name,
          ...(reason === undefined ? {} : { reason }),
          ...(code === undefined || isLate ? {} : { systemCode: code }),
        }),
      );
    };
    const outgoing = request(
      {
        path,
        method: order?.method ?? (order?.body === undefined ? 'GET' : 'POST'),
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
        // The listener serves loopback names alone, whatever address it is bound to.
        headers: {
          host: `localhost${port === undefined ? '' : `:${port}`}`,
          accept: 'application/json',
          'user-agent': 'sidebearer-cli',
          ...(order?.body !== undefined && { 'content-type': 'application/json' }),
          ...(order?.handle !== undefined && { 'login-handle': order.handle }),
          ...(order?.token !== undefined && { authorization: `Bearer ${order.token}` }),
        },
        ...(socketPath === undefined ? { host, port } : { socketPath }),
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        let size = 0;
        incoming.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_BODY_BYTES) outgoing.destroy(new Error('too large'));
          else chunks.push(chunk);
        });
        incoming.on('end', () => {
          resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
        });
        incoming.on('error', fail);
      },
    );
    outgoing.on('error', (thrown) => fail(outgoing.destroyed && isAbort(thrown) ? timedOut() : thrown));
    outgoing.end(order?.body);
  });
}

function isAbort(thrown: Error): boolean {
  return thrown.name === 'AbortError' || thrown.name === 'TimeoutError';
}

function timedOut(): Error {
  const error = new Error('timed out');
  error.name = 'TimeoutError';
  return error;
}

/** Milliseconds of --timeout. @throws usage_invalid */
export function readTimeout({ flags }: Invocation, byDefaultMs: number): number {
  const written = flags.get('timeout')?.value;
  const ms = written === undefined ? byDefaultMs : readDuration(written);
  if (ms === undefined || ms === 0) {
    throw new SidebearerError('usage_invalid', { reason: '--timeout: expected a duration such as 30s' });
  }
  return ms;
}
