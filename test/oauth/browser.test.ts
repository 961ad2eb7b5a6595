// One whole login in a real browser: the policies and cookies that only a browser enforces.
import { createServer } from 'node:http';
import t from 'tap';
import type { ManagedCredential } from '../../src/credentials/bearer.ts';
import { openBrowser, skip } from '../_chromium.ts';
import { createFakeDevice, deviceAuthorization, withDevice } from './_device.ts';
import { createFakeCredential, type FakeCredential, startPort } from './_fakes.ts';

interface Teardown {
  teardown(end: () => void | Promise<void>): void;
}

/** An identity provider of one page: a link back to the redirect URI, or at once where `isInstant`. */
async function startProvider(t: Teardown, isInstant: boolean): Promise<string> {
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const back = `${searchParams.get('redirect_uri')}?code=c1&state=${searchParams.get('state')}`;
    response.setHeader('cross-origin-opener-policy', 'same-origin');
    if (isInstant) response.writeHead(302, { location: back }).end();
    else response.setHeader('content-type', 'text/html').end(`<a id="consent" href="${back}">Consent</a>`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/authorize`;
}

/** An OAuth port whose one credential is sent back to the port that is really bound. */
async function startLogin(t: Teardown, isInstant: boolean): Promise<{ port: number; credential: FakeCredential }> {
  const credentials = new Map<string, ManagedCredential>();
  const { port } = await startPort(t, [], { credentials });
  const redirectUri = `http://localhost:${port}/oauth/callback`;
  const credential = createFakeCredential('codex', { redirectUri });
  const provider = await startProvider(t, isInstant);
  credential.behaviour.authorizationUrl = async (state) =>
    new URL(`${provider}?${new URLSearchParams({ state, redirect_uri: redirectUri })}`);
  credentials.set('codex', credential);
  return { port, credential };
}

for (const isInstant of [false, true]) {
  const how = isInstant ? 'sends it straight back' : 'asks for consent';
  t.test(`a browser logs in where the provider ${how}, and no policy is broken`, { skip }, async (t) => {
    const { port, credential } = await startLogin(t, isInstant);
    const { page, complaints, close } = await openBrowser();
    t.teardown(close);
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.getByRole('link', { name: 'Log in for codex' }).click();
    t.equal(new URL(page.url()).host, `localhost:${port}`, 'led to the name that the cookie needs');
    t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Log in for codex');
    await page.getByRole('button', { name: 'Continue to 127.0.0.1' }).click();
    if (!isInstant) await page.click('#consent');
    await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
    t.equal(credential.accepted.length, 1);
    t.same(await page.context().cookies(), [], 'the cookie is gone');

    await page.reload();
    t.match(await page.content(), 'state_used');
    await page.getByRole('link', { name: 'Go to the status page' }).click();
    await page.getByText('Ready').waitFor();
    const styled = await page.evaluate('getComputedStyle(document.querySelector(".card")).borderRadius');
    t.equal(styled, '14px', 'the style sheet is admitted by its hash');
    // The reload's own status is reported by the browser; nothing else may be.
    t.same(
      complaints.filter((complaint) => !complaint.includes('400 (Bad Request)')),
      [],
    );
  });
}

t.test('a failed login is tried again from its own page', { skip }, async (t) => {
  const { port, credential } = await startLogin(t, false);
  const { page, complaints, close } = await openBrowser();
  t.teardown(close);
  const { exchange } = credential.behaviour;
  credential.behaviour.exchange = () => Promise.reject(new Error('no'));
  await page.goto(`http://localhost:${port}/oauth/start`);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.click('#consent');
  credential.behaviour.exchange = exchange;
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.click('#consent');
  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
  t.same(
    complaints.filter((complaint) => !complaint.includes('500 (Internal Server Error)')),
    [],
  );
});

t.test('the time that a code has left is counted down', { skip }, async (t) => {
  const device = createFakeDevice();
  device.begin = async () => ({ ...deviceAuthorization, lifeMs: 75_000 });
  const { port } = await startPort(t, [withDevice(createFakeCredential(), device)]);
  const { page, complaints, close } = await openBrowser();
  t.teardown(close);
  await page.clock.install();
  await page.goto(`http://localhost:${port}/oauth/device?credential=codex`);
  await page.getByRole('button', { name: 'Get a code' }).click();
  await page.getByText('The code expires in 1 min 15 s').waitFor();
  await page.clock.fastForward(20_000);
  await page.getByText(/The code expires in 0:5\d/).waitFor();
  await page.clock.fastForward(120_000);
  await page.getByText('The code expires in 0:00').waitFor();
  t.same(complaints, []);
});
