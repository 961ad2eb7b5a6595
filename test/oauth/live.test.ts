// Who has the status page open sees changes as they come; who closed it costs nothing.
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import t from 'tap';
import type { FakeClock } from '../_fake-clock.ts';
import { createFakeCredential, credentialStatus, startPort } from './_fakes.ts';

interface Stream {
  readonly response: IncomingMessage;
  /** The regions of each message. */
  readonly messages: Map<string, string>[];
  /** Everything, as it came. */
  text(): string;
  /** Resolves once so many messages have come. */
  received(count: number): Promise<void>;
  close(): void;
}

async function openStream(port: number, headers: Readonly<Record<string, string>> = {}): Promise<Stream> {
  const request = get({
    host: '127.0.0.1',
    port,
    path: '/events',
    headers: { host: `localhost:${port}`, ...headers },
    agent: false,
  });
  request.on('error', () => undefined);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  response.on('error', () => undefined);
  const messages = (): Map<string, string>[] =>
    [...text.matchAll(/^data: (.*)\n\n/gm)].map(([, data = '']) => new Map(JSON.parse(data) as [string, string][]));
  return {
    response,
    get messages() {
      return messages();
    },
    text: () => text,
    async received(count) {
      while (messages().length < count) await once(response, 'data');
    },
    close: () => request.destroy(),
  };
}

/** Time passes, and what was sent has arrived. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  await clock.advance(ms);
  await new Promise((resolve) => setTimeout(resolve, 20));
}

t.test('the first message is the page as it is; then each change, and nothing where nothing changes', async (t) => {
  const credential = createFakeCredential();
  const { port, clock, server } = await startPort(t, [credential]);
  const stream = await openStream(port);
  t.match(stream.response.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  await stream.received(1);
  t.strictSame(
    [...(stream.messages[0]?.keys() ?? [])],
    [
      'summary',
      'notices',
      'refused',
      'configuration',
      ...['state', 'facts', 'actions'].map((part) => `credential-codex-${part}`),
    ],
  );
  t.match(stream.messages[0]?.get('credential-codex-state'), 'No token yet');

  await pass(clock, 5_000);
  t.equal(stream.messages.length, 1);

  credential.behaviour.status = () => credentialStatus({ state: 'fresh', usable: true });
  await clock.advance(1_000);
  await stream.received(2);
  t.match(stream.messages[1]?.get('credential-codex-state'), 'Ready');
  t.match(stream.messages[1]?.get('summary'), 'has a usable token');
  t.notOk(stream.messages[1]?.has('notices'), 'what did not change is not sent');

  await pass(clock, 15_000);
  t.match(stream.text(), /\n:\n\n$/, 'a sign of life');
  const ended = once(stream.response, 'end');
  await server.close();
  await ended;
  t.ok(stream.response.complete, 'stopping ends it in order');
});

t.test('nobody looks: no timer is armed', async (t) => {
  const { port, clock } = await startPort(t, [createFakeCredential()]);
  const before = clock.armed;
  const streams = [await openStream(port), await openStream(port)];
  await Promise.all(streams.map((stream) => stream.received(1)));
  t.equal(clock.armed, before + 1, 'one timer for all');
  for (const stream of streams) stream.close();
  for (let i = 0; clock.armed > before && i < 200; i += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(clock.armed, before);
});

t.test('each sees it in a language of its own', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const stream = await openStream(port, { 'accept-language': 'zh-CN' });
  await stream.received(1);
  t.match(stream.messages[0]?.get('credential-codex-state'), '还没有令牌');
  stream.close();
});

t.test('a page elsewhere gets 403 `origin_forbidden`', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  for (const site of ['cross-site', 'same-site', 'none']) {
    const stream = await openStream(port, { 'sec-fetch-site': site });
    t.equal(stream.response.statusCode, 403, site);
  }
  const ours = await openStream(port, { 'sec-fetch-site': 'same-origin' });
  t.equal(ours.response.statusCode, 200);
  ours.close();
});

t.test('the 65th makes room for itself', async (t) => {
  const { port } = await startPort(t, [createFakeCredential()]);
  const streams: Stream[] = [];
  for (let i = 0; i < 64; i += 1) streams.push(await openStream(port));
  const [first] = streams;
  const ended = first === undefined ? undefined : once(first.response, 'end');
  const late = await openStream(port);
  await late.received(1);
  await ended;
  t.ok(first?.response.complete);
  for (const stream of [...streams, late]) stream.close();
});
