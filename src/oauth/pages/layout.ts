// What all pages have in common: landmarks, the style sheet, the mark, a way home. No script, nothing fetched.
import { type Content, html, type Markup, verbatim } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import type { PageScript } from './scripts.ts';
import { style } from './style.ts';

export interface PageFrame {
  readonly texts: Texts;
  readonly title: string;
  readonly version: string;
  readonly script?: PageScript;
  /** Seconds after which a browser without scripts loads the page again. */
  readonly refreshSeconds?: number;
}

const icon =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32'" +
  " rx='8' fill='%232a55d4'/%3E%3Cpath d='M9 11h8v10H9zM20 16h5m-2.5-2.5L25 16l-2.5 2.5' fill='none' stroke='white'" +
  " stroke-width='2.4' stroke-linejoin='round' stroke-linecap='round'/%3E%3C/svg%3E";

const logo = html`<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" fill="#2a55d4"/><path
d="M9 11h8v10H9zM20 16h5m-2.5-2.5L25 16l-2.5 2.5" fill="none" stroke="#fff" stroke-width="2.4"
stroke-linejoin="round" stroke-linecap="round"/></svg>`;

/** A whole document around `content`, which is what stands in `main`. */
export function layout(frame: PageFrame, content: Content): Markup {
  const { texts, script, refreshSeconds } = frame;
  return html`<!doctype html>
<html lang="${texts.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">${
    refreshSeconds !== undefined &&
    html`
<noscript><meta http-equiv="refresh" content="${refreshSeconds}"></noscript>`
  }
<title>${frame.title} · ${texts.product}</title>
<link rel="icon" href="${icon}">
<style>${verbatim(style)}</style>
</head>
<body>
<a class="skip" href="#content">${texts.skip}</a>
<header><a href="/" title="${texts.home}">${logo}${texts.product}</a></header>
<main id="content">
${content}
</main>
<footer>${texts.version(frame.version)}</footer>${
    script !== undefined &&
    html`
<script>${verbatim(script.text)}</script>`
  }
</body>
</html>
`;
}

/** A list of names and values; the values that are absent are left out with their names. */
export function facts(rows: readonly (readonly [name: string, value: Content])[]): Markup {
  const present = rows.filter(([, value]) => value !== undefined && value !== false && value !== '');
  return html`<dl>${present.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

export const successMark = html`<div class="mark good"><svg viewBox="0 0 24 24" aria-hidden="true"><path
d="M5 12.5l4.5 4.5L19 7.5" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round"
stroke-linejoin="round"/></svg></div>`;

export const failureMark = html`<div class="mark bad"><svg viewBox="0 0 24 24" aria-hidden="true"><path
d="M12 4.5v9m0 5v.2" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round"/></svg></div>`;
