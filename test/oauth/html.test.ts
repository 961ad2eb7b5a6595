import fc from 'fast-check';
import t from 'tap';
import { html } from '../../src/oauth/html.ts';

const entities: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
  '&#96;': '`',
};
const decode = (text: string): string => text.replace(/&[#\w]+;/g, (entity) => entities[entity] ?? entity);

t.test('whatever is interpolated stays text, in content and in attributes', async (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.constantFrom('', '<', '"', '&lt;', '</p>'),
      (text, odd) => {
        const value = text + odd + text;
        const page = html`<p title="${value}">${[value]}</p>`.toString();
        const parts = /^<p title="([^"<>]*)">([^"<>'`]*)<\/p>$/s.exec(page);
        if (parts?.[1] === undefined || parts[2] === undefined) throw new Error(`markup got through: ${page}`);
        t.equal(decode(parts[1]), value.toWellFormed());
        t.equal(decode(parts[2]), value.toWellFormed());
      },
    ),
    { numRuns: 300 },
  );
});

t.test('markup of the tag itself is taken as it is, lists are joined, undefined and false leave nothing', async (t) => {
  const items = ['a', 'b<'].map((item) => html`<li>${item}</li>`);
  t.equal(html`<ul>${items}</ul>${undefined}${false}${0}`.toString(), '<ul><li>a</li><li>b&lt;</li></ul>0');
});
