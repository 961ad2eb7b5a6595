// The button that starts a login: a form, because a GET must never fill the store, and the question that goes with it.
import type { CredentialStatus } from '../../credentials/bearer.ts';
import type { Account } from '../../providers/provider.ts';
import { type Content, html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import { accountName } from './account.ts';

export interface LoginForm {
  readonly credential: string;
  readonly label: string;
  /** Something is stored, or may be: it is asked whether another account may replace it. */
  readonly asksToReplace: boolean;
  /** The account that is stored now, where it is known. */
  readonly account: Account | undefined;
  /** The browser was moved to the redirect URI's host already, as far as can be. */
  readonly isMoved: boolean;
  /** The login of the program that sent the browser here. */
  readonly watcher?: string | undefined;
}

/** @param beside what else stands in the row of the button */
export function loginForm(texts: Texts, form: LoginForm, beside: Content): Markup {
  return html`<form method="post" action="/oauth/start">
<input type="hidden" name="credential" value="${form.credential}">${
    form.isMoved && html`<input type="hidden" name="moved" value="yes">`
  }${form.watcher !== undefined && html`<input type="hidden" name="login" value="${form.watcher}">`}
${form.asksToReplace && replaceQuestion(texts, form.account)}
<div class="actions"><button class="button" type="submit">${form.label}</button>${beside}</div>
</form>`;
}

/** Whether another account may replace the one that is stored, where it is known. */
export function replaceQuestion(texts: Texts, account: Account | undefined): Markup {
  const words = texts.start;
  return html`<div class="check"><input type="checkbox" id="replace" name="replace" value="yes" aria-describedby="replace-hint">
<div><label for="replace">${words.replace}</label><div class="soft" id="replace-hint">${words.stored}: ${account === undefined ? words.unknownAccount : accountName(texts, account)}. ${words.replaceHint}</div></div></div>`;
}

/** Many OAuth 2.0 servers name no account, and what is dead may be stored without being shown. */
export function asksToReplace({ account, generation, state }: CredentialStatus): boolean {
  return account !== undefined || generation > 0 || state === 'dead';
}
