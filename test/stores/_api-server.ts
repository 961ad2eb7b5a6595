// What of an API server a test needs at will and a real one gives by chance: any status, an answer that is lost, a watch
// that says what it is told. HTTP/2 over TLS, as there. It keeps objects by `resourceVersion`; how a real one behaves is
// tested in test/kubernetes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import {
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubernetesObject } from '../../src/stores/kubernetes-api.ts';
import { type Certificate, createAuthority } from '../providers/_certificate.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string | undefined;
  readonly body: KubernetesObject | undefined;
}

/** What it answers in place of what it would: a status, `lost` (done, and nobody hears of it), `cut` (half a body). */
export type Fault =
  | { readonly status: number; readonly body?: string; readonly headers?: Readonly<Record<string, string>> }
  | 'lost'
  | 'cut'
  | 'silent';

export interface OpenWatch {
  readonly query: URLSearchParams;
  write(text: string | Buffer): void;
  /** One event, as the server writes it. */
  tell(type: string, object: object): void;
  end(): void;
  /** Ended by whoever watched. */
  readonly isOver: boolean;
}

export interface ApiServer {
  readonly port: number;
  /** Folder of a service account, as kubelet mounts it. */
  readonly account: string;
  readonly asked: Asked[];
  /** By `secrets/NAME`, `leases/NAME`. */
  readonly objects: Map<string, KubernetesObject>;
  readonly watches: OpenWatch[];
  /** What a call gets instead: the first that returns something counts. */
  fault: (asked: Asked) => Fault | undefined;
  /** Whether its watches are told of what is written; otherwise of what a test tells them alone. */
  tellsWatches: boolean;
  /** Connections that are open. */
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  /** From now on it shows this certificate. */
  show(certificate: Certificate): void;
}

export interface Scope {
  teardown(end: () => unknown): void;
}

export const here = { addresses: ['127.0.0.1'] };

export async function startApiServer(t: Scope): Promise<ApiServer> {
  const authority = createAuthority();
  const account = mkdtempSync(join(tmpdir(), 'sidebearer-account-'));
  for (const [name, text] of Object.entries({ token: 'first', 'ca.crt': authority.cert, namespace: 'default' })) {
    writeFileSync(join(account, name), text);
  }
  t.teardown(() => rmSync(account, { recursive: true }));
  let version = 8;
  const sessions = new Set<ServerHttp2Session>();
  const server = createSecureServer({ ...authority.issue(here), allowHTTP1: true });
  const state: Omit<ApiServer, 'port'> = {
    account,
    asked: [],
    objects: new Map(),
    watches: [],
    fault: () => undefined,
    tellsWatches: false,
    sessions,
    show: (certificate) => server.setSecureContext(certificate),
  };

  const store = (key: string, body: KubernetesObject): KubernetesObject => {
    version += 1;
    // Versions are compared, never counted: these go up and down.
    const resourceVersion = String((version * 7919) % 10007);
    const object = { ...body, metadata: { ...body.metadata, resourceVersion } };
    state.objects.set(key, object);
    const selector = `metadata.name=${body.metadata.name}`;
    for (const watch of state.tellsWatches && key.startsWith('secrets/') ? state.watches : []) {
      if (watch.query.get('fieldSelector') === selector) watch.tell('MODIFIED', object);
    }
    return object;
  };
  const serve = ({ method, path, query, body }: Asked): { status: number; object?: object } => {
    const whole = method === 'POST' ? `${path}/${body?.metadata.name}` : path;
    const key = whole.split('/').slice(-2).join('/');
    const known = state.objects.get(key);
    if (method === 'GET') return known === undefined ? { status: 404 } : { status: 200, object: known };
    if (body === undefined) return { status: 400 };
    if (method === 'POST' && known !== undefined) return { status: 409 };
    if (method === 'PUT' && known === undefined) return { status: 404 };
    if (method === 'PUT' && known?.metadata.resourceVersion !== body.metadata.resourceVersion) return { status: 409 };
    const status = method === 'POST' ? 201 : 200;
    return { status, object: query.get('dryRun') === 'All' ? (known ?? body) : store(key, body) };
  };

  const answer = async (request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const { pathname, searchParams } = new URL(request.url, 'https://localhost');
    const asked: Asked = {
      method: request.method,
      path: pathname,
      query: searchParams,
      token: request.headers.authorization,
      body: text === '' ? undefined : (JSON.parse(text) as KubernetesObject),
    };
    state.asked.push(asked);
    const fault = state.fault(asked);
    if (fault === 'silent') return;
    if (typeof fault === 'object') {
      response.writeHead(fault.status, fault.headers ?? {}).end(fault.body ?? '{}');
      return;
    }
    if (searchParams.get('watch') === 'true') {
      response.writeHead(200);
      response.write('\n');
      const write = (line: string | Buffer): void => void response.write(line);
      let isOver = false;
      response.on('close', () => {
        isOver = true;
      });
      const watch: OpenWatch = {
        get isOver() {
          return isOver;
        },
        query: searchParams,
        write,
        tell: (type, object) => write(`${JSON.stringify({ type, object })}\n`),
        end: () => void response.end(),
      };
      state.watches.push(watch);
      // What came after the version that it begins with.
      const name = /^metadata\.name=(.*)$/.exec(searchParams.get('fieldSelector') ?? '')?.[1];
      const current = state.tellsWatches ? state.objects.get(`secrets/${name}`) : undefined;
      if (current !== undefined && current.metadata.resourceVersion !== searchParams.get('resourceVersion')) {
        watch.tell('MODIFIED', current);
      }
      return;
    }
    const { status, object = {} } = serve(asked);
    if (fault === 'lost') return void response.stream.session?.destroy();
    response.writeHead(status, { 'content-type': 'application/json' });
    if (fault === undefined) return void response.end(JSON.stringify(object));
    response.write(JSON.stringify(object).slice(0, 10), () => response.stream.session?.destroy());
  };
  server.on('request', (request, response) => void answer(request, response).catch(() => undefined));
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return Object.assign(state, { port: address.port });
}
