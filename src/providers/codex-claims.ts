// The account in an id token of OpenAI's: namespaced claims first, then the places where older tokens had them.
// Whatever is missing or has another shape is left out; nothing here throws.
import { type Claims, decodeClaims, isClaims, objectClaim, textClaim } from './jwt-claims.ts';
import type { Account } from './provider.ts';

const AUTH = 'https://api.openai.com/auth';
const PROFILE = 'https://api.openai.com/profile';

/** Names of one plan that the provider writes in two ways. */
const planAliases: Readonly<Record<string, string>> = { hc: 'enterprise', education: 'edu' };

/**
 * Undefined where the text is not a JWT.
 * @param issuer stands in the account as it is, so that the same account stays the same whatever `iss` looks like
 */
export function readCodexAccount(idToken: string | undefined, issuer: string): Account | undefined {
  const claims = decodeClaims(idToken);
  if (claims === undefined) return undefined;
  const auth = objectClaim(claims, AUTH);
  const plan = textClaim(auth, 'chatgpt_plan_type') ?? textClaim(claims, 'chatgpt_plan_type');
  const found = {
    id:
      textClaim(auth, 'chatgpt_account_id') ??
      textClaim(claims, 'chatgpt_account_id') ??
      textClaim(claims, 'account_id'),
    userId: textClaim(auth, 'chatgpt_user_id') ?? textClaim(auth, 'user_id') ?? textClaim(claims, 'sub'),
    email: textClaim(claims, 'email') ?? textClaim(objectClaim(claims, PROFILE), 'email'),
    plan: plan === undefined ? undefined : (planAliases[plan] ?? plan),
    organizationId: textClaim(auth, 'organization_id') ?? defaultOrganization(auth),
    fedramp: auth?.['chatgpt_account_is_fedramp'],
    subscriptionUntil: textClaim(auth, 'chatgpt_subscription_active_until'),
  };
  return {
    issuer,
    ...(found.id !== undefined && { id: found.id }),
    ...(found.userId !== undefined && { userId: found.userId }),
    ...(found.email !== undefined && { email: found.email }),
    ...(found.plan !== undefined && { plan: found.plan }),
    ...(found.organizationId !== undefined && { organizationId: found.organizationId }),
    ...(typeof found.fedramp === 'boolean' && { fedramp: found.fedramp }),
    ...(found.subscriptionUntil !== undefined && { subscriptionUntil: found.subscriptionUntil }),
  };
}

function defaultOrganization(auth: Claims | undefined): string | undefined {
  const listed = auth?.['organizations'];
  const organizations = Array.isArray(listed) ? listed.filter(isClaims) : [];
  const chosen = organizations.find((organization) => organization['is_default'] === true) ?? organizations[0];
  return textClaim(chosen, 'id');
}
