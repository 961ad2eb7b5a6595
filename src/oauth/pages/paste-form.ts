// Where the browser could not come back to us, its last address does: pasted here, in the browser that began the login.
import { html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';

/** @param isOpen it is likely to be needed */
export function pasteForm(texts: Texts, isOpen: boolean): Markup {
  const words = texts.paste;
  return html`<details class="card ask" id="paste"${isOpen && html` open`}><summary>${words.title}</summary>
<p id="paste-hint">${words.hint}</p>
<form method="post" action="/oauth/complete"><label for="pasted">${words.label}</label>
<textarea id="pasted" name="pasted" rows="3" required spellcheck="false" autocomplete="off" aria-describedby="paste-hint"
placeholder="http://localhost:1455/…?code=…&amp;state=…"></textarea>
<div class="actions"><button class="button quiet" type="submit">${words.go}</button></div></form></details>`;
}
