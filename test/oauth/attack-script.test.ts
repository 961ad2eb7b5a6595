// A provider, or whoever has a hand in what it answers, puts script into each field that our pages show: the account of
// an id token, an error and its description, a device login's code and address. It would run on our origin, and log
// credentials out or read what the admin pastes. It stays text; and were it markup, the policy would not let it run.
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import type { CredentialStatus } from '../../src/credentials/bearer.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { openBrowser, skip } from '../_chromium.ts';
import { createFakeDevice, deviceAuthorization, withDevice } from './_device.ts';
import {
  beginLogin,
  createFakeCredential,
  credentialStatus,
  type FakeCredential,
  type Port,
  startPort,
  tokenAnswer,
} from './_fakes.ts';

const evil = `"'><script>window.ran=1</script><img class=evil src=x onerror="window.ran=2"><svg class=evil onload=window.ran=3>\`</dd></style></textarea>`;
const account = { id: evil, email: evil, plan: evil, userId: evil, issuer: evil, organizationId: evil };
const evilStatus: Partial<CredentialStatus> = {
  state: 'refused',
  usable: true,
  account,
  lastError: { code: 'grant_rejected', atMs: 1_800_000_000_000, next: 'x', providerCode: evil },
};

/** Nothing of it is in the document but as text, nothing ran, and no policy had to stop anything. */
async function isHarmless(t: Test, { page, complaints }: { page: Page; complaints: string[] }, where: string) {
  t.equal(await page.evaluate('window.ran'), undefined, `${where}: nothing ran`);
  t.equal(await page.locator('.evil').count(), 0, `${where}: no element of it`);
  t.ok((await page.locator('body').innerText()).includes('<img class=evil'), `${where}: it is shown, as text`);
  t.strictSame(
    complaints.splice(0).filter((complaint) => !complaint.includes('responded with a status of')),
    [],
    where,
  );
}

async function startEvil(t: Test): Promise<{ credential: FakeCredential; url: string } & Pick<Port, 'port' | 'clock'>> {
  const credential = createFakeCredential();
  const device = createFakeDevice();
  device.begin = async () => ({
    ...deviceAuthorization,
    userCode: evil.slice(0, 120),
    verificationUri: `https://idp.example/"'><img class=evil src=x onerror=window.ran=4>`,
    verificationUriComplete: `https://idp.example/?${evil}`,
  });
  const { port, clock } = await startPort(t, [withDevice(credential, device)], {
    storedIn: evil,
    notices: () => [evil],
  });
  return { credential, port, clock, url: `http://localhost:${port}` };
}

t.test('on the status page, at its loading and by its live updates', { skip }, async (t) => {
  const { credential, clock, url } = await startEvil(t);
  const browser = await openBrowser();
  t.teardown(browser.close);
  await browser.page.goto(url);
  await browser.page.getByText('This page is live.').waitFor();
  await isHarmless(t, browser, 'the notices');
  credential.behaviour.status = () => credentialStatus(evilStatus);
  await clock.advance(1_000);
  await browser.page.getByText('Refused by the upstream').waitFor();
  await isHarmless(t, browser, 'a live update');
  await browser.page.goto(`${url}/?${new URLSearchParams({ credential: evil, result: evil, refresh: evil })}`);
  await isHarmless(t, browser, 'the status page');
});

t.test('on the pages before and after a login, and on those of its failures', { skip }, async (t) => {
  const { credential, port, url } = await startEvil(t);
  const browser = await openBrowser();
  const { page } = browser;
  t.teardown(browser.close);
  const comeBack = async (parameters: Record<string, string>): Promise<void> => {
    const { state, cookie } = await beginLogin(port);
    const [name = '', value = ''] = cookie.split('=');
    await page.context().addCookies([{ name, value, url }]);
    await page.goto(`${url}/oauth/callback?${new URLSearchParams({ state, ...parameters })}`);
  };
  credential.behaviour.exchange = async () => tokenAnswer({ account });
  await comeBack({ code: 'c' });
  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
  await isHarmless(t, browser, 'success');

  credential.behaviour.exchange = async () => {
    throw new SidebearerError('exchange_failed', { providerCode: evil, reason: evil, systemCode: evil, status: 400 });
  };
  await comeBack({ code: 'c' });
  await page.getByText('exchange_failed').waitFor();
  await isHarmless(t, browser, 'a failed exchange');

  await comeBack({ error: evil, error_description: evil, error_uri: 'javascript:window.ran=5' });
  await isHarmless(t, browser, 'a refusal');

  credential.behaviour.status = () => credentialStatus(evilStatus);
  await page.goto(`${url}/oauth/start?credential=codex`);
  await isHarmless(t, browser, 'the question whether to replace');
});

t.test('on the page of a login on another device', { skip }, async (t) => {
  const { url } = await startEvil(t);
  const browser = await openBrowser();
  t.teardown(browser.close);
  await browser.page.goto(`${url}/oauth/device?credential=codex`);
  await browser.page.getByRole('button', { name: 'Get a code' }).click();
  await browser.page.getByText('Waiting for you to confirm.').waitFor();
  await isHarmless(t, browser, 'the code');
  const link = browser.page.getByRole('link', { name: 'https://idp.example/' });
  t.match(await link.getAttribute('href'), /^https:\/\/idp\.example\//);
  t.equal(await link.getAttribute('rel'), 'noopener noreferrer');
});

t.test('were it markup, the policy of each page would not let it run', { skip }, async (t) => {
  const { url } = await startEvil(t);
  const { page, complaints, close } = await openBrowser();
  t.teardown(close);
  await page.route('**/*', async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replace('</main>', `${evil}<base href="https://evil.test/"></main>`);
    await route.fulfill({ response, body });
  });
  for (const path of ['/?refresh=off', '/oauth/start', '/oauth/callback', '/oauth/device?credential=codex']) {
    await page.goto(url + path, { waitUntil: 'load' });
    t.ok((await page.locator('.evil').count()) > 0, 'it is markup now');
    t.equal(await page.evaluate('window.ran'), undefined, path);
    t.equal(await page.evaluate('new URL(document.baseURI).origin'), url, 'nor does it turn links elsewhere');
  }
  t.match(complaints.join('\n'), 'violates the following Content Security Policy directive');
});
