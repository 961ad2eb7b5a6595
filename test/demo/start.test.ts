import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { clickThrough, createBrowser } from './_login.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const variables = ['SIDEBEARER_LISTEN_PROXY', 'SIDEBEARER_LISTEN_OAUTH', 'SIDEBEARER_LISTEN_TELEMETRY'] as const;

/** Ports that were free a moment ago, all held at once so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

interface Running {
  readonly child: ChildProcess;
  text(): string;
  /** Resolves once the text appears; rejects when the process ends before. */
  until(pattern: RegExp): Promise<void>;
  readonly ended: Promise<unknown>;
}

function start(t: Test, env: Record<string, string>, script = 'scripts/start.mjs', flags: string[] = []): Running {
  const child = spawn(process.execPath, [...flags, script], { cwd: root, env: { ...process.env, ...env } });
  const ended = once(child, 'exit').then(([code]) => code);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let text = '';
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk;
      for (const look of waiting) look();
    });
  }
  return {
    child,
    text: () => text,
    ended,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!pattern.test(text)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
        void ended.then(() => reject(new Error(`it ended: ${text}`)));
      }),
  };
}

async function moved(): Promise<{ env: Record<string, string>; ports: number[] }> {
  const ports = await freePorts(3);
  return { ports, env: Object.fromEntries(variables.map((name, index) => [name, `127.0.0.1:${ports[index]}`])) };
}

t.test('npm start says what to open and what to curl, two clicks log in, Ctrl-C ends everything', async (t) => {
  const { env, ports } = await moved();
  const [proxy, oauth] = ports;
  const demo = start(t, env);
  await demo.until(/Ctrl-C ends everything/);
  t.match(demo.text(), `curl http://127.0.0.1:${proxy}/hello`);
  const loginUrl = /http:\S+\/oauth\/start/.exec(demo.text())?.[0] ?? '';
  t.equal(loginUrl, `http://localhost:${oauth}/oauth/start`);

  const before = await fetch(`http://127.0.0.1:${proxy}/hello`);
  t.strictSame([before.status, before.headers.get('sidebearer-error')], [503, 'grant_absent']);
  await before.body?.cancel();

  const browser = createBrowser();
  const first = await browser.send(loginUrl, {
    method: 'POST',
    headers: { origin: new URL(loginUrl).origin, 'content-type': 'application/x-www-form-urlencoded' },
    body: 'credential=demo',
  });
  const back = await clickThrough(browser, new URL(first.headers.get('location') ?? ''), 'continue');
  t.equal((await browser.send(back.href)).status, 200);
  const after = await fetch(`http://127.0.0.1:${proxy}/hello`);
  t.equal(after.status, 200);
  t.match(await after.text(), /"Bearer \S{4}… \(sha256 [0-9a-f]{12}\)"/);

  demo.child.kill('SIGINT');
  t.equal(await demo.ended, 0);
});

t.test('listen_port_busy exits 13 and names the port and the variable that moves it', async (t) => {
  for (const name of variables) {
    const { env } = await moved();
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const address = holder.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const demo = start(t, { ...env, [name]: `127.0.0.1:${port}` });
    t.equal(await demo.ended, 13, name);
    t.match(demo.text(), `127.0.0.1:${port}`);
    t.match(demo.text(), new RegExp(`Move it: ${name}=127\\.0\\.0\\.1:\\d+ npm start`));
    holder.close();
  }
});

t.test('a Node that is too old is told in one line, before anything else is loaded', async (t) => {
  for (const version of ['20.19.5', '22.18.0']) {
    const fake = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
    const demo = start(t, {}, 'scripts/start.mjs', ['--import', `data:text/javascript,${fake}`]);
    t.equal(await demo.ended, 1);
    t.match(demo.text(), /^Node v\S+ is too old: use Node >= 22\.19[^\n]*\n$/);
  }
});
