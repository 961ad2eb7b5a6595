// An account as a person recognises it. Every field is the provider's text.
import type { CredentialStatus } from '../../credentials/bearer.ts';
import type { Account } from '../../providers/provider.ts';
import { type Content, html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import { moment } from './moment.ts';

/** E-mail, or whatever else names it. */
export function accountName(texts: Texts, account: Account): string {
  return account.email ?? account.userId ?? account.id ?? texts.unknown;
}

/** Rows for `facts`. */
export function accountFacts(texts: Texts, account: Account | undefined): (readonly [string, Content])[] {
  if (account === undefined) return [];
  const { account: label, plan, accountId } = texts.status;
  return [
    [label, accountName(texts, account)],
    [plan, account.plan],
    [accountId, account.id !== undefined && html`<code>${account.id}</code>`],
  ];
}

/** Whether there is a token, and until when. */
export function tokenLife(texts: Texts, status: CredentialStatus, nowMs: number): Markup {
  const { noToken, tokenUntil, tokenSince, tokenUnknown } = texts.status;
  const { expiresAtMs } = status;
  if (expiresAtMs === undefined) return html`${status.usable ? tokenUnknown : noToken}`;
  return html`${expiresAtMs > nowMs ? tokenUntil : tokenSince} ${moment(texts, expiresAtMs, nowMs)}`;
}
