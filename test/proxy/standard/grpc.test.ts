// gRPC through the proxy, with the library that others use: a plain client with prior knowledge, an upstream over TLS.
import {
  type CallOptions,
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import t from 'tap';
import { eventually, type ProxyUnderTest, type Scope, startProxy, startUpstream, token } from '../_proxy.ts';
import { authority, byAlpn, startH2cUpstream } from './_h2.ts';

type Method = MethodDefinition<string, string>;

function method(name: string, requestStream: boolean, responseStream: boolean): Method {
  const write = (text: string): Buffer => Buffer.from(text);
  const read = (bytes: Buffer): string => bytes.toString();
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: write,
    requestDeserialize: read,
    responseSerialize: write,
    responseDeserialize: read,
  };
}

const methods = {
  unary: method('Unary', false, false),
  serverStream: method('ServerStream', false, true),
  clientStream: method('ClientStream', true, false),
  both: method('Both', true, true),
  fail: method('Fail', false, false),
  hang: method('Hang', false, true),
};

interface Service {
  readonly url: string;
  readonly authorizations: string[];
  cancelled: number;
}

async function startService(scope: Scope): Promise<Service> {
  const server = new Server();
  const service = { url: '', authorizations: [] as string[], cancelled: 0 };
  const note = (metadata: Metadata): void => void service.authorizations.push(String(metadata.get('authorization')[0]));
  const trailers = (): Metadata => {
    const metadata = new Metadata();
    metadata.set('x-sum', '7');
    metadata.set('x-bytes-bin', Buffer.from([0, 255]));
    return metadata;
  };
  server.addService(methods, {
    unary: (call: { request: string; metadata: Metadata; sendMetadata(m: Metadata): void }, done: Done) => {
      note(call.metadata);
      const head = new Metadata();
      head.set('x-head', 'yes');
      call.sendMetadata(head);
      done(null, `echo ${call.request}`, trailers());
    },
    serverStream: (call: {
      request: string;
      metadata: Metadata;
      write(m: string): boolean;
      end(m: Metadata): void;
    }) => {
      note(call.metadata);
      for (let i = 0; i < 200; i += 1) call.write(`${i} ${'x'.repeat(2000)}`);
      call.end(trailers());
    },
    clientStream: (call: NodeJS.ReadableStream & { metadata: Metadata }, done: Done) => {
      note(call.metadata);
      let count = 0;
      call.on('data', () => {
        count += 1;
      });
      call.on('end', () => done(null, `${count}`, trailers()));
    },
    both: (call: NodeJS.ReadWriteStream & { metadata: Metadata; end(m: Metadata): void }) => {
      note(call.metadata);
      call.on('data', (text: string) => call.write(`echo ${text}`));
      call.on('end', () => call.end(trailers()));
    },
    fail: (call: { metadata: Metadata }, done: Done) => {
      note(call.metadata);
      done({ code: status.FAILED_PRECONDITION, details: 'not so', metadata: trailers() });
    },
    hang: (call: NodeJS.EventEmitter & { metadata: Metadata; write(m: string): void }) => {
      note(call.metadata);
      call.write('begun');
      call.on('cancelled', () => {
        service.cancelled += 1;
      });
    },
  } as never);
  const { key, cert } = authority.issue({ addresses: ['127.0.0.1'] });
  const tls = ServerCredentials.createSsl(null, [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }]);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', tls, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  scope.teardown(() => server.forceShutdown());
  service.url = `https://127.0.0.1:${port}`;
  return service;
}

type Done = (error: Partial<ServiceError> | null, value?: string, trailers?: Metadata) => void;

interface Outcome {
  readonly code: number;
  readonly details: string;
  readonly messages: readonly string[];
  readonly head: Metadata | undefined;
  readonly trailers: Metadata;
}

/** Any of the four kinds; `requests` go out one after the other. */
function call(
  client: Client,
  of: Method,
  requests: readonly string[],
  options: CallOptions = {},
  answer?: (text: string) => void,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const messages: string[] = [];
    let head: Metadata | undefined;
    const take = (text: string): void => {
      messages.push(text);
      answer?.(text);
    };
    const done = (_error: unknown, value?: string): void => {
      if (value !== undefined) take(value);
    };
    const { path, requestSerialize: write, responseDeserialize: read } = of;
    const first = requests[0] ?? '';
    const meta = new Metadata();
    let made: {
      on(event: 'metadata', listener: (head: Metadata) => void): unknown;
      on(event: 'status', listener: (status: { code: number; details: string; metadata: Metadata }) => void): unknown;
    };
    if (of.requestStream) {
      const stream = of.responseStream
        ? client.makeBidiStreamRequest(path, write, read, meta, options)
        : client.makeClientStreamRequest(path, write, read, meta, options, done);
      for (const text of requests) stream.write(text);
      stream.end();
      made = stream;
    } else {
      made = of.responseStream
        ? client.makeServerStreamRequest(path, write, read, first, meta, options)
        : client.makeUnaryRequest(path, write, read, first, meta, options, done);
    }
    if (of.responseStream) {
      const stream = made as unknown as NodeJS.ReadableStream & { cancel(): void };
      stream.on('data', take);
      stream.on('error', () => undefined);
    }
    made.on('metadata', (metadata) => {
      head = metadata;
    });
    // The last message of a stream may come after the status.
    made.on('status', ({ code, details, metadata }) =>
      setImmediate(() => resolve({ code, details, messages, head, trailers: metadata })),
    );
  });
}

function connect(scope: Scope, proxy: ProxyUnderTest): Client {
  const client = new Client(`127.0.0.1:${proxy.port}`, credentials.createInsecure());
  scope.teardown(() => client.close());
  return client;
}

t.test('the four kinds of call, with the token, metadata both ways and trailers', async (t) => {
  const service = await startService(t);
  const proxy = await startProxy(t, service.url, { route: await byAlpn(t) });
  const client = connect(t, proxy);

  const unary = await call(client, methods.unary, ['hello']);
  t.equal(unary.code, status.OK);
  t.strictSame(unary.messages, ['echo hello']);
  t.strictSame(unary.head?.get('x-head'), ['yes']);

  const stream = await call(client, methods.serverStream, ['go']);
  t.equal(stream.code, status.OK);
  t.equal(stream.messages.length, 200);
  t.equal(stream.messages[199], `199 ${'x'.repeat(2000)}`);

  const upload = await call(
    client,
    methods.clientStream,
    Array.from({ length: 300 }, () => 'y'.repeat(3000)),
  );
  t.equal(upload.code, status.OK);
  t.strictSame(upload.messages, ['300']);

  const both = await call(client, methods.both, ['a', 'b', 'c']);
  t.equal(both.code, status.OK);
  t.strictSame(both.messages, ['echo a', 'echo b', 'echo c']);

  for (const outcome of [unary, stream, upload, both]) {
    t.strictSame(outcome.trailers.get('x-sum'), ['7']);
    t.strictSame(outcome.trailers.get('x-bytes-bin'), [Buffer.from([0, 255])]);
  }
  t.strictSame(service.authorizations, Array(4).fill('Bearer token-1'));
  await eventually('nothing is left', () => proxy.inFlight() === 0);
});

t.test('messages of a call in both directions alternate, none is held back', async (t) => {
  const service = await startService(t);
  const proxy = await startProxy(t, service.url, { route: await byAlpn(t) });
  const client = connect(t, proxy);
  const { path, requestSerialize, responseDeserialize } = methods.both;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  for (const text of ['one', 'two', 'three']) {
    const next = new Promise<string>((resolve) => stream.once('data', resolve));
    stream.write(text);
    t.equal(await next, `echo ${text}`);
  }
  const ended = new Promise<{ code: number }>((resolve) => stream.once('status', resolve));
  stream.end();
  t.equal((await ended).code, status.OK);
});

t.test('an error of the service arrives with its code, message and trailers', async (t) => {
  const service = await startService(t);
  const proxy = await startProxy(t, service.url, { route: await byAlpn(t) });
  const outcome = await call(connect(t, proxy), methods.fail, ['x']);
  t.equal(outcome.code, status.FAILED_PRECONDITION);
  t.equal(outcome.details, 'not so');
  t.strictSame(outcome.trailers.get('x-sum'), ['7']);
  const unknown = await call(connect(t, proxy), method('Nowhere', false, false), ['x']);
  t.equal(unknown.code, status.UNIMPLEMENTED);
});

t.test('a deadline and a cancellation reach the service', async (t) => {
  const service = await startService(t);
  const proxy = await startProxy(t, service.url, { route: await byAlpn(t) });
  const client = connect(t, proxy);
  const late = await call(client, methods.hang, ['x'], { deadline: Date.now() + 150 });
  t.equal(late.code, status.DEADLINE_EXCEEDED);
  await eventually('the first was cancelled', () => service.cancelled === 1);
  const { path, requestSerialize, responseDeserialize } = methods.hang;
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, 'x');
  stream.on('error', () => undefined);
  await new Promise((resolve) => stream.once('data', resolve));
  stream.cancel();
  await eventually('the second was cancelled', () => service.cancelled === 2);
  await eventually('nothing is left', () => proxy.inFlight() === 0);
});

t.test(
  'the proxy’s own errors are statuses of gRPC: 401 UNAUTHENTICATED, 503 UNAVAILABLE, 404 UNIMPLEMENTED',
  async (t) => {
    const upstream = await startUpstream(t, (incoming, response) => {
      incoming.resume();
      incoming.on('end', () => {
        response.writeHead(401);
        response.end('no');
      });
    });
    const proxy = await startProxy(t, upstream.url, { route: { path: '/test.Echo/' } });
    const client = connect(t, proxy);
    t.equal((await call(client, methods.unary, ['x'])).code, status.UNAUTHENTICATED);
    t.equal(proxy.bearer.refusals.length, 1);
    t.equal((await call(client, { ...methods.unary, path: '/other/x' }, ['x'])).code, status.UNIMPLEMENTED);
    const full = await startProxy(t, upstream.url, { limits: { inFlight: 0 } });
    t.equal((await call(connect(t, full), methods.unary, ['x'])).code, status.UNAVAILABLE);
  },
);

t.test('an HTTP 401 of a gateway is renewed and the call is replayed', async (t) => {
  const seen: string[] = [];
  const front = await startH2cUpstream(t, (stream, headers) => {
    seen.push(String(headers.authorization));
    if (headers.authorization !== 'Bearer token-2') {
      stream.resume();
      stream.respond({ ':status': 401, 'content-type': 'text/plain' });
      stream.end('expired');
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    // The message that came goes back.
    stream.pipe(stream);
  });
  const proxy = await startProxy(t, front.url, { route: { http2: 'prior-knowledge' } });
  proxy.bearer.onRenewed = async () => token(2);
  const outcome = await call(connect(t, proxy), methods.unary, ['again']);
  t.equal(outcome.code, status.OK);
  t.strictSame(outcome.messages, ['again']);
  t.strictSame(seen, ['Bearer token-1', 'Bearer token-2']);
  t.strictSame(proxy.observer.replays, ['accepted']);
});
