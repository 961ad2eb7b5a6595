// Which language a page is in: the best of ours for the browser's Accept-Language (RFC 9110, 12.5.4), else English.
// A language is loaded when it is first asked for.
import Negotiator from 'negotiator';
import { english, type Texts } from './texts/english.ts';

/** By tag, the default first. `zh` (Simplified Chinese) is also what `zh-CN` and `zh-TW` get. */
const languages = new Map<string, () => Texts | Promise<Texts>>([
  [english.language, () => english],
  ['zh', async () => (await import('./texts/chinese.ts')).chinese],
]);
const tags = [...languages.keys()];

/** No browser sends more, and every entry is compared with every language. */
const MOST_CHARACTERS = 1_000;

/** @param acceptLanguage the header, as it came */
export async function textsFor(acceptLanguage: string | undefined): Promise<Texts> {
  if (acceptLanguage === undefined || acceptLanguage.length > MOST_CHARACTERS) return english;
  const [tag = english.language] = new Negotiator({ headers: { 'accept-language': acceptLanguage } }).languages(tags);
  return (await languages.get(tag)?.()) ?? english;
}
