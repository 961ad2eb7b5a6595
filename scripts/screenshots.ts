// Takes the pictures in docs/images/ of the pages as they are now, in Chromium, over credentials that are made up and a
// clock that stands still: `npm run screenshots`. Look at them before they are committed.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { SidebearerError } from '../src/errors/sidebearer-error.ts';
import type { Account } from '../src/providers/provider.ts';
import { launchChromium, missing } from '../test/_chromium-launch.ts';
import { withDevice } from '../test/oauth/_device.ts';
import { beginLogin, createFakeCredential, credentialStatus, startPort } from '../test/oauth/_fakes.ts';
import { gallery } from '../test/oauth/_gallery.ts';
import { shrinkPng } from './shrink-png.ts';

const folder = join(import.meta.dirname, '..', 'docs', 'images');
const nowMs = 1_800_000_000_000;
const day = 86_400_000;
const version = '0.1.0';
const wide = { viewport: { width: 800, height: 600 } };
const phone = { viewport: { width: 375, height: 667 } };

const ends: (() => Promise<void>)[] = [];
const lifetime = { teardown: (end: () => Promise<void>) => void ends.push(end) };

/** One picture: the whole page, once `text` is on it. */
async function take(
  browser: Browser,
  name: string,
  look: BrowserContextOptions,
  text: string,
  visit: (page: Page) => Promise<unknown>,
): Promise<void> {
  const context = await browser.newContext({ locale: 'en-GB', ...look });
  const page = await context.newPage();
  await page.clock.install({ time: nowMs - 1_000 });
  await page.clock.pauseAt(nowMs);
  await visit(page);
  await page.getByText(text).first().waitFor();
  const png = shrinkPng(await page.screenshot({ fullPage: true, animations: 'disabled' }));
  await context.close();
  writeFileSync(join(folder, `${name}.png`), png);
  console.log(`${name}.png: ${Math.round(png.length / 1024)} KB`);
}

const newTokens = { generation: 1, state: 'fresh', usable: true, expiresAtMs: nowMs + 10 * day } as const;

/** A login that comes back with these parameters; the exchange, where it comes to that, fails as told. */
async function startLogin(parameters: Record<string, string>, failure?: SidebearerError, stored?: Account) {
  const credential = createFakeCredential();
  const before = stored === undefined ? {} : ({ ...newTokens, account: stored } as const);
  credential.behaviour.status = () => credentialStatus(before);
  const account = { email: 'ada@example.test', plan: 'pro', id: 'acct-0123', issuer: 'https://auth.example' };
  credential.behaviour.exchange = async () => {
    if (failure !== undefined) throw failure;
    const status = credentialStatus({ ...newTokens, account, refreshDueAtMs: nowMs + 5 * day });
    credential.behaviour.status = () => status;
    return {
      accessToken: 'x',
      refreshToken: 'x',
      obtainedAtMs: nowMs,
      expiresAtMs: nowMs + 10 * day,
      account,
      warnings: [],
    };
  };
  credential.behaviour.accept = async () => undefined;
  const { port } = await startPort(lifetime, [credential], { version, storedIn: 'secret sidebearer-codex' });
  const { state, cookie } = await beginLogin(port);
  const [name = '', value = ''] = cookie.split('=');
  const url = `http://localhost:${port}`;
  return async (page: Page) => {
    await page.context().addCookies([{ name, value, url }]);
    await page.goto(`${url}/oauth/callback?${new URLSearchParams({ state, ...parameters })}`);
  };
}

async function takeAll(browser: Browser): Promise<void> {
  // Some hours before the clock of the pictures.
  const configuration = () => ({ hash: '3f9c1a2b', readAtMs: Date.UTC(2027, 0, 15, 2) });
  const { port } = await startPort(lifetime, gallery().slice(0, 4), { version, configuration });
  const showStatus = (page: Page) => page.goto(`http://localhost:${port}/`);
  await take(browser, 'status-light', { ...wide, colorScheme: 'light' }, 'This page is live.', showStatus);
  await take(browser, 'status-dark', { ...wide, colorScheme: 'dark' }, 'This page is live.', showStatus);
  await take(browser, 'status-phone', { ...phone, colorScheme: 'light' }, 'This page is live.', showStatus);

  await take(browser, 'success', wide, 'You are logged in', await startLogin({ code: 'c' }));
  const denied = new SidebearerError('authorize_denied', { providerCode: 'access_denied' });
  const words = 'The resource owner or authorization server denied the request';
  await take(
    browser,
    'failure-denied',
    wide,
    'authorize_denied',
    await startLogin({ error: 'access_denied', error_description: words }, denied),
  );
  const unreachable = new SidebearerError('exchange_unreachable', { systemCode: 'ENOTFOUND' });
  await take(
    browser,
    'failure-unreachable',
    wide,
    'exchange_unreachable',
    await startLogin({ code: 'c' }, unreachable),
  );
  await take(
    browser,
    'failure-other-account',
    wide,
    'account_differs',
    await startLogin({ code: 'c' }, new SidebearerError('account_differs'), {
      email: 'grace@example.test',
      id: 'acct-0456',
    }),
  );

  const device = await startPort(lifetime, [withDevice(createFakeCredential())], { version });
  await take(browser, 'device', wide, 'Waiting for you to confirm.', async (page) => {
    await page.goto(`http://localhost:${device.port}/oauth/device?credential=codex`);
    await page.getByRole('button', { name: 'Get a code' }).click();
  });
}

if (missing !== false) throw new Error(missing);
mkdirSync(folder, { recursive: true });
const browser = await launchChromium();
try {
  await takeAll(browser);
} finally {
  await browser.close();
  for (const end of ends) await end();
}
