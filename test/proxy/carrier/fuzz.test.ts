// What is nearly HTTP, from both sides: nothing crashes, hangs or stays behind, no token reaches anybody but the
// upstream, no answer another client, and each answer of ours has its code. Seed and number of cases:
// SIDEBEARER_FUZZ_SEED, SIDEBEARER_FUZZ_CASES.
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { catalogue } from '../../../src/errors/catalogue.ts';
import { codeOf, createFakeBearer, eventually, exchangeRaw, startRawUpstream, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { createFuzzCases, type FuzzCase } from './_fuzz-cases.ts';
import { startForbidden } from './_origin.ts';

const seed = Number(process.env['SIDEBEARER_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const count = Number(process.env['SIDEBEARER_FUZZ_CASES'] ?? 2000);
const BATCH = 100;
const secrets = ['fuzz-token-1-5d2c', 'fuzz-token-2-77ab'] as const;
const [first, second] = secrets.map((token, index) => ({
  credential: 'test',
  generation: index + 1,
  rawHeaders: ['Authorization', `Bearer ${token}`],
}));

const rejections: unknown[] = [];
process.on('unhandledRejection', (reason) => rejections.push(reason));

/** Sends what a case has to send, and takes what comes until the connection's end. */
async function play(port: number, { request, clientEnd }: FuzzCase): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: clientEnd === 'half-close' });
  let text = '';
  let lastMs = performance.now();
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    lastMs = performance.now();
  });
  socket.on('error', () => undefined);
  socket.on('end', () => socket.end());
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  for (const [index, piece] of request.entries()) {
    if (clientEnd === 'leave' && index === request.length - 1) socket.destroy();
    if (socket.writable) socket.write(piece, 'latin1');
    await turn();
  }
  if (clientEnd === 'half-close') socket.end();
  // A request that is not whole may wait as long as its client does.
  const beganMs = performance.now();
  while (!socket.destroyed && clientEnd === 'wait') {
    const now = performance.now();
    if ((text !== '' && now - lastMs > 20) || now - beganMs > 200) socket.destroy();
    else await sleep(5);
  }
  const isOver = await Promise.race([closed.then(() => true), sleep(30_000, false, { ref: false })]);
  socket.destroy();
  if (!isOver) throw new Error('the connection does not end');
  return text;
}

/** An upstream that answers each head as its case says. */
function serve(cases: ReadonlyMap<string, FuzzCase>, answered: Set<string>): (socket: Socket) => void {
  return (socket) => {
    let text = '';
    socket.on('data', async (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (!text.includes('\r\n\r\n')) return;
      const id = /case-\d+-[0-9a-f]{8}-/.exec(text)?.[0] ?? '';
      const found = cases.get(id);
      const isGood = /^(GET|POST) \/good /.test(text);
      text = '';
      if (found === undefined) {
        const body = isGood ? 'good' : '';
        socket.write(`HTTP/1.1 200 OK\r\nX-Anonymous: 1\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        return;
      }
      answered.add(id);
      for (const piece of found.answer) {
        if (socket.writable) socket.write(piece, 'latin1');
        await turn();
      }
      if (found.upstreamEnd === 'close') socket.end();
      else if (found.upstreamEnd === 'reset') socket.resetAndDestroy();
    });
  };
}

/** What is wrong with what a client got. */
function judge({ id }: FuzzCase, text: string, hasAnswered: boolean): string[] {
  const wrong: string[] = [];
  if (secrets.some((secret) => text.includes(secret))) wrong.push('a token reached the client');
  if ([...text.matchAll(/case-\d+-[0-9a-f]{8}-/g)].some(([other]) => other !== id)) {
    wrong.push('the answer of another request');
  }
  const final = text.replace(/^(?:HTTP\/1\.1 1\d\d [\s\S]*?\r\n\r\n)+/, '');
  const head = final.slice(0, final.indexOf('\r\n\r\n'));
  const code = codeOf(`${head}\r\n`);
  if (code === 'forged') wrong.push('an upstream spoke as us');
  else if (code !== undefined && !Object.hasOwn(catalogue, code)) wrong.push(`no such code: ${code}`);
  if (code === 'internal_error') wrong.push('internal_error');
  const isUpstreams = hasAnswered || /^X-Anonymous: 1$/m.test(head.replaceAll('\r', ''));
  if (final.startsWith('HTTP/1.1') && code === undefined && !isUpstreams)
    wrong.push('an answer of ours without a code');
  if (/^content-type: application\/problem\+json/im.test(head) && code === undefined)
    wrong.push('a problem without a code');
  return wrong;
}

const openSockets = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;

t.setTimeout(60_000 + count * 20);
t.comment(`SIDEBEARER_FUZZ_SEED=${seed} SIDEBEARER_FUZZ_CASES=${count}`);

onEachCarrier(`what is nearly HTTP does no harm (seed ${seed})`, async (t, carrier) => {
  const decoy = await startForbidden(t);
  const cases = createFuzzCases(seed, count, decoy.host);
  const answered = new Set<string>();
  const sockets = new Set<Socket>();
  const answer = serve(new Map(cases.map((each) => [each.id, each])), answered);
  const upstream = await startRawUpstream(t, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    answer(socket);
  });
  const bearer = createFakeBearer();
  bearer.current = first;
  bearer.onRenewed = async () => second;
  const proxy = await carrier.start(t, upstream.url, {
    bearer,
    limits: { headerTimeoutMs: 200 },
    route: { timeouts: { connectMs: 2000, headersMs: 150, idleMs: 150 } },
  });
  const before = openSockets();

  for (let start = 0; start < cases.length; start += BATCH) {
    const batch = cases.slice(start, start + BATCH);
    const found = await Promise.all(
      batch.map(async (each) => {
        const wrong = await play(proxy.port, each).then(
          (text) => judge(each, text, answered.has(each.id)).map((what) => `${what}: ${JSON.stringify(text)}`),
          (thrown: unknown) => [String(thrown)],
        );
        return wrong.map((what) => `${what} in ${JSON.stringify(each)}`);
      }),
    );
    t.strictSame(found.flat(), [], `cases ${start} to ${start + batch.length - 1}`);
    const get = await exchangeRaw(t, proxy.port, 'GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const post = 'POST /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok';
    if (statusOf(get) !== 200 || statusOf(await exchangeRaw(t, proxy.port, post)) !== 200)
      t.fail('a good request fails');
    await eventually('nothing is at work', () => proxy.inFlight() === 0 && proxy.observer.inFlight === 0);
    await eventually('no upgrade is open', () => proxy.observer.upgrades === 0);
    await eventually('no socket is left', () => {
      // The proxy may keep connections to the upstream, and open one more for a request that it repeats.
      for (const socket of sockets) socket.destroy();
      return openSockets() <= before;
    });
  }
  t.equal(decoy.connections.length, 0, 'nobody spoke with the decoy');
  t.strictSame(rejections, []);
  const codes = [...proxy.observer.ends.map(({ error }) => error), ...proxy.observer.failures].map(
    (each) => each?.code,
  );
  t.notOk(codes.includes('internal_error'));
  // A fuzz that meets nothing but one refusal has stopped to be one.
  t.ok(answered.size > count / 10, `${answered.size} came to the upstream`);
  t.ok(new Set(codes).size > Math.min(5, count / 100), [...new Set(codes)].join(' '));
});
