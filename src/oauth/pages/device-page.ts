// A login on another device: the code, large, and where to type it; how long it lives; how to stop. Best in a cluster,
// as nothing has to be forwarded for the way back.
import type { Account } from '../../providers/provider.ts';
import type { DeviceLoginView } from '../device-logins.ts';
import { html, type Markup } from '../html.ts';
import type { Texts } from '../texts/english.ts';
import { layout } from './layout.ts';
import { replaceQuestion } from './login-form.ts';
import { moment } from './moment.ts';
import { qrCode } from './qr-code.ts';
import { deviceScript } from './scripts.ts';

export interface DeviceAskView {
  readonly texts: Texts;
  readonly version: string;
  readonly credential: string;
  readonly asksToReplace: boolean;
  readonly account: Account | undefined;
}

/** Before it begins: what will happen. */
export function deviceStartPage(view: DeviceAskView): Markup {
  const { texts, version, credential } = view;
  const words = texts.device;
  return layout(
    { texts, title: words.startTitle(credential), version },
    html`<h1>${words.startTitle(credential)}</h1>
<p class="lead">${words.lead}</p>
<section class="card"><ol class="steps"><li>${words.step1}</li><li>${words.step2}</li><li>${words.step3}</li></ol>
<form method="post" action="/oauth/device"><input type="hidden" name="credential" value="${credential}">
${view.asksToReplace && replaceQuestion(texts, view.account)}
<div class="actions"><button class="button" type="submit">${words.begin}</button></div></form></section>`,
  );
}

export interface DeviceWaitView {
  readonly texts: Texts;
  readonly version: string;
  readonly nowMs: number;
  readonly login: DeviceLoginView;
}

export function deviceWaitPage({ texts, version, nowMs, login }: DeviceWaitView): Markup {
  const words = texts.device;
  const { userCode, verificationUri, verificationUriComplete = verificationUri, credential } = login;
  return layout(
    { texts, title: words.title(credential), version, script: deviceScript, refreshSeconds: 5 },
    html`<section class="card device">
<h1>${words.title(credential)}</h1>
<p class="lead">${words.type} <a href="${verificationUri}" target="_blank" rel="noopener noreferrer">${verificationUri}</a></p>
<p class="code"><code id="user-code">${userCode}</code>
<button type="button" class="button quiet" id="copy" data-done="${words.copied}" hidden>${words.copy}</button></p>
${qrCode(verificationUriComplete, words.qr)}
<p class="note warn">${words.warning}</p>
<p class="soft">${words.expires} <span id="left" data-ms="${login.expiresAtMs - nowMs}" data-in="${texts.time.in('{}')}">${moment(texts, login.expiresAtMs, nowMs)}</span>. <span role="status">${words.waiting}</span></p>
<form method="post" action="/oauth/device"><input type="hidden" name="cancel" value="yes"><button
class="button quiet" type="submit">${words.cancel}</button></form>
</section>`,
  );
}
