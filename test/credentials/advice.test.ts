// Which next step an error of a credential names, where a login can be had and where it cannot.
import t from 'tap';
import { createAdvice } from '../../src/credentials/advice.ts';
import { catalogue } from '../../src/errors/catalogue.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';

const instead = 'Change the file.';
const elsewhere = createAdvice('api', () => instead);
const here = createAdvice('api', () => undefined);

for (const [code, expected] of [
  ['grant_absent', instead],
  ['grant_revoked', instead],
  // It may be put right in another way as well.
  ['record_bound_elsewhere', `${catalogue.record_bound_elsewhere.next} ${instead}`],
  // No login would help.
  ['token_endpoint_failing', catalogue.token_endpoint_failing.next],
  ['store_unavailable', catalogue.store_unavailable.next],
] as const) {
  t.test(`${code} where no login can be had`, (t) => {
    t.equal(elsewhere.nextStep(code), expected);
    t.equal(elsewhere.error(code, undefined).next, expected);
    const cause = new Error('why');
    const told = elsewhere.advised(new SidebearerError(code, { reason: 'a reason' }, cause));
    t.match(told, { code, next: expected, details: { reason: 'a reason' }, cause });
    t.equal(here.nextStep(code), catalogue[code].next);
    t.equal(here.advised(told), told, 'nothing is made anew');
    t.end();
  });
}

t.test('an error names its credential, and when to come again only where that helps', (t) => {
  t.match(here.error('breaker_open', 5_000).details, { credential: 'api', retryAfterMs: 5_000 });
  t.notOk('retryAfterMs' in here.error('grant_revoked', undefined).details);
  t.end();
});
