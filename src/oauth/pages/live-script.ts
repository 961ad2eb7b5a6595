// The one script of all pages, inline, admitted by its hash: it puts what /events sends in place. Without it the page
// is the same, and loads itself again.
import { createHash } from 'node:crypto';

/**
 * Each message is a list of [id of an element, its new content], rendered by the same code as the page. What had the
 * focus, or was folded open, is so again afterwards (`data-key` tells which it was).
 */
export const liveScript = `
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
`;

/** The source expression for `script-src`. */
export const liveScriptSource = `'sha256-${createHash('sha256').update(liveScript).digest('base64')}'`;
