// A browser without a browser: follows redirects with its cookies and clicks the one button of the demo provider.

export interface Browser {
  /** One request, its cookies kept, redirects not followed. */
  send(url: string, init?: RequestInit): Promise<Response>;
}

export function createBrowser(): Browser {
  const cookies = new Map<string, string>();
  return {
    async send(url, init = {}) {
      const headers = new Headers(init.headers);
      if (cookies.size > 0) headers.set('cookie', [...cookies].map(([name, value]) => `${name}=${value}`).join('; '));
      const response = await fetch(url, { ...init, headers, redirect: 'manual' });
      for (const line of response.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (value === '') cookies.delete(name);
        else cookies.set(name, value);
      }
      return response;
    },
  };
}

/**
 * From the authorization URL to the redirect URI that the provider sends the browser back to.
 * @param choice which of the two buttons is clicked
 */
export async function clickThrough(browser: Browser, start: URL, choice: 'continue' | 'deny'): Promise<URL> {
  let location = start;
  for (let step = 0; step < 10; step += 1) {
    if (location.origin !== start.origin) return location;
    const isQuestion = location.pathname.startsWith('/interaction/');
    const response = isQuestion
      ? await browser.send(`${location.href}/${choice}`, { method: 'POST' })
      : await browser.send(location.href);
    const next = response.headers.get('location');
    if (next === null) throw new Error(`${location.pathname} answered ${response.status}: ${await response.text()}`);
    location = new URL(next, location);
  }
  throw new Error('too many redirects');
}
