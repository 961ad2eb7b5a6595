// The pages of the demo's identity provider: one question, one button, no password.

const style = `
  body { font: 16px/1.5 system-ui, sans-serif; background: #f3f4f6; color: #111827; margin: 0; }
  main { max-width: 24rem; margin: 12vh auto; padding: 2rem; background: #fff; border-radius: 12px;
    box-shadow: 0 1px 4px rgb(0 0 0 / 15%); }
  h1 { font-size: 1.25rem; margin: 0 0 .5rem; }
  button { width: 100%; font: inherit; padding: .7rem 1rem; border-radius: 8px; border: 1px solid #1d4ed8;
    background: #1d4ed8; color: #fff; cursor: pointer; }
  button.quiet { background: none; color: #374151; border-color: #d1d5db; margin-top: .75rem; }`;

export function loginPage(options: { readonly email: string; readonly client: string; readonly path: string }): string {
  return page(
    'Demo identity provider',
    `<p><b>${escapeHtml(options.client)}</b> asks for access to the account <b>${escapeHtml(options.email)}</b>.</p>
    <form method="post" action="${escapeHtml(options.path)}/continue">
      <button type="submit" autofocus>Continue as ${escapeHtml(options.email)}</button></form>
    <form method="post" action="${escapeHtml(options.path)}/deny"><button type="submit" class="quiet">Deny</button></form>`,
  );
}

export function errorPage(code: string, description: string): string {
  return page('The login cannot go on', `<p>${escapeHtml(description)}</p><p><code>${escapeHtml(code)}</code></p>`);
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>${style}</style></head>
<body><main><h1>${title}</h1>${body}</main></body></html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
