// Debian's Chromium, as every test with a browser uses it: started when it is first needed, one for each test file.
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import t from 'tap';

const executablePath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
/** For `t.test`: why there is no browser, or false. */
export const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath} (CHROMIUM_PATH)`;

const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

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
  launched ??= chromium.launch({ executablePath, args });
  const context = await (await launched).newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`${message.location().url}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, complaints, close: () => context.close() };
}
