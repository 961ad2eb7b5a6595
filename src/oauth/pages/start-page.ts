// The page before a login: what will happen, what would fail later, and the button. And the choice between several.
import type { CredentialStatus } from '../../credentials/bearer.ts';
import type { Account } from '../../providers/provider.ts';
import { html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import { layout } from './layout.ts';
import { loginForm } from './login-form.ts';
import { pasteForm } from './paste-form.ts';

export interface StartView {
  readonly texts: Texts;
  readonly version: string;
  readonly credential: string;
  readonly asksToReplace: boolean;
  readonly account: Account | undefined;
  /** Host of the authorize URL. */
  readonly authorizeHost: string;
  readonly redirectUri: string;
  readonly isMoved: boolean;
  /** The login of the program that sent the browser here. */
  readonly watcher?: string | undefined;
  /** The browser uses another port than it will be sent back to. */
  readonly port?: {
    readonly used: number;
    readonly registered: number;
    readonly command: string;
    readonly link: string;
  };
  /** The browser uses another name, though it was sent to the right one. */
  readonly name?: { readonly used: string; readonly registered: string };
}

export function startPage(view: StartView): Markup {
  const { texts, credential, account, asksToReplace, authorizeHost, port, name } = view;
  const words = texts.start;
  const form = {
    credential,
    asksToReplace,
    account,
    isMoved: view.isMoved,
    label: words.go(authorizeHost),
    watcher: view.watcher,
  };
  return layout(
    { texts, title: words.title(credential), version: view.version },
    html`<h1>${words.title(credential)}</h1>
<p class="lead">${words.lead}</p>
${
  port &&
  html`<section class="note warn card"><h2>${words.portTitle}</h2><p>${words.port(port.used, port.registered)}</p>
<pre><code>${port.command}</code></pre><p><a href="${port.link}">${words.portLink}</a></p></section>`
}
${
  name &&
  html`<section class="note warn card"><h2>${words.nameTitle}</h2><p>${words.name(name.used, name.registered)}</p></section>`
}
<section class="card">
<ol class="steps"><li>${words.step1(authorizeHost)}</li>
<li>${words.step2} <code>${view.redirectUri}</code></li>
<li>${words.step3}</li></ol>
${loginForm(texts, form, html`<span class="soft">${words.time}</span>`)}
</section>
${pasteForm(texts, port !== undefined)}`,
  );
}

/** Which of several; or that there is none. */
export function choicePage(texts: Texts, version: string, credentials: readonly CredentialStatus[]): Markup {
  const words = texts.start;
  if (credentials.length === 0) {
    return layout(
      { texts, title: words.nothingTitle, version },
      html`<h1>${words.nothingTitle}</h1><p class="lead">${words.nothing}</p><p><a href="/">${texts.failure.toStatus}</a></p>`,
    );
  }
  return layout(
    { texts, title: words.choose, version },
    html`<h1>${words.choose}</h1>
<p class="lead">${words.chooseLead}</p>
<ul class="choices">${credentials.map(
      ({ name, state }) =>
        html`<li><a href="/oauth/start?credential=${encodeURIComponent(name)}">${name} <span class="soft">${texts.status.state[state]}</span></a></li>`,
    )}</ul>`,
  );
}
