// Headers made of tokens and claims: claims come from outside, and none of them may become a header of its own.
import t from 'tap';
import { createInjection } from '../../src/credentials/injection.ts';

const codex = createInjection({
  headers: {
    Authorization: 'Bearer {token}',
    'chatgpt-account-id': '{account.id}',
    'X-OpenAI-Fedramp': '{account.fedramp}',
  },
});

t.test('names are lower-cased and complete, whether or not there is a value', (t) => {
  t.strictSame(codex.names, ['authorization', 'chatgpt-account-id', 'x-openai-fedramp']);
  t.end();
});

t.test('values stand where their placeholders stood, in the configured case and order', (t) => {
  t.strictSame(codex.render('tok', { id: 'acc', fedramp: true }), [
    'Authorization',
    'Bearer tok',
    'chatgpt-account-id',
    'acc',
    'X-OpenAI-Fedramp',
    'true',
  ]);
  t.end();
});

t.test('a header whose claim is unknown, or a flag that is false, is left out', (t) => {
  t.strictSame(codex.render('tok', { id: 'acc', fedramp: false }).length, 4);
  t.strictSame(codex.render('tok', undefined), ['Authorization', 'Bearer tok']);
  t.end();
});

for (const [what, id] of Object.entries({
  'CR and LF': 'acc\r\nX-Admin: yes',
  'a bare LF': 'acc\nX-Admin: yes',
  'a bare CR': 'acc\rX-Admin: yes',
  NUL: 'acc\0',
  'a line feed at the end': 'acc\n',
  'obs-fold': 'acc\r\n more',
  'a letter outside ASCII': 'accé',
  'a character that latin1 cuts down to LF': 'acc\u010aX-Admin: yes',
  'a tab': 'a\tb',
  nothing: '',
  'spaces alone': '  ',
})) {
  t.test(`a claim with ${what} never becomes a header`, (t) => {
    t.strictSame(codex.render('tok', { id }), ['Authorization', 'Bearer tok']);
    t.end();
  });
}

for (const token of ['tok\r\nX: y', 'tok\n', 'tök', '', 'a\u010ab']) {
  t.test(`the access token ${JSON.stringify(token)} is never injected`, (t) => {
    t.strictSame(codex.render(token, undefined), []);
    t.end();
  });
}

t.test('a claim that looks like a placeholder is not filled in again', (t) => {
  t.strictSame(codex.render('tok', { id: '{token}' }), [
    'Authorization',
    'Bearer tok',
    'chatgpt-account-id',
    '{token}',
  ]);
  t.end();
});

t.test('a placeholder that is not known leaves its header out', (t) => {
  const odd = createInjection({ headers: { 'x-a': '{account.secret}', 'x-b': 'fixed', 'x-c': '{account.email}' } });
  t.strictSame(odd.render('tok', { email: 'a@b' }), ['x-b', 'fixed', 'x-c', 'a@b']);
  t.end();
});

t.test('patterns of replacement inside a token are text', (t) => {
  t.strictSame(codex.render('a$&b$1', undefined), ['Authorization', 'Bearer a$&b$1']);
  t.end();
});
