// The pages that a login leads to, in a real browser: axe-core finds nothing that keeps anybody out, and nothing is wider
// than the window, whatever long words a provider has.
import t from 'tap';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { openBrowser, skip } from '../_chromium.ts';
import { looks, violations } from './_axe.ts';
import { withDevice } from './_device.ts';
import { beginLogin, createFakeCredential, startPort, tokenAnswer } from './_fakes.ts';

for (const look of looks) {
  const { colorScheme, viewport } = look;
  t.test(
    `${colorScheme}, ${viewport.width} px: each page that a login leads to keeps nobody out`,
    { skip },
    async (t) => {
      const credential = withDevice(createFakeCredential());
      const { port } = await startPort(t, [credential], { storedIn: 'file /var/lib/sidebearer' });
      const { page, complaints, close } = await openBrowser(look);
      t.teardown(close);
      const url = `http://localhost:${port}`;
      const isFine = async (what: string): Promise<void> => {
        t.strictSame(await violations(page), [], what);
        const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
        t.ok(Number(overflow) <= 0, `${what} is not wider than the window`);
      };
      const comeBack = async (parameters: Record<string, string>): Promise<void> => {
        const { state, cookie } = await beginLogin(port);
        const [name = '', value = ''] = cookie.split('=');
        await page.context().addCookies([{ name, value, url }]);
        await page.goto(`${url}/oauth/callback?${new URLSearchParams({ state, ...parameters })}`);
      };
      const failures: readonly ErrorCode[] = [
        'account_differs',
        'authorize_denied',
        'exchange_unreachable',
        'store_write_failed',
      ];
      for (const code of failures) {
        credential.behaviour.exchange = () =>
          Promise.reject(new SidebearerError(code, { providerCode: 'x'.repeat(100) }));
        await comeBack({ error: 'access_denied', error_description: `${'word '.repeat(40)}${'y'.repeat(200)}` });
        await page.getByText(code).waitFor();
        await isFine(code);
      }
      await page.goto(`${url}/oauth/device?credential=codex`);
      await page.getByRole('main').getByRole('button').click();
      await page.locator('#user-code').waitFor();
      await isFine('the code of a login on another device');

      const { refreshToken: _none, ...tokens } = tokenAnswer();
      credential.behaviour.exchange = async () => tokens;
      await comeBack({ code: 'c' });
      await page.getByText('no_refresh_token').waitFor();
      await isFine('success, with a warning');
      t.strictSame(
        complaints.filter((complaint) => !/the server responded with a status of [45]/.test(complaint)),
        [],
      );
    },
  );
}
