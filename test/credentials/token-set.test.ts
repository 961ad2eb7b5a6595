// What a refresh changes in a token set, and what it leaves; when a token counts as expired; who is the same account.
import t from 'tap';
import { isSameAccount, mergeAccount, mergeAnswer, usableUntilMs } from '../../src/credentials/token-set.ts';

const before = {
  accessToken: 'old-access',
  refreshToken: 'old-refresh',
  idToken: 'old-id',
  expiresAtMs: 100_000,
  obtainedAtMs: 40_000,
  grantExpiresAtMs: 900_000,
};

t.test('what an answer leaves out stays as it was, the refresh token above all', (t) => {
  const after = mergeAnswer(before, { accessToken: 'new', expiresAtMs: 160_000, obtainedAtMs: 100_000, warnings: [] });
  t.strictSame(after, { ...before, accessToken: 'new', expiresAtMs: 160_000, obtainedAtMs: 100_000 });
  t.end();
});

t.test('a new access token of unknown expiry does not inherit the old expiry', (t) => {
  const after = mergeAnswer(before, { accessToken: 'new', obtainedAtMs: 100_000, warnings: [] });
  t.notOk('expiresAtMs' in after);
  t.end();
});

t.test('a refresh token without an access token keeps the old access token with its own times', (t) => {
  const after = mergeAnswer(before, { refreshToken: 'new-refresh', obtainedAtMs: 100_000, warnings: [] });
  t.match(after, {
    accessToken: 'old-access',
    refreshToken: 'new-refresh',
    expiresAtMs: 100_000,
    obtainedAtMs: 40_000,
  });
  t.notOk('grantExpiresAtMs' in after, 'the end of a rotated refresh token is its own');
  t.end();
});

t.test('the grant end stays while the refresh token does, and moves when it is told', (t) => {
  const answer = { accessToken: 'new', obtainedAtMs: 100_000, warnings: [] };
  t.equal(mergeAnswer(before, answer).grantExpiresAtMs, 900_000);
  t.equal(
    mergeAnswer(before, { ...answer, refreshToken: 'old-refresh' }).grantExpiresAtMs,
    900_000,
    'though told again',
  );
  t.equal(mergeAnswer(before, { ...answer, refreshToken: 'new-refresh' }).grantExpiresAtMs, undefined);
  t.equal(mergeAnswer(before, { ...answer, grantExpiresAtMs: 1_000_000 }).grantExpiresAtMs, 1_000_000);
  t.end();
});

t.test('a first answer is the token set', (t) => {
  t.strictSame(mergeAnswer(undefined, { accessToken: 'a', refreshToken: 'r', obtainedAtMs: 5, warnings: [] }), {
    accessToken: 'a',
    refreshToken: 'r',
    obtainedAtMs: 5,
  });
  t.end();
});

t.test('a token counts as expired min(2 s, 5 % of its life) before its end', (t) => {
  const obtainedAtMs = 1_000_000;
  const until = (lifeMs: number): number =>
    usableUntilMs({ accessToken: 'a', expiresAtMs: obtainedAtMs + lifeMs, obtainedAtMs }) - obtainedAtMs;
  t.equal(until(3_600_000), 3_598_000);
  t.equal(until(40_000), 38_000);
  t.equal(until(10_000), 9_500);
  t.equal(until(0), 0);
  t.equal(until(-5_000), -5_000);
  t.equal(usableUntilMs({ accessToken: 'a', obtainedAtMs }), Number.POSITIVE_INFINITY, 'unknown: never by time');
  t.equal(usableUntilMs({ refreshToken: 'r', obtainedAtMs }), Number.NEGATIVE_INFINITY, 'nothing to use');
  t.end();
});

t.test('an account is told by issuer, id and user; e-mail never decides and unknown is another', (t) => {
  const alice = { issuer: 'https://a', id: 'org', userId: 'alice', email: 'alice@example.com' };
  t.ok(isSameAccount(alice, { ...alice, email: 'new@example.com', plan: 'pro' }));
  t.notOk(isSameAccount(alice, { ...alice, userId: 'bob' }));
  t.notOk(isSameAccount(alice, { ...alice, id: 'other' }));
  t.notOk(isSameAccount(alice, { ...alice, issuer: 'https://b' }));
  t.notOk(isSameAccount(alice, { issuer: 'https://a', id: 'org' }), 'the user is unknown on one side');
  t.notOk(isSameAccount(alice, { issuer: 'https://a', email: 'alice@example.com' }));
  t.notOk(isSameAccount({ email: 'alice@example.com' }, { email: 'alice@example.com' }));
  t.notOk(isSameAccount(undefined, undefined));
  t.end();
});

t.test('claims that an answer leaves out stay with the account', (t) => {
  t.strictSame(mergeAccount({ id: 'a', plan: 'pro' }, { id: 'a', email: 'x' }), { id: 'a', plan: 'pro', email: 'x' });
  t.strictSame(mergeAccount({ id: 'a' }, undefined), { id: 'a' });
  t.equal(mergeAccount(undefined, undefined), undefined);
  t.end();
});
