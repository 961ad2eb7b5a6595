// The page after a login that worked: whose token it is, how long it lives, where it is kept.
import type { CredentialStatus } from '../../credentials/bearer.ts';
import { catalogue, type ErrorCode } from '../../errors/catalogue.ts';
import { html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import { accountFacts, tokenLife } from './account.ts';
import { facts, layout, successMark } from './layout.ts';
import { moment } from './moment.ts';
import { countdownScript } from './scripts.ts';

export interface SuccessView {
  readonly texts: Texts;
  readonly version: string;
  readonly nowMs: number;
  readonly status: CredentialStatus;
  /** The store, in words. */
  readonly storedIn: string | undefined;
  readonly warnings: readonly ErrorCode[];
}

/** Long enough to read the page. */
const COUNTDOWN_SECONDS = 20;

export function successPage({ texts, version, nowMs, status, storedIn, warnings }: SuccessView): Markup {
  const words = texts.success;
  const { refreshDueAtMs } = status;
  return layout(
    { texts, title: words.title, version, script: countdownScript },
    html`<section class="card" role="status">
${successMark}
<h1>${words.title}</h1>
<p class="lead">${words.lead(status.name)}</p>
${facts([
  ...accountFacts(texts, status.account),
  [texts.status.token, tokenLife(texts, status, nowMs)],
  [texts.status.nextRefresh, refreshDueAtMs !== undefined && moment(texts, refreshDueAtMs, nowMs)],
  [words.storedIn, storedIn],
])}
${warnings.map(
  (
    code,
  ) => html`<div class="note warn"><h2>${words.warning}</h2><p>${texts.error.message(code)}. ${texts.error.next(code, catalogue[code].next)}</p>
<p class="soft">${texts.failure.code} <code>${code}</code></p></div>`,
)}
<div class="actions"><a class="button quiet" href="/">${words.toStatus}</a>
<p class="soft" id="countdown" data-to="/" hidden>${words.countdown} <span>${COUNTDOWN_SECONDS}</span> s.
<button type="button" class="link">${words.stay}</button></p></div>
</section>`,
  );
}
