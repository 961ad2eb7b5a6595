// An admin's login, by hand: the start page, its button, the provider's button, the page at the end.
import { type Browser, clickThrough, createBrowser } from '../demo/_login.ts';

export interface LoginEnd {
  readonly status: number;
  readonly html: string;
  readonly browser: Browser;
}

/**
 * @param oauthUrl `http://localhost:PORT`, the origin of the redirect URI
 * @param extra further fields of the start form
 */
export async function logIn(
  oauthUrl: string,
  credential: string,
  choice: 'continue' | 'deny' = 'continue',
  extra: Record<string, string> = {},
): Promise<LoginEnd> {
  const browser = createBrowser();
  const atProvider = await startLogin(browser, oauthUrl, credential, extra);
  const callback = await clickThrough(browser, atProvider, choice);
  const page = await browser.send(callback.href);
  return { status: page.status, html: await page.text(), browser };
}

/** Posts the start form; where the browser is sent next. */
export async function startLogin(
  browser: Browser,
  oauthUrl: string,
  credential: string,
  extra: Record<string, string> = {},
): Promise<URL> {
  const started = await browser.send(`${oauthUrl}/oauth/start`, {
    method: 'POST',
    headers: { origin: oauthUrl, 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ credential, ...extra }).toString(),
  });
  const location = started.headers.get('location');
  if (location === null) throw new Error(`the start answered ${started.status}: ${await started.text()}`);
  return new URL(location);
}
