// One word out of WWW-Authenticate, and never anything else of it: descriptions repeat tokens.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { challengeOf } from '../../src/proxy/challenge.ts';

t.test('the error of a challenge', (t) => {
  const table: [values: string[], word: string | undefined][] = [
    [['Bearer error="invalid_token"'], 'invalid_token'],
    [['Bearer realm="x", error="invalid_token", error_description="The token abc is bad"'], 'invalid_token'],
    [['bearer ERROR = insufficient_scope, scope="a b"'], 'insufficient_scope'],
    [['Basic realm="x"', 'Bearer error="invalid_request"'], 'invalid_request'],
    [['Basic realm="x", Bearer error="insufficient_user_authentication"'], 'insufficient_user_authentication'],
    [['DPoP error="use_dpop_nonce"'], 'use_dpop_nonce'],
    [['Bearer'], undefined],
    [[], undefined],
    [['Bearer error="token-SECRET-1"'], undefined],
    [['Bearer error="secret"'], undefined],
    [['Bearer realm="error=invalid_token"'], undefined],
    [['Bearer realm="a\\" error=\\"invalid_token", x=y'], undefined],
    [['Bearer error_description="error=\\"invalid_token\\""'], undefined],
    [[`Bearer realm="${'x'.repeat(5_000)}", error="invalid_token"`], undefined],
  ];
  for (const [values, word] of table) {
    const raw = ['X', 'error="invalid_token"', ...values.flatMap((value) => ['Www-Authenticate', value])];
    t.equal(challengeOf(raw), word, values.join(' | ').slice(0, 80));
  }
  t.end();
});

t.test(
  'a header made to be slow to read: 10,000 of it would outlast this test, were the time not linear',
  async (t) => {
    for (const value of ['a', 'a= ', 'error ', 'a="', 'a="\\"']) {
      const raw = ['www-authenticate', value.repeat(4_096 / value.length)];
      for (let round = 0; round < 10_000; round += 1) {
        challengeOf(raw);
        // The test's time is looked at only in between.
        if (round % 100 === 0) await nextTurn();
      }
      t.pass(value);
    }
  },
);
