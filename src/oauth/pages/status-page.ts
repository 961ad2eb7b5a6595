// The status page: every credential, how it is, what failed last and what to do about it. Reads, never acts.
import type { CredentialStatus, PublishedState } from '../../credentials/bearer.ts';
import { catalogue } from '../../errors/catalogue.ts';
import type { ConfigurationMistake, ConfigurationStatus } from '../configuration-status.ts';
import { type Content, html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import { accountFacts, tokenLife } from './account.ts';
import { actions, type Orders } from './actions.ts';
import { facts, layout } from './layout.ts';
import { moment } from './moment.ts';
import { type OrderResult, resultNote } from './order-result.ts';
import { pasteForm } from './paste-form.ts';
import { liveScript } from './scripts.ts';

export interface StatusView {
  readonly texts: Texts;
  readonly version: string;
  readonly nowMs: number;
  readonly credentials: readonly ({ readonly status: CredentialStatus } & Orders)[];
  /** What came of the order that led here. */
  readonly result?: OrderResult | undefined;
  readonly notices: readonly string[];
  readonly configuration: ConfigurationStatus | undefined;
  /** What a login ended at may be pasted here: its cookie belongs to the name that this browser uses. */
  readonly hasPaste: boolean;
  /** It is kept up to date: by its script, else by loading it again. */
  readonly isLive: boolean;
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

/** A part of the page that changes by itself: the content of the element with this id. */
export interface Region {
  readonly id: string;
  readonly content: string;
}

type StatusFacts = Pick<StatusView, 'texts' | 'nowMs' | 'credentials' | 'notices' | 'configuration'>;

export function statusPage(view: StatusView): Markup {
  const { texts, credentials, isLive, version } = view;
  const words = texts.status;
  return layout(
    { texts, title: words.title, version, ...(isLive ? { script: liveScript, refreshSeconds: 5 } : {}) },
    html`<h1>${words.title}</h1>
<p class="lead" id="summary" role="status">${summary(view)}</p>
${view.result && resultNote(texts, view.result)}
<div id="notices">${notices(view)}</div>
<div id="refused">${refused(view)}</div>
${credentials.map((each) => card(view, each))}
${view.hasPaste && pasteForm(texts, false)}
<p class="soft" id="configuration">${configuration(view)}</p>
${isLive ? liveLine(texts) : html`<p class="soft">${words.stands} <a href="/">${words.goOnRefreshing}</a></p>`}`,
  );
}

/** What the page shows now, region by region. */
export function statusRegions(view: StatusFacts): Region[] {
  const region = (id: string, content: Content): Region => ({ id, content: html`${content}`.toString() });
  return [
    region('summary', summary(view)),
    region('notices', notices(view)),
    region('refused', refused(view)),
    region('configuration', configuration(view)),
    ...view.credentials.flatMap((each) => [
      region(`${idOf(each)}-state`, badge(view.texts, each)),
      region(`${idOf(each)}-facts`, details(view, each)),
      region(`${idOf(each)}-actions`, actions(view.texts, each.status, each)),
    ]),
  ];
}

type Shown = StatusView['credentials'][number];

function idOf({ status }: Shown): string {
  return `credential-${status.name}`;
}

function summary({ texts, credentials }: StatusFacts): string {
  const usable = credentials.filter(({ status }) => status.usable).length;
  return credentials.length === 0 ? texts.status.none : texts.status.summary(usable, credentials.length);
}

function notices({ texts, notices }: StatusFacts): Content {
  if (notices.length === 0) return undefined;
  const paragraphs = notices.map((notice) => html`<p>${notice}</p>`);
  return html`<section class="card note warn" aria-label="${texts.status.notices}">${paragraphs}</section>`;
}

/** What the files hold is not what is in force. */
function refused({ texts, nowMs, configuration }: StatusFacts): Content {
  const refusal = configuration?.refused;
  if (refusal === undefined) return undefined;
  const words = texts.status;
  return html`<section class="card note warn" aria-labelledby="refused-title"><h2 id="refused-title">${words.refusedTitle}</h2>
<p>${words.refusedLead}</p>
<ul>${refusal.mistakes.map((mistake) => mistakeItem(texts, mistake))}</ul>
${refusal.more > 0 && html`<p>${words.moreMistakes(refusal.more)}</p>`}
<p class="soft">${words.refusedAt} ${moment(texts, refusal.atMs, nowMs)}</p></section>`;
}

function mistakeItem(texts: Texts, { code, setting, line, column }: ConfigurationMistake): Markup {
  const place = line === undefined ? undefined : texts.status.place(line, column);
  return html`<li>${texts.error.message(code)}: ${setting !== undefined && html`<code>${setting}</code> · `}${
    place !== undefined && html`${place} · `
  }<code>${code}</code><br>${texts.error.next(code, catalogue[code].next)}</li>`;
}

function configuration({ texts, nowMs, configuration }: StatusFacts): Content {
  if (configuration === undefined) return undefined;
  const { hash, readAtMs } = configuration;
  const words = texts.status;
  return html`${words.configuration} <code>${hash}</code> · ${words.configurationRead} ${moment(texts, readAtMs, nowMs)}`;
}

/** With the script: whether the stream stands. Without it: how to end the reloading. */
function liveLine(texts: Texts): Markup {
  const words = texts.status;
  return html`<p class="soft" id="live"><span data-when="none">${words.refreshes} <a href="/?refresh=off">${words.stopRefreshing}</a></span>
<span data-when="open" hidden>${words.live}</span><span data-when="lost" role="status" hidden>${words.lost}</span></p>`;
}

function card(view: StatusFacts, shown: Shown): Markup {
  const { texts } = view;
  const { status } = shown;
  const id = idOf(shown);
  const words = texts.status;
  return html`<article class="card" aria-labelledby="${id}">
<div class="top"><h2 id="${id}">${status.name}</h2><span id="${id}-state">${badge(texts, shown)}</span></div>
<p class="soft">${words.provider[status.provider]} · ${words.grant[status.grant]}</p>
<div id="${id}-facts">${details(view, shown)}</div>
<div id="${id}-actions">${actions(texts, status, shown)}</div>
</article>
`;
}

function badge(texts: Texts, { status, hasLogin }: Shown): Markup {
  const words = texts.status;
  const label = status.state === 'dead' && !hasLogin ? words.deadWithoutLogin : words.state[status.state];
  return html`<span class="badge ${tones[status.state]}">${label}</span>`;
}

function details({ texts, nowMs }: StatusFacts, { status, hasLogin, hasDevice }: Shown): Markup {
  const words = texts.status;
  const at = (atMs: number | undefined): Content => atMs !== undefined && moment(texts, atMs, nowMs);
  // A moment that is over although its event is still to come: it is coming now.
  const ahead = (atMs: number | undefined): Content =>
    atMs !== undefined && moment(texts, Math.max(atMs, nowMs), nowMs);
  const isOver = (status.state === 'absent' || status.state === 'dead') && (hasLogin || hasDevice);
  return html`${isOver && html`<p>${status.usable ? words.blockedSoon : words.blocked}</p>`}${facts([
    ...accountFacts(texts, status.account),
    [words.token, tokenLife(texts, status, nowMs)],
    [words.cooling, ahead(status.coolingUntilMs)],
    [words.resting, ahead(status.resting?.untilMs)],
    [words.quota, quotaText(status.quota)],
    [words.nextRefresh, status.coolingUntilMs === undefined && ahead(status.refreshDueAtMs)],
    [words.lastRefresh, at(status.lastRefreshAtMs)],
    [words.grantEnds, at(status.grantExpiresAtMs)],
    [words.waiting, status.waiting > 0 && status.waiting],
    [words.breaker, status.breaker !== 'closed' && words.breakerState[status.breaker]],
  ])}
${status.isDirty && html`<div class="note warn"><h3>${words.dirtyTitle}</h3><p>${words.dirty}</p></div>`}
${lastError(texts, status, nowMs)}`;
}

function quotaText(quota: CredentialStatus['quota']): Content {
  const shares = [quota?.primary, quota?.secondary].filter((share) => share !== undefined);
  return shares.length > 0 && shares.map((share) => `${Math.round(share * 100)} %`).join(' · ');
}

function lastError(texts: Texts, { lastError: error, usable }: CredentialStatus, nowMs: number): Content {
  if (error === undefined) return undefined;
  const words = texts.failure;
  return html`<div class="note ${usable ? 'warn' : 'bad'}"><h3>${texts.error.message(error.code)}</h3><p>${texts.error.next(error.code, error.next)}</p>
<p class="soft">${texts.status.failedAt} ${moment(texts, error.atMs, nowMs)} · ${words.code} <code>${error.code}</code>${
    error.providerCode !== undefined && html` · ${words.providerCode} <code>${error.providerCode}</code>`
  }</p></div>`;
}
