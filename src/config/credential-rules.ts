// Rules between the settings of one credential: what a grant needs, where plain http is allowed, which names may be
// injected. Like rules.ts it reads the data as it stands in the file and passes over what the schema refuses.
import type { MistakeCode, SettingPath } from './mistake.ts';
import { asDuration, asMapping, asText, checkPair, isLoopback, type Mapping, type Verdict } from './raw-data.ts';

/** Parameters that the protocol itself sets; one set twice would change what is asked for. */
const tokenParameters = [
  'grant_type',
  'client_id',
  'client_secret',
  'client_assertion',
  'client_assertion_type',
  'code',
  'code_verifier',
  'redirect_uri',
  'refresh_token',
  'device_code',
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'assertion',
  'scope',
];
const authorizeParameters = [
  'response_type',
  'response_mode',
  'client_id',
  'redirect_uri',
  'scope',
  'state',
  'nonce',
  'code_challenge',
  'code_challenge_method',
];

/** Headers that belong to one connection, to the message's framing or to the proxy itself. */
export const reservedHeaders = [
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'sidebearer-error',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

export function checkCredential(
  name: string,
  credential: Mapping,
  leaseMs: number | undefined,
  verdict: Verdict,
): void {
  const path: SettingPath = ['credentials', name];
  const complain = (code: MistakeCode, below: SettingPath, message: string, isAtKey = false): void => {
    verdict.findings.push({ code, path: [...path, ...below], message, isAtKey });
  };
  checkInjection(asMapping(credential['inject']), complain);
  checkPair(asMapping(credential['tls']), 'cert', 'key', (below, message) => {
    complain('config_value_missing', ['tls', ...below], message);
  });
  const provider = credential['provider'];
  if (provider !== 'codex' && provider !== 'oidc' && provider !== 'oauth2') return;
  checkGrant(credential, complain);
  checkUrls(credential, path, complain, verdict);
  checkParameters(credential, complain);
  checkTimes(credential, path, leaseMs, complain, verdict);
}

type Complain = (code: MistakeCode, below: SettingPath, message: string, isAtKey?: boolean) => void;

function checkGrant(credential: Mapping, complain: Complain): void {
  const { provider, refreshToken, authorizeUrl, deviceUrl, subjectTokenFile } = credential;
  const grant = credential['grant'] ?? 'authorization_code';
  const needed = (key: string, what: string): void => {
    complain('config_value_missing', [key], `expected ${what}, for the grant is ${String(grant)}`);
  };
  if (grant === 'authorization_code' && provider === 'oauth2' && authorizeUrl === undefined) {
    needed('authorizeUrl', 'an authorize URL');
  }
  if (grant === 'device_code' && provider === 'oauth2' && deviceUrl === undefined) {
    needed('deviceUrl', 'the URL that begins a login on another device');
  }
  if (grant === 'refresh_token' && refreshToken === undefined) needed('refreshToken', 'a refresh token');
  if (isExchange(grant) && subjectTokenFile === undefined) {
    needed('subjectTokenFile', 'the file with the token to exchange');
  }
  if (refreshToken !== undefined && typeof grant === 'string' && grant !== 'refresh_token') {
    complain('config_value_invalid', ['refreshToken'], 'only the grant refresh_token takes it', true);
  }
  for (const key of ['subjectTokenFile', 'subjectTokenType', 'requestedTokenType']) {
    if (credential[key] === undefined || typeof grant !== 'string') continue;
    if (key === 'subjectTokenFile' ? isExchange(grant) : grant === 'token_exchange') continue;
    const takers =
      key === 'subjectTokenFile' ? 'grants token_exchange and jwt_bearer take' : 'grant token_exchange takes';
    complain('config_value_invalid', [key], `only the ${takers} it`, true);
  }
  const scopes = asText(credential['scope'])?.split(' ');
  const isLogin = grant === 'authorization_code' || grant === 'device_code';
  if (isLogin && provider === 'oidc' && scopes !== undefined && !scopes.includes('openid')) {
    complain('config_value_invalid', ['scope'], 'expected openid among the scopes, for OpenID wants it');
  }
  if (provider !== 'codex') checkClientAuth(credential, grant, complain);
}

function isExchange(grant: unknown): boolean {
  return grant === 'token_exchange' || grant === 'jwt_bearer';
}

/** What each way to authenticate needs; a key or secret that nothing uses is most likely a slip. */
function checkClientAuth(credential: Mapping, grant: unknown, complain: Complain): void {
  const { clientSecret, clientKey, clientAuth } = credential;
  const isAlone = grant === 'client_credentials';
  if (isAlone && clientAuth === 'none') {
    const message = 'expected one that proves the client, for the grant is client_credentials';
    complain('config_value_invalid', ['clientAuth'], message);
  }
  const wantsSecret = clientAuth === 'basic' || clientAuth === 'post';
  const isProvedOtherwise =
    clientAuth === 'private_key_jwt' || clientAuth === 'tls_client_auth' || clientKey !== undefined;
  if (clientSecret === undefined && (wantsSecret || (isAlone && !isProvedOtherwise))) {
    const why = isAlone ? 'the grant is client_credentials' : 'clientAuth asks for it';
    complain('config_value_missing', ['clientSecret'], `expected a client secret, for ${why}`);
  }
  if (clientAuth === 'private_key_jwt' && clientKey === undefined) {
    complain('config_value_missing', ['clientKey'], 'expected a private key, for clientAuth asks for it');
  }
  const isKeyUsed = clientAuth === 'private_key_jwt' || (clientAuth === undefined && clientSecret === undefined);
  if (clientKey !== undefined && !isKeyUsed && typeof clientAuth !== 'symbol') {
    complain('config_value_invalid', ['clientKey'], 'only clientAuth private_key_jwt takes it', true);
  }
  if (clientAuth === 'tls_client_auth' && asMapping(credential['tls'])['cert'] === undefined) {
    complain('config_value_missing', ['tls', 'cert'], 'expected a certificate, for clientAuth asks for it');
  }
}

/** Tokens, codes and keys pass through these: plain http beyond this machine has to be said by name. */
function checkUrls(credential: Mapping, path: SettingPath, complain: Complain, { cautions }: Verdict): void {
  const { allowHttp } = credential;
  for (const key of ['issuer', 'authorizeUrl', 'tokenUrl', 'revokeUrl', 'deviceUrl']) {
    const text = asText(credential[key]);
    if (text === undefined || !URL.canParse(text)) continue;
    const url = new URL(text);
    if (url.protocol !== 'http:' || isLoopback(url.hostname)) continue;
    if (allowHttp === true || allowHttp === 'true') {
      cautions.push({ path: [...path, key], message: 'plain http: tokens can be read on the way' });
    } else if (typeof allowHttp !== 'symbol') {
      complain('config_value_invalid', [key], 'expected https, for the host is not loopback (or `allowHttp: true`)');
    }
  }
}

function checkParameters(credential: Mapping, complain: Complain): void {
  const sets = [
    { key: 'tokenParams', reserved: tokenParameters },
    { key: 'authorizeParams', reserved: authorizeParameters },
  ];
  for (const { key, reserved } of sets) {
    for (const name of Object.keys(asMapping(credential[key]))) {
      if (!reserved.includes(name)) continue;
      complain('config_value_invalid', [key, name], 'a parameter that the protocol itself sets', true);
    }
  }
}

function checkInjection(inject: Mapping, complain: Complain): void {
  const header = asText(inject['header'] ?? 'Authorization')?.toLowerCase() ?? '';
  const seen = new Set([header]);
  const isReserved = (name: string): boolean => reservedHeaders.includes(name);
  const reservedMessage = 'expected a header that belongs neither to the connection nor to the message’s framing';
  if (isReserved(header)) complain('config_value_invalid', ['inject', 'header'], reservedMessage);
  for (const name of Object.keys(asMapping(inject['headers']))) {
    const folded = name.toLowerCase();
    if (isReserved(folded)) complain('config_value_invalid', ['inject', 'headers', name], reservedMessage, true);
    else if (seen.has(folded))
      complain('config_value_invalid', ['inject', 'headers', name], 'the header is set twice', true);
    seen.add(folded);
  }
}

function checkTimes(
  credential: Mapping,
  path: SettingPath,
  leaseMs: number | undefined,
  complain: Complain,
  { cautions }: Verdict,
): void {
  const refresh = asMapping(credential['refresh']);
  const backoff = asMapping(refresh['backoff']);
  const initial = asDuration(backoff['initial'] ?? '1s');
  const maximum = asDuration(backoff['max'] ?? '30s');
  if (initial !== undefined && maximum !== undefined && initial > maximum) {
    const key = backoff['initial'] === undefined ? 'max' : 'initial';
    complain('config_value_invalid', ['refresh', 'backoff', key], 'expected initial to be at most max');
  }
  const lead = asDuration(refresh['lead']);
  if (lead !== undefined && leaseMs !== undefined && leaseMs > lead / 2) {
    cautions.push({
      path: [...path, 'refresh', 'lead'],
      message: 'less than twice store.lease: after a crash, the token may expire before another process may refresh it',
    });
  }
}
