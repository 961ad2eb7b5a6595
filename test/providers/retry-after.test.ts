import t from 'tap';
import { retryAfterMs } from '../../src/providers/retry-after.ts';

const now = Date.UTC(1994, 10, 6, 8, 49, 0);

const rows: readonly (readonly [string, string | string[] | undefined, number | undefined])[] = [
  ['whole seconds', '120', 120_000],
  ['whole seconds between blanks', ' 7 ', 7_000],
  ['the first of several headers', ['3', '9'], 3_000],
  ['an HTTP date', 'Sun, 06 Nov 1994 08:49:37 GMT', 37_000],
  ['an HTTP date as RFC 850 wrote it', 'Sunday, 06-Nov-94 08:49:37 GMT', 37_000],
  ['an HTTP date as asctime writes it, which is GMT', 'Sun Nov  6 08:49:37 1994', 37_000],
  ['a year', '31536000', 31_536_000_000],
  ['no header', undefined, undefined],
  ['nothing in it', '', undefined],
  ['zero', '0', undefined],
  ['a moment that is past', 'Sun, 06 Nov 1994 08:48:37 GMT', undefined],
  ['a negative number', '-1', undefined],
  ['a fraction', '1.5', undefined],
  ['a word', 'soon', undefined],
  ['a weekday alone', 'Sunday', undefined],
  ['a date without a weekday', '2100-01-01', undefined],
  ['a number beyond all measure', '9'.repeat(40), undefined],
];

for (const [title, header, expected] of rows) {
  t.test(`Retry-After with ${title} asks for ${expected ?? 'nothing'}`, async (t) => {
    t.equal(retryAfterMs(header, now), expected);
  });
}
