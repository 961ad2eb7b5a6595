// The paste: every form in which the address of a callback reaches a person's clipboard.
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { readPastedAnswer } from '../../src/oauth/pasted-answer.ts';

const asObject = (found: URLSearchParams | undefined): Record<string, string> | undefined =>
  found === undefined ? undefined : Object.fromEntries(found);

t.test('what is understood', (t) => {
  const both = { code: 'ac_1', state: 's-1' };
  const denied = { error: 'access_denied', error_description: 'no thanks', state: 's-1' };
  for (const [pasted, expected] of [
    ['http://localhost:1455/auth/callback?code=ac_1&state=s-1', both],
    ['https://login.example.test/oauth/callback?code=ac_1&state=s-1', both],
    ['http://[::1]:1455/oauth/callback?code=ac_1&state=s-1', both],
    ['localhost:1455/auth/callback?code=ac_1&state=s-1', both],
    ['127.0.0.1:1455/auth/callback?code=ac_1&state=s-1', both],
    ['/auth/callback?code=ac_1&state=s-1', both],
    ['?code=ac_1&state=s-1', both],
    ['code=ac_1&state=s-1', both],
    ['state=s-1&code=ac_1', both],
    ['http://localhost:1455/auth/callback#code=ac_1&state=s-1', both],
    ['#code=ac_1&state=s-1', both],
    ['#?code=ac_1&state=s-1', both],
    ['http://localhost/cb?code=ac_1&state=s-1#', both],
    ['http://localhost/cb?code=ac_1&state=s-1#_=_', both],
    ['http://localhost/cb?lang=en#code=ac_1&state=s-1', both],
    ['ac_1#s-1', both],
    ['4/0AX=#s-1', { code: '4/0AX=', state: 's-1' }],
    ['  "http://localhost/cb?code=ac_1&state=s-1"  ', both],
    ['<http://localhost/cb?code=ac_1&state=s-1>', both],
    ['http://localhost/cb?code=ac\n  _1&sta\r\nte=s-1\n', both],
    ['http://localhost/cb?code=ac_1&amp;state=s-1', both],
    ['http://localhost/cb?error=access_denied&error_description=no+thanks&state=s-1', denied],
    ['error=access_denied&error_description=no%20thanks&state=s-1', denied],
    ['http://localhost/cb#error=access_denied&error_description=no+thanks&state=s-1', denied],
    ['http://localhost/cb?code=ac_1', { code: 'ac_1' }],
  ] as const) {
    t.strictSame(asObject(readPastedAnswer(pasted)), expected, pasted);
  }
  t.end();
});

t.test('what is not', (t) => {
  for (const pasted of [
    '',
    '   ',
    'hello',
    'hello world # and more',
    'http://localhost:1455/auth/callback',
    'http://localhost:1455/auth/callback#abc',
    'localhost:1455/callback#abc',
    '/callback#abc',
    'https://idp.example/authorize?client_id=x&state=s-1',
    'http://localhost/code=ac_1&state=s-1/x',
    '#',
    'a#',
    '#b',
    'a#b#c',
    'a b#c',
    `code=${'x'.repeat(20_000)}`,
  ]) {
    t.equal(readPastedAnswer(pasted), undefined, pasted.slice(0, 60));
  }
  t.end();
});

t.test('a parameter that came twice stays twice, for the judge of the callback to see', (t) => {
  t.strictSame(readPastedAnswer('?code=a&state=b&state=c')?.getAll('state'), ['b', 'c']);
  t.end();
});

const value = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 });
const token = fc.stringMatching(/^[A-Za-z0-9._~-]{1,60}$/);
const base = fc.constantFrom('http://localhost:1455/auth/callback', 'localhost:1455/cb', '/cb', '');

t.test('whatever code and state are, every form of an address gives them back', async () => {
  fc.assert(
    fc.property(base, fc.constantFrom('?', '#'), value, value, (where, mark, code, state) => {
      const pasted = `${where}${mark}${new URLSearchParams({ code, state }).toString()}`;
      const found = asObject(readPastedAnswer(pasted));
      return found?.['code'] === code && found['state'] === state;
    }),
  );
});

t.test('code#state gives both back', async () => {
  fc.assert(
    fc.property(token, token, (code, state) => {
      const found = asObject(readPastedAnswer(`${code}#${state}`));
      return found?.['code'] === code && found['state'] === state;
    }),
  );
});

t.test('whatever is pasted: no failure, and an answer only with a code or an error in it', async () => {
  const piece = fc.constantFrom(
    'code=',
    'state=',
    'error=',
    '#',
    '?',
    '&',
    '=',
    '%',
    'http://',
    '\n',
    '"',
    '&amp;',
    'x',
  );
  const junk = fc.oneof(
    fc.string(),
    fc.array(piece).map((pieces) => pieces.join('')),
  );
  fc.assert(
    fc.property(junk, (pasted) => {
      const found = readPastedAnswer(pasted);
      return found === undefined || found.has('code') || found.has('error');
    }),
  );
});

t.test('a paste made to be slow to read: 1,000 of it would outlast this test, were the time not linear', async (t) => {
  for (const fill of [' ', '\t', ' \n', 'a.', '"', '#', '&code']) {
    const pasted = `a${fill.repeat(Math.floor(16_000 / fill.length))}b`;
    for (let round = 0; round < 1_000; round += 1) {
      readPastedAnswer(pasted);
      // The test's time is looked at only in between.
      if (round % 10 === 0) await nextTurn();
    }
    t.pass(JSON.stringify(fill));
  }
});
