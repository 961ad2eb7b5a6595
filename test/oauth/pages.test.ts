// Every page in a real browser: it says what it should without a broken policy, and axe-core finds nothing that keeps
// anybody out: light and dark, wide and narrow, in each language.
import t from 'tap';
import { openBrowser, skip } from '../_chromium.ts';
import { looks, violations } from './_axe.ts';
import { startPort } from './_fakes.ts';
import { gallery } from './_gallery.ts';

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
