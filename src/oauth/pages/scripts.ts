// The few scripts of the pages, inline, each admitted by its hash. A page does its work without: a script only spares
// the reader a click or a look.
import { createHash } from 'node:crypto';

export interface PageScript {
  readonly text: string;
  /** The source expression for `script-src`. */
  readonly source: string;
  /** It reads something from us. */
  readonly connects: boolean;
}

function script(text: string, connects: boolean): PageScript {
  return { text, source: `'sha256-${createHash('sha256').update(text).digest('base64')}'`, connects };
}

/**
 * Puts what /events sends in place. Each message is a list of [id of an element, its new content], rendered by the same code as the page. What had the
 * focus, or was folded open, is so again afterwards (`data-key` tells which it was).
 */
export const liveScript = script(
  `
(() => {
  const told = document.getElementById('live');
  const tell = (state) => { for (const each of told.children) each.hidden = each.dataset.when !== state; };
  const keyed = (root, key) => root.querySelector('[data-key="' + CSS.escape(key) + '"]');
  const put = (id, content) => {
    const place = document.getElementById(id);
    if (!place) return location.reload();
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const open = [...place.querySelectorAll('details[open][data-key]')].map((each) => each.dataset.key);
    place.innerHTML = content;
    for (const key of open) keyed(place, key)?.setAttribute('open', '');
    if (focused) keyed(place, focused)?.focus();
  };
  const source = new EventSource('/events');
  source.onopen = () => tell('open');
  source.onerror = () => tell('lost');
  source.onmessage = ({ data }) => { for (const [id, content] of JSON.parse(data)) put(id, content); };
})();
`,
  true,
);

/** Counts down to the link that goes on, until the other button stops it. */
export const countdownScript = script(
  `
(() => {
  const box = document.getElementById('countdown');
  const left = box.querySelector('span');
  let seconds = Number(left.textContent);
  box.hidden = false;
  const timer = setInterval(() => {
    seconds -= 1;
    left.textContent = seconds;
    if (seconds > 0) return;
    clearInterval(timer);
    location.assign(box.dataset.to);
  }, 1000);
  box.querySelector('button').onclick = () => { clearInterval(timer); box.remove(); };
})();
`,
  false,
);

/** Copies the code, counts down to its end, and looks every other second whether the login has ended. */
export const deviceScript = script(
  `
(() => {
  const copy = document.getElementById('copy');
  copy.hidden = !navigator.clipboard;
  copy.onclick = async () => {
    await navigator.clipboard.writeText(document.getElementById('user-code').textContent);
    copy.textContent = copy.dataset.done;
  };
  const left = document.getElementById('left');
  const told = left.querySelector('time').firstChild;
  const endsAt = performance.now() + Number(left.dataset.ms);
  setInterval(() => {
    const seconds = Math.max(0, Math.ceil((endsAt - performance.now()) / 1000));
    const clock = Math.floor(seconds / 60) + ':' + String(seconds % 60).padStart(2, '0');
    told.data = left.dataset.in.replace('{}', clock) + ' ';
  }, 1000);
  const look = async () => {
    const answer = await fetch(location.href, { headers: { accept: 'application/json' } }).catch(() => undefined);
    if (answer && (!answer.ok || (await answer.json()).state !== 'waiting')) location.reload();
  };
  setInterval(look, 2000);
})();
`,
  true,
);
