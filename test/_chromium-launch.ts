// Where Debian's Chromium is and how it is started: for tests, and for the script that takes the documents' pictures.
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const executablePath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
/** Why there is no browser, or false. */
export const missing = existsSync(executablePath) ? false : `no Chromium at ${executablePath} (CHROMIUM_PATH)`;

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

export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath, args });
}
