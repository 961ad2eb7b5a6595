// The automated look at a page for what keeps people out, and the ways of looking that every page is held to.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds wrong, a line each. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = (await page.evaluate("axe.run({ resultTypes: ['violations'] })")) as {
    violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
  };
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
}

export const looks = [
  { colorScheme: 'light', viewport: { width: 1100, height: 900 } },
  { colorScheme: 'dark', viewport: { width: 1100, height: 900 } },
  { colorScheme: 'light', viewport: { width: 360, height: 700 }, locale: 'zh-CN' },
] as const;
