// Debian's Chromium, as every test with a browser uses it: started when it is first needed, one for each test file.
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import t from 'tap';
import { launchChromium, missing } from './_chromium-launch.ts';

/** For `t.test`: why there is no browser, or false. */
export const skip = missing;

let launched: Promise<Browser> | undefined;
t.teardown(async () => (await launched)?.close());

export interface OpenBrowser {
  readonly page: Page;
  /** What it says on its console, and errors of scripts, each with where it came from. */
  readonly complaints: string[];
  close(): Promise<void>;
}

/** A browser that was never here. */
export async function openBrowser(options: BrowserContextOptions = {}): Promise<OpenBrowser> {
  launched ??= launchChromium();
  const context = await (await launched).newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`${message.location().url}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, complaints, close: () => context.close() };
}
