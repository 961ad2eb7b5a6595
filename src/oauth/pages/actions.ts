// What a person may order of a credential, as buttons: forms, because a GET changes nothing. What cannot be undone asks
// first, without a script.
import type { CredentialStatus } from '../../credentials/bearer.ts';
import { type Content, html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';

/** What there is to order. */
export interface Orders {
  readonly hasLogin: boolean;
  /** The provider has a login on another device. */
  readonly hasDevice: boolean;
}

/** Grants that a person can end: what they began, or a refresh token at hand. */
const endable: ReadonlySet<CredentialStatus['grant']> = new Set(['authorization_code', 'device_code', 'refresh_token']);

export function actions(texts: Texts, status: CredentialStatus, { hasLogin, hasDevice }: Orders): Content {
  const { name, state, provider, grant } = status;
  const words = texts.actions;
  const hasGrant = state !== 'absent' && state !== 'dead';
  const buttons: Content[] = [
    hasLogin && loginLink(texts, status),
    hasDevice &&
      html`<a class="button quiet" href="/oauth/device?credential=${encodeURIComponent(name)}" data-key="device">${words.device}</a>`,
    hasGrant && provider !== 'file' && order('/oauth/refresh', name, words.refresh, 'refresh'),
    (state === 'cooling' || state === 'refused') && order('/oauth/resume', name, words.resume, 'resume'),
  ].filter((each) => each !== false);
  const isEndable = endable.has(grant) && state !== 'absent';
  if (buttons.length === 0 && !isEndable) return undefined;
  return html`<div class="actions">${buttons}</div>${isEndable && logout(texts, status)}`;
}

function loginLink(texts: Texts, { name, state, usable }: CredentialStatus): Markup {
  const isNeeded = state === 'absent' || state === 'dead';
  const label = state === 'absent' && !usable ? texts.status.logIn(name) : texts.status.logInAgain(name);
  const href = `/oauth/start?credential=${encodeURIComponent(name)}`;
  return html`<a class="${isNeeded ? 'button' : 'button quiet'}" href="${href}" data-key="login">${label}</a>`;
}

function order(path: string, credential: string, label: string, key: string): Markup {
  return html`<form method="post" action="${path}"><input type="hidden" name="credential" value="${credential}"><button
class="button quiet" data-key="${key}">${label}</button></form>`;
}

function logout(texts: Texts, { name }: CredentialStatus): Markup {
  const words = texts.actions;
  return html`<details class="ask" data-key="logout"><summary data-key="logout-summary">${words.logout(name)}</summary>
<p>${words.logoutQuestion}</p>
<form method="post" action="/oauth/logout"><input type="hidden" name="credential" value="${name}"><button
class="button danger" data-key="logout-button">${words.logoutNow}</button></form></details>`;
}
