// A login as an admin sees it through `kubectl port-forward`, which one reset from the pod would end.
import t from 'tap';
import { demoClient } from '../../demo/provider.ts';
import { openBrowser, skip } from '../_chromium.ts';
import { startPortForward } from './_port-forward.ts';
import { runProgram } from './_process.ts';
import { createWorld } from './_world.ts';

/** Another address of the loopback range plays the pod's. */
const podHost = '127.0.0.2';

t.test('a forward that one reset would end survives a whole login, and everything around it', { skip }, async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  t.teardown(() => world.close());
  const port = Number(new URL(world.oauthUrl).port);
  const program = await runProgram(world.config(), { SIDEBEARER_LISTEN_OAUTH: `${podHost}:${port}` });
  const forward = await startPortForward(t, { host: podHost, port }, port);
  const { page, close } = await openBrowser();
  t.teardown(close);

  await page.goto(world.oauthUrl);
  await page.getByText('This page is live.').waitFor();
  await page.getByRole('link', { name: 'Log in for demo' }).click();
  await page.getByRole('button', { name: 'Continue to' }).click();
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click();
  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();

  // A body that nobody reads, a page that is left half way, a request that is none.
  const big = 'x'.repeat(2_000_000);
  await fetch(`${world.oauthUrl}/oauth/start`, {
    method: 'POST',
    body: big,
    headers: { origin: world.oauthUrl },
  }).catch(() => undefined);
  await fetch(`${world.oauthUrl}/nowhere`, { method: 'POST', body: big }).catch(() => undefined);
  await page.goto(world.oauthUrl);
  await page.reload();
  await page.goto('about:blank');
  t.equal((await fetch(`${world.oauthUrl}/status.json`)).status, 200);
  t.equal(await program.end(), 0);
  t.equal(forward.isLost, false, 'no reset');
  t.ok(forward.carried >= 5, `${forward.carried} connections`);
});

t.test('through another local port the page says so, and a paste finishes the login', { skip }, async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  t.teardown(() => world.close());
  const registered = Number(new URL(world.oauthUrl).port);
  // The registered port is nobody's on this side: what is forwarded is another one.
  const program = await runProgram(world.config(), { SIDEBEARER_LISTEN_OAUTH: `${podHost}:${registered}` });
  const forward = await startPortForward(t, { host: podHost, port: registered });
  const { page, close } = await openBrowser();
  t.teardown(close);

  await page.goto(`http://localhost:${forward.port}/oauth/start`);
  const text = await page.getByRole('main').innerText();
  t.match(text, 'This browser would come back to another port');
  t.match(text, `kubectl port-forward POD ${registered}:${registered}`);

  await page.getByRole('button', { name: 'Continue to' }).click();
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).waitFor();
  const lost = page.waitForRequest((request) => request.url().startsWith(`${world.oauthUrl}/oauth/callback`));
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click({ noWaitAfter: true });
  const address = (await lost).url();

  // Where it ended is a page of the browser's own: the way back is another tab.
  const tab = await page.context().newPage();
  await tab.goto(`http://localhost:${forward.port}/oauth/start`);
  await tab.getByLabel('The address').fill(`  ${address}  `);
  await tab.getByRole('button', { name: 'Finish the login' }).click();
  await tab.getByRole('heading', { name: 'You are logged in' }).waitFor();
  t.match(await tab.getByRole('main').innerText(), demoClient.email);
  t.equal(forward.isLost, false);
  t.equal(await program.end(), 0);
});

t.test('the forward of the test is one that a reset ends', async (t) => {
  const { createServer } = await import('node:net');
  const pod = createServer((socket) => socket.once('data', () => socket.resetAndDestroy())).listen(0, '127.0.0.1');
  await new Promise((resolve) => pod.once('listening', resolve));
  t.teardown(() => pod.close());
  const address = pod.address();
  const forward = await startPortForward(t, {
    host: '127.0.0.1',
    port: typeof address === 'object' && address !== null ? address.port : 0,
  });
  await t.rejects(fetch(`http://127.0.0.1:${forward.port}/`));
  t.equal(forward.isLost, true);
  await t.rejects(fetch(`http://127.0.0.1:${forward.port}/`), 'it takes no connection any more');
});
