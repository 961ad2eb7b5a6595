// The page for every failure: what it is, what to do, the code to look for, and a button to try again.
// What a provider said stands there as text, cut short, never as markup.
import type { SidebearerError } from '../../errors/sidebearer-error.ts';
import { html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import { facts, failureMark, layout } from './layout.ts';
import { type LoginForm, loginForm } from './login-form.ts';

export interface FailureView {
  readonly texts: Texts;
  readonly version: string;
  readonly error: SidebearerError;
  readonly credential: string | undefined;
  /** The provider's `error_description`. */
  readonly description: string | undefined;
  /** How to go on: by a form that starts the login again, or by a link to the start page. */
  readonly again: { readonly form: LoginForm } | { readonly href: string } | undefined;
}

const MAX_DESCRIPTION_LENGTH = 300;

export function failurePage({ texts, version, error, credential, description, again }: FailureView): Markup {
  const words = texts.failure;
  const { row, details } = error;
  const message = texts.error.message(error.code);
  const toStatus = html`<a href="/">${words.toStatus}</a>`;
  return layout(
    { texts, title: message, version },
    html`<section class="card" role="alert">
${failureMark}
<h1>${message}</h1>
${details.reason !== undefined && html`<p class="lead" lang="en">${details.reason}</p>`}
<h2>${words.next}</h2>
<p>${texts.error.next(error.code, error.next)}</p>
${facts([
  [words.code, html`<code>${error.code}</code>`],
  [words.status, row.status],
  [words.credential, credential],
  [words.providerCode, details.providerCode !== undefined && html`<code>${details.providerCode}</code>`],
  [words.providerStatus, details.status],
  [words.systemCode, details.systemCode !== undefined && html`<code>${details.systemCode}</code>`],
  [words.description, description !== undefined && plainText(description)],
])}
${
  again !== undefined && 'form' in again
    ? loginForm(texts, again.form, toStatus)
    : html`<div class="actions">${again !== undefined && html`<a class="button" href="${again.href}">${words.again}</a>`}${toStatus}</div>`
}
</section>`,
  );
}

/** Without control and direction characters, in one line, not too long. */
function plainText(text: string): string {
  const plain = text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();
  const characters = [...plain];
  return characters.length <= MAX_DESCRIPTION_LENGTH
    ? plain
    : `${characters.slice(0, MAX_DESCRIPTION_LENGTH).join('')}…`;
}
