// The language of a page follows the browser, and none of ours leaves a sentence out.
import t from 'tap';
import { catalogue } from '../../src/errors/catalogue.ts';
import { textsFor } from '../../src/oauth/languages.ts';
import { chineseFailures } from '../../src/oauth/texts/chinese-failures.ts';
import { english } from '../../src/oauth/texts/english.ts';
import { ask, createFakeCredential, credentialStatus, startPort } from './_fakes.ts';

t.test('the best of our languages for Accept-Language, else English', async (t) => {
  for (const [header, language] of [
    [undefined, 'en'],
    ['', 'en'],
    ['zh', 'zh-Hans'],
    ['zh-CN,zh;q=0.9,en;q=0.8', 'zh-Hans'],
    ['zh-Hans-CN', 'zh-Hans'],
    ['ZH-cn', 'zh-Hans'],
    ['en-GB,en;q=0.9,zh;q=0.8', 'en'],
    ['de-DE,zh;q=0.5', 'zh-Hans'],
    ['de,fr', 'en'],
    ['zh;q=0', 'en'],
    ['*', 'en'],
    [';;,=,', 'en'],
  ] as const) {
    t.equal((await textsFor(header)).language, language, String(header));
  }
});

t.test('an Accept-Language longer than any browser sends is English', async (t) => {
  t.equal((await textsFor(`${'zh,'.repeat(300)}zh`)).language, 'zh-Hans');
  t.equal((await textsFor(`${'zh,'.repeat(10_000)}zh`)).language, english.language);
});

t.test('every failure that a page can show has its Chinese sentences', async (t) => {
  // Why a changed configuration was refused stands on the status page.
  const ofReloads = /^config_|^tls_file_unusable$|^restart_required$/;
  const shown = Object.entries(catalogue).filter(
    ([code, { layer }]) => !['config', 'listen', 'proxy', 'inject'].includes(layer) || ofReloads.test(code),
  );
  t.ok(shown.length > 50);
  t.strictSame(
    shown.map(([code]) => code).filter((code) => !Object.hasOwn(chineseFailures, code)),
    [],
  );
  const chinese = await textsFor('zh');
  const special = 'Put a new refresh token into refreshToken and restart.';
  t.match(chinese.error.next('grant_rejected', special), /refreshToken/);
  t.notMatch(chinese.error.next('grant_rejected', special), /restart/);
  t.equal(chinese.error.next('grant_rejected', 'Something else.'), 'Something else.', 'better foreign than wrong');
});

t.test('no sentence of one language is left in the other', async (t) => {
  const chinese = await textsFor('zh');
  // Names and formats are the same everywhere.
  const same = new Set(['product', 'version', 'cancel', 'codex', 'oidc', 'oauth2']);
  const compare = (ours: object, theirs: object): void => {
    t.strictSame(Object.keys(ours), Object.keys(theirs));
    for (const [key, value] of Object.entries(ours)) {
      const other = (theirs as Record<string, unknown>)[key];
      if (typeof value === 'object') compare(value as object, other as object);
      else if (typeof value === 'string' && !same.has(key)) t.not(value, other, key);
    }
  };
  compare(english, chinese);
});

t.test('a page says its language and speaks it', async (t) => {
  const credential = createFakeCredential();
  credential.behaviour.status = () => credentialStatus({ state: 'dead' });
  const { port } = await startPort(t, [credential]);
  const visit = (path: string, language: string) => ask(port, path, { headers: { 'accept-language': language } });
  t.match((await visit('/', 'zh-CN')).body, /<html lang="zh-Hans">.*需要登录/s);
  t.match((await visit('/', 'en')).body, /<html lang="en">.*Needs a login/s);
  t.match((await visit('/nowhere', 'zh-CN')).body, /这里没有这个页面/);
  const told = await ask(port, '/oauth/complete', {
    method: 'POST',
    headers: {
      'accept-language': 'zh-CN',
      origin: `http://localhost:${port}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: 'x=1',
  });
  t.match(told.body, /<p class="lead" lang="en">the field pasted is missing<\/p>/, 'what is English is called so');
});
