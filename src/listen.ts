// Binding a listener: reads `host:port` and `unix:/path`, binds, and turns the system's refusal into a row of the
// catalogue that names the address, the setting and, where it can be found, the process in the way. It knows nothing
// of what the listener serves.
import { existsSync } from 'node:fs';
import { readdir, readFile, readlink, stat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { SidebearerError, systemCode } from './errors/sidebearer-error.ts';

export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export interface BoundAddress {
  /** `http://127.0.0.1:8080`, with the port that the system gave; `unix:/path`. */
  readonly url: string;
  readonly address: ListenAddress;
}

/** `host:port`, `[::1]:port` or `unix:/absolute/path`; undefined where it is none of these. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    // 107 bytes and a NUL are what the kernel takes; it would cut a longer one.
    return path.startsWith('/') && !path.includes('\0') && Buffer.byteLength(path) <= 107 ? { path } : undefined;
  }
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** The address as the configuration writes it. */
export function formatListenAddress(address: ListenAddress): string {
  if ('path' in address) return `unix:${address.path}`;
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

/**
 * Binds `server`; after a failure it may be tried again with the same server.
 * @param setting the setting that moves this listener, for the error
 * @throws listen_port_busy, listen_refused, listen_address_unavailable
 */
export async function bind(server: Server, address: ListenAddress, setting: string): Promise<BoundAddress> {
  try {
    await listenOnce(server, address);
  } catch (thrown) {
    if (!('path' in address) || !(await removeStaleSocket(address.path, thrown))) {
      throw await translate(thrown, address, setting);
    }
    try {
      await listenOnce(server, address);
    } catch (again) {
      throw await translate(again, address, setting);
    }
  }
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return { url: formatListenAddress(address), address };
  const actual = { host: bound.address, port: bound.port };
  return { url: `http://${formatListenAddress(actual)}`, address: actual };
}

function listenOnce(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      server.off('error', settle);
      server.off('listening', listening);
      if (error === undefined) resolve();
      else reject(error);
    };
    const listening = (): void => settle();
    server.on('error', settle);
    server.on('listening', listening);
    server.listen(address);
  });
}

/** A socket file that a killed process left behind: nobody answers there, so it may go. */
async function removeStaleSocket(path: string, thrown: unknown): Promise<boolean> {
  if (systemCode(thrown) !== 'EADDRINUSE') return false;
  try {
    if (!(await stat(path)).isSocket()) return false;
    const isRefused = await new Promise<boolean>((resolve) => {
      const probe = connect(path);
      probe.once('connect', () => {
        probe.destroy();
        resolve(false);
      });
      probe.once('error', (error) => resolve(systemCode(error) === 'ECONNREFUSED'));
    });
    if (isRefused) await unlink(path);
    return isRefused;
  } catch {
    // Whatever stands in the way is told by the error of the first attempt.
    return false;
  }
}

async function translate(thrown: unknown, address: ListenAddress, setting: string): Promise<SidebearerError> {
  const code = systemCode(thrown);
  const details = {
    address: formatListenAddress(address),
    setting,
    ...(code === undefined ? {} : { systemCode: code }),
  };
  switch (code) {
    case 'EADDRINUSE': {
      const holder = await findHolder(address);
      return new SidebearerError('listen_port_busy', holder === undefined ? details : { ...details, holder }, thrown);
    }
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      // libuv says so of a missing folder, too.
      if ('path' in address && !existsSync(dirname(address.path))) {
        const reason = 'its folder does not exist';
        return new SidebearerError('listen_address_unavailable', { ...details, reason }, thrown);
      }
      return new SidebearerError('listen_refused', details, thrown);
    default:
      return new SidebearerError('listen_address_unavailable', details, thrown);
  }
}

/**
 * The process that listens there, as `nginx (pid 12)`; undefined where /proc does not tell (another user's process,
 * another pid namespace, no Linux).
 */
export async function findHolder(address: ListenAddress): Promise<string | undefined> {
  try {
    const inodes = 'path' in address ? await unixInodes(address.path) : await tcpInodes(address.port);
    if (inodes.size === 0) return undefined;
    for (const pid of await readdir('/proc')) {
      if (/^\d+$/.test(pid) && (await holdsAny(pid, inodes))) {
        // Not `comm`: Node calls its threads MainThread.
        const [command = ''] = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
        const name = (command.split(' ')[0]?.split('/').at(-1) ?? '').replace(/:$|[^\x20-\x7e]/g, '');
        return `${name} (pid ${pid})`;
      }
    }
  } catch {
    // Best effort: the error is complete without it.
  }
  return undefined;
}

/** Inodes of the sockets in state LISTEN (0A) on the port, of either family. */
async function tcpInodes(port: number): Promise<Set<string>> {
  const inodes = new Set<string>();
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'utf8').catch(() => '');
    for (const line of text.split('\n')) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(suffix) && fields[3] === '0A' && fields[9] !== undefined) inodes.add(fields[9]);
    }
  }
  return inodes;
}

async function unixInodes(path: string): Promise<Set<string>> {
  const inodes = new Set<string>();
  for (const line of (await readFile('/proc/net/unix', 'utf8')).split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields.slice(7).join(' ') === path && fields[6] !== undefined) inodes.add(fields[6]);
  }
  return inodes;
}

async function holdsAny(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  // A process that ends meanwhile, or that belongs to somebody else, is simply not the one.
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const descriptor of descriptors) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
    if (target.startsWith('socket:[') && inodes.has(target.slice(8, -1))) return true;
  }
  return false;
}
