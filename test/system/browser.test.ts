// An admin's login in a real browser, by clicks alone, at a real provider: from the status page to the status page,
// and then the token is there. And a login that is denied, which says what to do next.
import type { Page } from 'playwright-core';
import t from 'tap';
import { demoClient } from '../../demo/provider.ts';
import { openBrowser, skip } from '../_chromium.ts';
import { logIn } from './_login.ts';
import { runProgram } from './_process.ts';
import { callEcho, createWorld, metric } from './_world.ts';

/** From the status page to the provider's question. */
async function goToProvider(page: Page, oauthUrl: string, issuer: string): Promise<void> {
  await page.goto(oauthUrl);
  await page.getByRole('link', { name: 'Log in for demo' }).click();
  await page.getByRole('button', { name: `Continue to ${new URL(issuer).host}` }).click();
  await page.getByRole('heading', { name: 'Demo identity provider' }).waitFor();
}

t.test('an admin logs in by clicks, and the next request carries the token', { skip }, async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const program = await runProgram(world.config());
  const { page, complaints, close } = await openBrowser();
  await goToProvider(page, world.oauthUrl, world.provider.issuer);
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click();

  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
  const success = await page.getByRole('main').innerText();
  t.match(success, demoClient.email);
  t.match(success, /expires\s+in \d+ s/);
  t.match(success, 'You may close this page');
  t.match(success, /The status page opens in \d+ s\./);
  await page.getByRole('button', { name: 'Stay here' }).click();
  t.equal(await page.getByText('The status page opens in').count(), 0);
  t.same(
    (await page.context().cookies()).filter(({ name }) => name.startsWith('sidebearer')),
    [],
    'the cookie of the login is gone',
  );

  await page.getByRole('link', { name: 'See all credentials' }).click();
  await page.getByRole('heading', { name: 'demo', exact: true }).waitFor();
  t.equal(page.url(), `${world.oauthUrl}/`);
  t.match(await page.getByRole('main').innerText(), /Ready/);
  t.match(await page.getByRole('main').innerText(), demoClient.email);

  const { response, echo } = await callEcho(`${program.proxyUrl}/after`);
  t.equal(response.status, 200);
  t.ok(echo?.token, 'the upstream knows the token');
  t.equal(await metric(program.telemetryUrl, 'sidebearer_logins_total{credential="demo",outcome="succeeded"}'), 1);
  const { issuer } = world.provider;
  t.same(
    complaints.filter((complaint) => !complaint.startsWith(issuer)),
    [],
    'no policy of ours was broken',
  );
  await close();
  await program.end();
  await world.close();
});

t.test('a denied login is authorize_denied, with the next step, and the next try works', { skip }, async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  const program = await runProgram(world.config());
  const { page, close } = await openBrowser();
  await goToProvider(page, world.oauthUrl, world.provider.issuer);
  await page.getByRole('button', { name: 'Deny' }).click();

  await page.getByRole('heading', { name: 'The provider says that access was denied' }).waitFor();
  const failure = await page.getByRole('main').innerText();
  t.match(failure, /What to do\s+Log in with an account that may use this application and consent, then try again\./);
  t.match(failure, /authorize_denied/);
  t.match(failure, /access_denied/);
  t.match(failure, /The demo user said no/, 'what the provider says');
  t.equal((await callEcho(`${program.proxyUrl}/x`)).response.headers.get('sidebearer-error'), 'grant_absent');
  t.equal(
    await metric(program.telemetryUrl, 'sidebearer_logins_total{credential="demo",outcome="authorize_denied"}'),
    1,
  );

  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('button', { name: `Continue as ${demoClient.email}` }).click();
  await page.getByRole('heading', { name: 'You are logged in' }).waitFor();
  t.equal((await callEcho(`${program.proxyUrl}/x`)).response.status, 200);
  await close();
  await program.end();
  await world.close();
});

t.test(
  'the status page follows a login, a refresh and a restart by itself, and keeps the focus',
  { skip },
  async (t) => {
    const world = await createWorld({ tokenSeconds: 60 });
    let program = await runProgram(world.config());
    const { page, close } = await openBrowser();
    await page.goto(world.oauthUrl);
    await page.getByText('This page is live.').waitFor();
    await page.getByText('No token yet').waitFor();
    await page.getByRole('link', { name: 'Log in for demo' }).focus();
    const loadedAt = await page.evaluate(() => performance.timeOrigin);

    await logIn(world.oauthUrl, 'demo');
    await page.getByText('Ready', { exact: true }).waitFor();
    await page.getByText(demoClient.email).waitFor();
    t.equal(await page.locator(':focus').innerText(), 'Log in again for demo', 'the focus stays');

    await program.end('SIGKILL');
    await page.getByText('The connection to Sidebearer is lost.').waitFor();
    program = await runProgram(world.config());
    await page.getByText('This page is live.').waitFor();
    await page.getByText('Ready', { exact: true }).waitFor();
    t.equal(await page.evaluate(() => performance.timeOrigin), loadedAt, 'it was never loaded again');
    await close();
    t.equal(await program.end(), 0);
    await world.close();
  },
);
