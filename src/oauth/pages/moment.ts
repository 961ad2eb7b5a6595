// A moment as people read it ("in 4 d 23 h", with the date beside it) and as machines do (<time datetime>).
// A provider may tell any number: what is no date is said to be unknown, never thrown.
import { html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** @param atMs wall ms */
export function moment(texts: Texts, atMs: number, nowMs: number): Markup {
  const date = new Date(atMs);
  if (Number.isNaN(date.getTime())) return html`${texts.unknown}`;
  const iso = date.toISOString();
  const [{ in: ahead, ago, now }, distanceMs] = [texts.time, atMs - nowMs];
  const relative =
    Math.abs(distanceMs) < second
      ? now
      : distanceMs > 0
        ? ahead(span(texts, distanceMs))
        : ago(span(texts, -distanceMs));
  return html`<time datetime="${iso}">${relative} <span class="soft">${iso.slice(0, 16).replace('T', ' ')} UTC</span></time>`;
}

/** The two largest units that say something. */
function span(texts: Texts, ms: number): string {
  const { units } = texts.time;
  const parts = (large: number, largeUnit: string, small: number, smallUnit: string): string => {
    const [whole, rest] = [Math.floor(ms / large), Math.floor((ms % large) / small)];
    return rest === 0 ? `${whole} ${largeUnit}` : `${whole} ${largeUnit} ${rest} ${smallUnit}`;
  };
  if (ms < minute) return `${Math.floor(ms / second)} ${units.second}`;
  if (ms < 10 * minute) return parts(minute, units.minute, second, units.second);
  if (ms < hour) return `${Math.floor(ms / minute)} ${units.minute}`;
  if (ms < day) return parts(hour, units.hour, minute, units.minute);
  return parts(day, units.day, hour, units.hour);
}
