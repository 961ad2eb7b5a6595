import t from 'tap';
import { readCodexAccount } from '../../src/providers/codex-claims.ts';
import { unsignedJwt } from './_providers.ts';

const auth = 'https://api.openai.com/auth';
const profile = 'https://api.openai.com/profile';
const issuer = 'https://auth.openai.com';

const rows: readonly (readonly [string, object, object])[] = [
  ['nothing', {}, {}],
  [
    'all claims in their namespace',
    {
      iss: 'another',
      aud: ['a', 'b'],
      sub: 'sub-1',
      email: 'top@example.org',
      [profile]: { email: 'profile@example.org' },
      [auth]: {
        chatgpt_account_id: 'acc',
        chatgpt_plan_type: 'pro',
        chatgpt_user_id: 'user',
        user_id: 'older',
        organization_id: 'org-0',
        organizations: [{ id: 'org-1', is_default: true }],
        chatgpt_subscription_active_until: '2027-01-01T00:00:00Z',
        chatgpt_account_is_fedramp: true,
      },
    },
    {
      id: 'acc',
      userId: 'user',
      email: 'top@example.org',
      plan: 'pro',
      organizationId: 'org-0',
      fedramp: true,
      subscriptionUntil: '2027-01-01T00:00:00Z',
    },
  ],
  ['the account at the top', { chatgpt_account_id: 'acc', account_id: 'older' }, { id: 'acc' }],
  ['account_id at the top', { account_id: 'older' }, { id: 'older' }],
  ['user_id', { sub: 's', [auth]: { user_id: 'older' } }, { userId: 'older' }],
  ['sub alone', { sub: 's' }, { userId: 's' }],
  ['the email in the profile', { [profile]: { email: 'profile@example.org' } }, { email: 'profile@example.org' }],
  ['the plan at the top', { chatgpt_plan_type: 'team' }, { plan: 'team' }],
  ['the plan hc', { [auth]: { chatgpt_plan_type: 'hc' } }, { plan: 'enterprise' }],
  ['the plan education', { [auth]: { chatgpt_plan_type: 'education' } }, { plan: 'edu' }],
  ['a plan never seen', { [auth]: { chatgpt_plan_type: 'quantum' } }, { plan: 'quantum' }],
  [
    'a default organization',
    { [auth]: { organizations: [{ id: 'org-1' }, { id: 'org-2', is_default: true }] } },
    { organizationId: 'org-2' },
  ],
  [
    'organizations without a default',
    { [auth]: { organizations: [{ id: 'org-1' }, { id: 'x' }] } },
    { organizationId: 'org-1' },
  ],
  ['organizations of odd shapes', { [auth]: { organizations: [null, 'x', 7, { id: 9 }] } }, {}],
  ['organizations that are no list', { [auth]: { organizations: { id: 'x' } } }, {}],
  ['fedramp false', { [auth]: { chatgpt_account_is_fedramp: false } }, { fedramp: false }],
  ['fedramp as a text', { [auth]: { chatgpt_account_is_fedramp: 'true' } }, {}],
  ['claims of odd shapes', { sub: 1, email: [], [auth]: ['x'], [profile]: null, account_id: '' }, {}],
];

for (const [title, claims, expected] of rows) {
  t.test(`an id token with ${title} is read`, async (t) => {
    t.strictSame(readCodexAccount(unsignedJwt(claims), issuer), { issuer, ...expected });
  });
}

t.test('what is not a JWT names no account', async (t) => {
  for (const text of [undefined, '', 'x', 'a.b.c', 'a.b', `x.${btoa('[]')}.y`, `x.${btoa('null')}.y`]) {
    t.equal(readCodexAccount(text, issuer), undefined);
  }
});
