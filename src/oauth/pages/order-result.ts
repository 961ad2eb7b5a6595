// What came of an order, on the status page that it led back to: one word or one code in the query, and our own sentence
// for it. Whatever else stands in the query is not shown.
import { catalogue, type ErrorCode } from '../../errors/catalogue.ts';
import { html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';

export interface OrderResult {
  readonly credential: string;
  readonly outcome: keyof Texts['result'] | ErrorCode;
}

/** @param isKnown whether there is a credential of that name */
export function readResult(
  query: URLSearchParams,
  texts: Texts,
  isKnown: (name: string) => boolean,
): OrderResult | undefined {
  const [credential, outcome] = [query.get('credential') ?? '', query.get('result') ?? ''];
  if (!isKnown(credential)) return undefined;
  if (Object.hasOwn(texts.result, outcome)) return { credential, outcome: outcome as keyof Texts['result'] };
  return Object.hasOwn(catalogue, outcome) ? { credential, outcome: outcome as ErrorCode } : undefined;
}

export function resultNote(texts: Texts, { credential, outcome }: OrderResult): Markup {
  if (outcome in texts.result) {
    const sentence = texts.result[outcome as keyof Texts['result']];
    return html`<p class="card note good" role="status"><strong>${credential}</strong>: ${sentence}</p>`;
  }
  const code = outcome as ErrorCode;
  return html`<section class="card note warn" role="alert"><h2>${credential}: ${texts.error.message(code)}</h2>
<p>${texts.error.next(code, catalogue[code].next)}</p><p class="soft">${texts.failure.code} <code>${code}</code></p></section>`;
}
