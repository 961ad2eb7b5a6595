// An admin logs into pods that nobody has logged into: `kubectl port-forward` and a real browser through it, and
// `sidebearer login --pod`, at a real OpenID provider. Forwards break half way; afterwards every replica has the token.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { request } from 'undici';
import { demoClient } from '../../demo/provider.ts';
import type { Echo } from '../../demo/upstream.ts';
import { skip as noChromium, openBrowser } from '../_chromium.ts';
import { eventually, program } from '../system/_process.ts';
import { admin } from './_cluster.ts';
import { createLoginWorld, type LoginWorld, oauthUrl } from './_logins.ts';
import {
  chart,
  createApplication,
  createRestricted,
  image,
  install,
  makeImage,
  skip as noPods,
  type Pod,
  readyPods,
  values,
} from './_pods.ts';

const skip = noPods !== false ? noPods : noChromium;

t.setTimeout(600_000);

/** The application of a pod: passes on what its sidecar answers. */
const application = `
require('node:http').createServer(async (_, answer) => {
  const given = await fetch('http://127.0.0.1:8080/').catch((error) => new Response(String(error), { status: 502 }));
  answer.writeHead(given.status, { 'sidebearer-error': given.headers.get('sidebearer-error') ?? '' }).end(await given.text());
}).listen(3000);
process.on('SIGTERM', () => process.exit(0));
`;

interface Release {
  readonly namespace: string;
  readonly world: LoginWorld;
  readonly pods: readonly Pod[];
  /** What a client of each pod asks. */
  readonly urls: readonly string[];
}

async function installGateway(t: Test): Promise<Release> {
  return installFor(t, 'app-sidebearer', 8080, (sidebearer) => ({ path: chart, settings: sidebearer }));
}

async function installSidecars(t: Test): Promise<Release> {
  return installFor(t, 'app', 3000, (sidebearer) => ({
    path: createApplication(),
    settings: { image, script: application, sidebearer: { ...sidebearer, mode: 'sidecar' } },
  }));
}

async function installFor(
  t: Test,
  deployment: string,
  port: number,
  settingsOf: (sidebearer: object) => { path: string; settings: object },
): Promise<Release> {
  await makeImage();
  const world = await createLoginWorld(t);
  const namespace = await createRestricted(t);
  const { path, settings } = settingsOf({ ...values({ port: 0, redeemed: [] }), config: world.config });
  await install(t, namespace, path, settings);
  const pods = await readyPods(namespace, deployment);
  return { namespace, world, pods, urls: pods.map(({ status }) => `http://${status.podIP}:${port}/`) };
}

/** Running and Ready without a credential: else no port could be forwarded, and nobody could ever log in. */
async function assertLoggedOut(t: Test, { world, urls }: Release): Promise<void> {
  for (const url of urls) {
    const { statusCode, headers, body } = await request(url);
    await body.dump();
    t.equal(statusCode, 503);
    t.equal(headers['sidebearer-error'], 'grant_absent');
  }
  t.equal(world.upstream.counts.accepted, 0);
  const direct = await request(world.upstream.url);
  await direct.body.dump();
  t.equal(direct.statusCode, 401, 'the upstream takes nothing without a token');
}

async function assertLoggedIn(t: Test, { world, urls, namespace }: Release): Promise<void> {
  const tokens = await Promise.all(
    urls.map((url) =>
      eventually(`the token at ${url}`, async () => {
        const { statusCode, body } = await request(url);
        const text = await body.text();
        return statusCode === 200 ? (JSON.parse(text) as Echo).token : undefined;
      }),
    ),
  );
  t.equal(new Set(tokens).size, 1, 'one token for all replicas');
  t.same(world.provider.counts.tokenRequests, { authorization_code: 1 });
  const secret = await admin('GET', `/api/v1/namespaces/${namespace}/secrets/app-sidebearer-api`);
  t.ok((secret as { data?: Record<string, string> }).data?.['record.json']);
}

/** The admin's kubectl, once it forwards. */
async function forward(t: Test, namespace: string, pod: Pod): Promise<ChildProcess> {
  return eventually('a port-forward', async () => {
    const child = spawn('kubectl', ['port-forward', '-n', namespace, `pod/${pod.metadata.name}`, '1455']);
    t.teardown(() => end(child));
    const told = once(child.stdout, 'data').then(() => true);
    const isForwarding = await Promise.race([told, once(child, 'exit').then(() => false)]);
    return isForwarding ? child : undefined;
  });
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

/** From the start page to the provider's question. */
async function goToProvider(page: Page, address: string): Promise<void> {
  await page.goto(address);
  await page.getByRole('button', { name: 'Continue to' }).click();
  await page.getByRole('heading', { name: 'Demo identity provider' }).waitFor();
}

async function finish(page: Page): Promise<void> {
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click();
  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
}

async function createPage(t: Test): Promise<Page> {
  const { page, close } = await openBrowser();
  page.setDefaultTimeout(60_000);
  t.teardown(close);
  return page;
}

t.test('sidecars: by kubectl port-forward, begun through one pod and ended through another', { skip }, async (t) => {
  const release = await installSidecars(t);
  const [first, second] = release.pods as [Pod, Pod];
  t.equal(release.pods.length, 3);
  await assertLoggedOut(t, release);
  const page = await createPage(t);

  const broken = await forward(t, release.namespace, first);
  await page.goto(oauthUrl);
  await page.getByRole('link', { name: 'Log in for api' }).click();
  await goToProvider(page, page.url());
  await end(broken);
  await forward(t, release.namespace, second);
  await finish(page);
  t.match(await page.getByRole('main').innerText(), demoClient.email);
  await assertLoggedIn(t, release);

  await page.goto(oauthUrl);
  await page.getByText('This page is live.').waitFor();
  t.match(await page.getByRole('main').innerText(), demoClient.email, 'the status page knows who it is');
});

t.test('a gateway: by `sidebearer login --pod`, whose port-forward is ended half way', { skip }, async (t) => {
  const release = await installGateway(t);
  t.equal(release.pods.length, 2);
  await assertLoggedOut(t, release);
  const page = await createPage(t);

  const argv = ['login', '--pod', release.pods[0]?.metadata.name ?? '', '--namespace', release.namespace];
  const command = spawn(process.execPath, [program, ...argv, '--no-browser'], { stdio: 'pipe' });
  t.teardown(() => end(command));
  let output = '';
  for (const stream of [command.stdout, command.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  const ended = once(command, 'close');
  const address = await eventually('the address', () => /^ {2}(http:\S+\/oauth\/start\S+)$/m.exec(output)?.[1]);
  t.ok(address.startsWith(oauthUrl), address);
  await goToProvider(page, address);
  for (const pid of childrenOf(command.pid ?? 0)) process.kill(pid, 'SIGKILL');
  await eventually('the next forward', async () => {
    const answer = await request(`${oauthUrl}/status.json`).catch(() => undefined);
    await answer?.body.dump();
    return (answer?.statusCode === 200 && output.includes('The port-forward dropped')) || undefined;
  });
  await finish(page);
  t.equal((await ended)[0], 0, output);
  t.match(output, `api: logged in as ${demoClient.email}`);
  t.match(output, 'stored in Secret app-sidebearer-');
  await assertLoggedIn(t, release);
});

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent);
}

/** Undefined: it has ended meanwhile. */
function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}
