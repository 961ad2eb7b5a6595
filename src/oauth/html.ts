// HTML as a tagged template: whatever is interpolated is escaped, unless it is itself the product of this tag.
// It must never learn a way to let text through as markup, but for `verbatim`, which takes our own constants only.

/** Text that is safe to stand in a page. Only this file makes one. */
export class Markup {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** What may stand between the backticks; `undefined` and `false` leave nothing behind. */
export type Content = Markup | string | number | undefined | false | readonly Content[];

/** `html\`<p title="${any}">${any}</p>\``: values go into text or into double-quoted attributes, nowhere else. */
export function html(literals: TemplateStringsArray, ...values: readonly Content[]): Markup {
  let text = literals[0] ?? '';
  for (const [index, value] of values.entries()) text += render(value) + (literals[index + 1] ?? '');
  return new Markup(text);
}

/** A constant of ours as it is (the style sheet). Never anything that was received or configured. */
export function verbatim(constant: string): Markup {
  return new Markup(constant);
}

function render(value: Content): string {
  if (value === undefined || value === false) return '';
  if (value instanceof Markup) return value.toString();
  if (typeof value === 'object') return value.map(render).join('');
  return escapeText(String(value));
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

function escapeText(text: string): string {
  return text.toWellFormed().replace(/[&<>"'`]/g, (character) => entities[character] ?? '');
}
