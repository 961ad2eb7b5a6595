// The settings of one credential, by provider: each provider takes only the keys that mean something to it.
// The URLs of the codex preset are not here: they belong to the provider, and stand here as overrides alone.
import * as z from 'zod';
import { group, optional, required, setting } from './setting.ts';
import { tlsFiles } from './tls-settings.ts';
import {
  choice,
  duration,
  egressProxy,
  flag,
  integer,
  kindOf,
  line,
  lineOrEmpty,
  positiveDuration,
  privateKey,
  secret,
  share,
  text,
  url,
} from './value-kinds.ts';

/** What `inject.format` and `inject.headers` may contain; `{token}` is the access token. */
export const placeholders = [
  'token',
  'account.id',
  'account.userId',
  'account.email',
  'account.plan',
  'account.fedramp',
] as const;

/** What names a credential; source of a RegExp, for editors take it as well. */
export const credentialNamePattern = '^(?!.*-logins$)[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$';

/** IANA's names, the first two without their prefix. */
export const clientAuthMethods = ['basic', 'post', 'none', 'private_key_jwt', 'tls_client_auth'] as const;

/** RFC 9110, 5.6.2. */
export const headerNamePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** @param isToken the header that carries the token: nothing else in it, that it can always be rendered */
const injectFormat = (isToken: boolean) =>
  kindOf({ type: 'text' }, { type: 'string' }, (raw, refuse) => {
    // A header value: visible ASCII and single spaces between words; anything else would not be sent.
    if (typeof raw !== 'string' || !/^[!-~]+( [!-~]+)*$/.test(raw)) return refuse('a header value in ASCII');
    const names = [...raw.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1] ?? '');
    if (isToken && !names.includes('token')) return refuse('a format that contains {token}');
    const known: readonly string[] = isToken ? ['token'] : placeholders;
    if (/[{}]/.test(raw.replace(/\{[^{}]*\}/g, '')) || names.some((name) => !known.includes(name))) {
      return refuse(`only the placeholders ${known.map((name) => `{${name}}`).join(', ')}`);
    }
    return raw;
  });

const parameters = (doc: string) =>
  setting(
    z.record(
      z.string().regex(/^[!-~]+$/, 'expected a parameter name in visible ASCII'),
      lineOrEmpty('text on one line (quote numbers)'),
    ),
    {},
    doc,
  );

const inject = group(
  {
    header: setting(
      text('a header name', headerNamePattern),
      'Authorization',
      'Header that carries the token. The client’s own is always removed.',
    ),
    format: setting(injectFormat(true), 'Bearer {token}', 'Value of that header.'),
    headers: setting(
      z.record(z.string().regex(headerNamePattern, 'expected a header name'), injectFormat(false)),
      {},
      `Further headers; placeholders: ${placeholders.map((name) => `\`{${name}}\``).join(', ')}. One whose value is unknown is not sent.`,
    ),
  },
  'What is put into each request.',
);

const egress = group(
  {
    proxy: optional(
      egressProxy(),
      'Proxy for this credential’s login, refreshes and upstream traffic, in place of the global one.',
    ),
  },
  'The way out of this credential.',
);

/** To the provider’s endpoints. */
const tls = tlsFiles('the provider');

/** Settings of every credential that is refreshed. */
const upkeep = {
  tokenParams: parameters(
    'Added to every token request, and to the one that begins a login on another device, such as `audience` or `resource`.',
  ),
  scope: optional(
    text('scopes separated by single spaces', /^[!#-[\]-~]+( [!#-[\]-~]+)*$/),
    'Scope to ask for. Default: the preset’s for codex; `openid profile email offline_access` for oidc with a login; else none.',
  ),
  refreshToken: optional(
    secret('a refresh token'),
    'Grant `refresh_token`: the first refresh token only; afterwards the store’s, until this value changes.',
  ),
  allowHttp: setting(
    flag(),
    false,
    'Allows plain http to the provider beyond loopback. Tokens can then be read on the way.',
  ),
  revokeSuperseded: setting(
    flag(),
    false,
    'Revokes the refresh token that a second login replaced. Many providers then revoke the new one, too.',
  ),
  wait: group(
    {
      timeout: setting(duration(), '10s', 'How long a request waits for a refresh.'),
      queue: setting(integer(0, 1_000_000), 1000, 'How many requests may wait at once.'),
    },
    'Requests that wait for a refresh.',
  ),
  inject,
  egress,
  tls,
  refresh: group(
    {
      lead: optional(
        positiveDuration(),
        'How long before expiry the token is refreshed, at most half of its life. Default: `5d` for codex; else 20 % of the life, from 30 s to 10 min.',
      ),
      jitter: setting(share(), '10%', 'Share of the lead by which a refresh may come earlier, at random.'),
      attempts: setting(integer(1, 100), 3, 'Attempts before the cooldown.'),
      backoff: group(
        {
          initial: setting(positiveDuration(), '1s', 'Pause after the first attempt; it doubles.'),
          max: setting(positiveDuration(), '30s', 'Longest pause between attempts.'),
        },
        'Pauses between attempts.',
      ),
      timeout: setting(positiveDuration(), '30s', 'Time for one attempt.'),
      cooldown: setting(positiveDuration(), '5m', 'Pause after the last attempt, while the token is still valid.'),
      maxRetryAfter: setting(positiveDuration(), '1h', 'Longest `Retry-After` of the provider that is obeyed.'),
      unclear: setting(
        choice(['retry', 'hold']),
        'retry',
        'After an answer that was lost: try once more at once, or only when the token is about to expire (for providers that revoke everything when a refresh token is used twice).',
      ),
    },
    'When and how the token is refreshed.',
  ),
  breaker: group(
    {
      failures: setting(integer(1, 1000), 5, 'Failures within `window` that open the breaker of the token endpoint.'),
      window: setting(positiveDuration(), '10m', 'Time in which failures are counted.'),
      resetAfter: setting(positiveDuration(), '30s', 'Time after which an open breaker lets one attempt through.'),
    },
    'Leaves a failing token endpoint alone.',
  ),
};

const redirectUri = (byDefault: string) =>
  setting(
    url({ mayHaveQuery: true, example: 'http://localhost:1455/oauth/callback' }),
    byDefault,
    'Where the provider sends the browser after the login, exactly as it is registered there.',
  );

const authorizeParams = parameters('Added to the authorize URL, such as `prompt`; an empty value takes a default out.');

const endpoint = (example: string) => url({ mayHaveQuery: true, example });
const clientId = () => line('the client id that the provider gave');

const deviceUrl = (byDefault: string) =>
  optional(endpoint('https://idp.example/device'), `Endpoint that begins a login on another device. ${byDefault}`);

/** What token_exchange and jwt_bearer hand over. */
const subject = {
  subjectTokenFile: optional(
    line('the path of a file'),
    'Grants `token_exchange` and `jwt_bearer`: the file with the token that is exchanged, such as a projected service account token. Read again at each use, and tried at once when it changes.',
  ),
  subjectTokenType: optional(
    line('a token type such as urn:ietf:params:oauth:token-type:jwt'),
    'Grant `token_exchange`: the type of the token in that file. Default: `urn:ietf:params:oauth:token-type:jwt`.',
  ),
  requestedTokenType: optional(
    line('a token type such as urn:ietf:params:oauth:token-type:access_token'),
    'Grant `token_exchange`: the type of the token that is wanted. Default: the provider’s choice.',
  ),
};

const client = {
  clientId: required(clientId(), 'Client id at the provider.'),
  clientSecret: optional(
    secret('the client secret that the provider gave'),
    'Client secret; none for a public client.',
  ),
  clientAuth: optional(
    choice(clientAuthMethods),
    'How the client authenticates at the provider. Default: `basic` with a clientSecret, `private_key_jwt` with a clientKey, else `none`. `tls_client_auth` (also for self-signed certificates) shows `tls.cert`.',
  ),
  clientKey: optional(
    privateKey(),
    'The client’s private key for `private_key_jwt`, in PEM or as a JWK: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519. A JWK’s `alg`, `kid`, `x5t` and `x5t#S256` are used. Assertions are for the issuer, or for tokenUrl where it is set.',
  ),
};

const grant = setting(
  choice(['authorization_code', 'device_code', 'refresh_token', 'client_credentials', 'token_exchange', 'jwt_bearer']),
  'authorization_code',
  'How tokens are obtained: by a person’s login, here or on another device alone; from a refresh token at hand; by the client alone; or with the token in subjectTokenFile, exchanged (RFC 8693) or as an assertion (RFC 7523).',
);

const provider = <const T extends string>(name: T, doc: string) => required(z.literal(name), doc);

const codex = z.strictObject({
  provider: provider('codex', 'ChatGPT’s Codex: a preset that needs no further setting.'),
  grant: setting(
    choice(['authorization_code', 'device_code', 'refresh_token']),
    'authorization_code',
    'How tokens are obtained: by a person’s login, here or on another device alone, or from a refresh token at hand.',
  ),
  authorizeUrl: optional(endpoint('https://auth.openai.com/oauth/authorize'), 'Overrides the preset’s authorize URL.'),
  tokenUrl: optional(endpoint('https://auth.openai.com/oauth/token'), 'Overrides the preset’s token URL.'),
  revokeUrl: optional(endpoint('https://auth.openai.com/oauth/revoke'), 'Overrides the preset’s revocation URL.'),
  deviceUrl: deviceUrl('Overrides the preset’s; the other addresses of that login are of the same origin.'),
  clientId: optional(clientId(), 'Overrides the preset’s client id.'),
  redirectUri: redirectUri('http://localhost:1455/auth/callback'),
  authorizeParams,
  originator: optional(line('a name such as codex_cli_rs'), 'Sent as `originator` to the authorize URL, where set.'),
  allowedWorkspaces: setting(
    z.array(line('a workspace id')),
    [],
    'Workspaces (account ids) that a login may be of; empty: any.',
  ),
  ...upkeep,
});

const oidc = z
  .strictObject({
    provider: provider('oidc', 'Any OpenID provider, by discovery.'),
    issuer: required(
      url({ mayHaveQuery: false, example: 'https://idp.example' }),
      'Issuer; its discovery document names the endpoints. Exactly as the provider writes it.',
    ),
    authorizeUrl: optional(
      endpoint('https://idp.example/authorize'),
      'Overrides the discovered authorization endpoint.',
    ),
    tokenUrl: optional(endpoint('https://idp.example/token'), 'Overrides the discovered token endpoint.'),
    revokeUrl: optional(endpoint('https://idp.example/revoke'), 'Overrides the discovered revocation endpoint.'),
    deviceUrl: deviceUrl('Overrides the discovered one.'),
    ...client,
    grant,
    ...subject,
    redirectUri: redirectUri('http://localhost:1455/oauth/callback'),
    authorizeParams,
    ...upkeep,
  })
  .transform((settings) => {
    const hasLogin = settings.grant === 'authorization_code' || settings.grant === 'device_code';
    const scope = hasLogin ? 'openid profile email offline_access' : undefined;
    return withClientAuth(settings.scope === undefined && scope !== undefined ? { ...settings, scope } : settings);
  });

const oauth2 = z
  .strictObject({
    provider: provider('oauth2', 'Any OAuth 2.0 provider, by its URLs.'),
    tokenUrl: required(endpoint('https://idp.example/oauth2/token'), 'Token endpoint.'),
    authorizeUrl: optional(
      endpoint('https://idp.example/oauth2/authorize'),
      'Authorization endpoint; required with the grant `authorization_code`.',
    ),
    revokeUrl: optional(endpoint('https://idp.example/oauth2/revoke'), 'Revocation endpoint (RFC 7009).'),
    deviceUrl: deviceUrl('Required with the grant `device_code` (RFC 8628).'),
    ...client,
    grant,
    ...subject,
    redirectUri: redirectUri('http://localhost:1455/oauth/callback'),
    authorizeParams,
    ...upkeep,
  })
  .transform(withClientAuth);

const file = z.strictObject({
  provider: provider('file', 'A token that something else writes to a file.'),
  path: required(line('the path of a file'), 'The file that holds the token itself; it is watched.'),
  inject,
  egress,
});

type ClientAuthMethod = (typeof clientAuthMethods)[number];

/** A client authenticates with the secret or key that it has, unless told otherwise. */
function withClientAuth<
  T extends {
    clientSecret?: string | undefined;
    clientKey?: string | undefined;
    clientAuth?: ClientAuthMethod | undefined;
  },
>(settings: T): T & { clientAuth: ClientAuthMethod } {
  const { clientSecret, clientKey } = settings;
  const fitting = clientSecret !== undefined ? 'basic' : clientKey !== undefined ? 'private_key_jwt' : 'none';
  return { ...settings, clientAuth: settings.clientAuth ?? fitting };
}

export const providerNames = ['codex', 'oidc', 'oauth2', 'file'] as const;

export const credentialSchema = z.discriminatedUnion('provider', [codex, oidc, oauth2, file]);
