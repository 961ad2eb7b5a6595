// The status page: every credential, how it is, what failed last and what to do about it. Reads, never acts.
import type { CredentialStatus, PublishedState } from '../../credentials/bearer.ts';
import { type Content, html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import { accountFacts, tokenLife } from './account.ts';
import { facts, layout } from './layout.ts';
import { moment, timeOfDay } from './moment.ts';

export interface StatusView {
  readonly texts: Texts;
  readonly version: string;
  readonly nowMs: number;
  readonly credentials: readonly { readonly status: CredentialStatus; readonly hasLogin: boolean }[];
  readonly notices: readonly string[];
  readonly isRefreshing: boolean;
}

const tones: Readonly<Record<PublishedState, 'good' | 'busy' | 'warn' | 'bad' | 'calm'>> = {
  absent: 'calm',
  dead: 'bad',
  cooling: 'warn',
  refreshing: 'busy',
  refused: 'bad',
  due: 'busy',
  fresh: 'good',
};

export function statusPage(view: StatusView): Markup {
  const { texts, credentials, notices, nowMs, isRefreshing, version } = view;
  const words = texts.status;
  const usable = credentials.filter(({ status }) => status.usable).length;
  return layout(
    { texts, title: words.title, version, ...(isRefreshing ? { refreshSeconds: 5 } : {}) },
    html`<h1>${words.title}</h1>
<p class="lead">${credentials.length === 0 ? words.none : words.summary(usable, credentials.length)}</p>
${notices.length > 0 && html`<section class="card note warn" aria-label="${words.notices}">${notices.map((notice) => html`<p>${notice}</p>`)}</section>`}
${credentials.map(({ status, hasLogin }) => card(texts, status, hasLogin, nowMs))}
<p class="soft">${words.asOf} ${timeOfDay(nowMs)}. ${
      isRefreshing
        ? html`${words.refreshes} <a href="/?refresh=off">${words.stopRefreshing}</a>`
        : html`${words.stands} <a href="/">${words.goOnRefreshing}</a>`
    }</p>`,
  );
}

function card(texts: Texts, status: CredentialStatus, hasLogin: boolean, nowMs: number): Markup {
  const words = texts.status;
  const at = (atMs: number | undefined): Content => atMs !== undefined && moment(texts, atMs, nowMs);
  // A moment that is over although its event is still to come: it is coming now.
  const ahead = (atMs: number | undefined): Content =>
    atMs !== undefined && moment(texts, Math.max(atMs, nowMs), nowMs);
  const label = status.state === 'dead' && !hasLogin ? words.deadWithoutLogin : words.state[status.state];
  const id = `credential-${status.name}`;
  return html`<article class="card" aria-labelledby="${id}">
<div class="top"><h2 id="${id}">${status.name}</h2><span class="badge ${tones[status.state]}">${label}</span></div>
<p class="soft">${words.provider[status.provider]} · ${words.grant[status.grant]}</p>
${facts([
  ...accountFacts(texts, status.account),
  [words.token, tokenLife(texts, status, nowMs)],
  [words.cooling, ahead(status.coolingUntilMs)],
  [words.nextRefresh, status.coolingUntilMs === undefined && ahead(status.refreshDueAtMs)],
  [words.lastRefresh, at(status.lastRefreshAtMs)],
  [words.grantEnds, at(status.grantExpiresAtMs)],
  [words.waiting, status.waiting > 0 && status.waiting],
  [words.breaker, status.breaker !== 'closed' && words.breakerState[status.breaker]],
])}
${status.isDirty && html`<div class="note warn"><h3>${words.dirtyTitle}</h3><p>${words.dirty}</p></div>`}
${lastError(texts, status, nowMs)}
${hasLogin && loginLink(texts, status)}
</article>
`;
}

function lastError(texts: Texts, { lastError: error, usable }: CredentialStatus, nowMs: number): Content {
  if (error === undefined) return undefined;
  const words = texts.failure;
  return html`<div class="note ${usable ? 'warn' : 'bad'}"><h3>${texts.error.message(error.code)}</h3><p>${texts.error.next(error.code, error.next)}</p>
<p class="soft">${texts.status.failedAt} ${moment(texts, error.atMs, nowMs)} · ${words.code} <code>${error.code}</code>${
    error.providerCode !== undefined && html` · ${words.providerCode} <code>${error.providerCode}</code>`
  }</p></div>`;
}

function loginLink(texts: Texts, { name, state, usable }: CredentialStatus): Markup {
  const isNeeded = state === 'absent' || state === 'dead';
  const words = texts.status;
  const label = state === 'absent' && !usable ? words.logIn(name) : words.logInAgain(name);
  const href = `/oauth/start?credential=${encodeURIComponent(name)}`;
  return html`<div class="actions"><a class="${isNeeded ? 'button' : 'button quiet'}" href="${href}">${label}</a></div>`;
}
