// Every page in a real browser: it says what it should without a broken policy, and axe-core finds nothing that keeps
// anybody out: light and dark, wide and narrow, in each language.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import t from 'tap';
import { catalogue, type ErrorCode } from '../../src/errors/catalogue.ts';
import { openBrowser, skip } from '../_chromium.ts';
import { withDevice } from './_device.ts';
import { createFakeCredential, credentialStatus, type FakeCredential, startPort } from './_fakes.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const minute = 60_000;
const nowMs = 1_800_000_000_000;

/** What axe-core finds wrong, a line each. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = (await page.evaluate("axe.run({ resultTypes: ['violations'] })")) as {
    violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
  };
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
}

function failing(code: ErrorCode): { code: ErrorCode; atMs: number; next: string } {
  return { code, atMs: nowMs - minute, next: catalogue[code].next };
}

/** One credential in each state that looks different. */
function gallery(): FakeCredential[] {
  const account = { email: 'ada@example.test', plan: 'pro', id: 'acct-0123' };
  const statuses = [
    {
      name: 'codex',
      state: 'fresh',
      usable: true,
      account,
      expiresAtMs: nowMs + 9 * minute,
      refreshDueAtMs: nowMs + 60_000,
    },
    { name: 'search', state: 'absent' },
    {
      name: 'billing',
      state: 'cooling',
      usable: true,
      coolingUntilMs: nowMs + 4 * minute,
      breaker: 'open',
      lastError: failing('token_endpoint_failing'),
    },
    { name: 'mail', state: 'dead', lastError: failing('grant_reused'), expiresAtMs: nowMs - minute },
    {
      name: 'store',
      state: 'refused',
      usable: true,
      isDirty: true,
      waiting: 3,
      lastError: failing('access_token_refused'),
    },
  ] as const;
  return statuses.map((status) => {
    const credential = withDevice(createFakeCredential(status.name));
    credential.behaviour.status = () => credentialStatus(status);
    return credential;
  });
}

const looks = [
  { colorScheme: 'light', viewport: { width: 1100, height: 900 } },
  { colorScheme: 'dark', viewport: { width: 1100, height: 900 } },
  { colorScheme: 'light', viewport: { width: 360, height: 700 }, locale: 'zh-CN' },
] as const;

for (const look of looks) {
  const { colorScheme, viewport } = look;
  t.test(
    `${colorScheme}, ${viewport.width} px: every page keeps nobody out and breaks no policy`,
    { skip },
    async (t) => {
      const { port } = await startPort(t, gallery());
      const { page, complaints, close } = await openBrowser(look);
      t.teardown(close);
      for (const path of [
        '/',
        '/?refresh=off',
        '/?refresh=off&credential=codex&result=refreshed',
        '/?refresh=off&credential=codex&result=breaker_open',
        '/oauth/device?credential=codex',
        '/oauth/start',
        '/oauth/start?credential=codex',
        '/oauth/start?credential=mail',
        '/oauth/callback?state=nobody',
        '/nowhere',
      ]) {
        await page.goto(`http://localhost:${port}${path}`);
        t.strictSame(await violations(page), [], path);
        const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
        t.ok(Number(overflow) <= 0, `${path} is not wider than the window`);
      }
      t.strictSame(
        complaints.filter((complaint) => !/the server responded with a status of 4/.test(complaint)),
        [],
      );
    },
  );
}

t.test('axe-core would find what is wrong', { skip }, async (t) => {
  const { port } = await startPort(t, gallery());
  const { page, close } = await openBrowser();
  t.teardown(close);
  await page.goto(`http://localhost:${port}/?refresh=off`);
  await page.evaluate('document.querySelector(".lead").innerHTML = "<input>"');
  t.match(await violations(page), [/^label: <input>/]);
});

t.test('without scripts the status page loads itself again, and says so', { skip }, async (t) => {
  const { port } = await startPort(t, gallery());
  const { page, close } = await openBrowser({ javaScriptEnabled: false });
  t.teardown(close);
  await page.goto(`http://localhost:${port}/`);
  await page.getByText('This page updates itself every 5 seconds.').waitFor();
  t.equal(await page.getByText('This page is live.').isVisible(), false);
  await page.getByRole('link', { name: 'Stop updating' }).click();
  await page.getByText('This page does not update itself.').waitFor();
});
