// Rules between settings, looked at even where single values are wrong, so that every mistake is told in one go.
// They read the data as it stands in the file: whatever is not of the expected type is the schema's business, and
// is passed over here. No finding repeats a value.
import { parseListenAddress } from '../listen.ts';
import { checkCredential, reservedHeaders } from './credential-rules.ts';
import { credentialNamePattern } from './credential-schema.ts';
import { defaultAddresses } from './default-addresses.ts';
import { nearest } from './nearest.ts';
import { asDuration, asMapping, asText, checkPair, isLoopback, type Mapping, type Verdict } from './raw-data.ts';

export function checkRules(data: unknown): Verdict {
  const verdict: Verdict = { findings: [], cautions: [] };
  const config = asMapping(data);
  checkListeners(asMapping(config['listen']), verdict);
  checkListenerTls(asMapping(config['listen']), verdict);
  checkClients(asMapping(asMapping(config['listen'])['clients']), verdict);
  if (config['credentials'] !== undefined && Object.keys(asMapping(config['credentials'])).length === 0) {
    verdict.findings.push({ code: 'config_value_missing', path: ['credentials'], message: 'expected at least one' });
  }
  checkRoutes(config, verdict);
  const lease = asDuration(asMapping(config['store'])['lease'] ?? '30s');
  for (const [name, credential] of Object.entries(asMapping(config['credentials']))) {
    checkName(name, verdict);
    checkCredential(name, asMapping(credential), lease, verdict);
  }
  checkRedirects(config, verdict);
  checkStore(config['store'], verdict);
  checkDrain(asMapping(config['shutdown']), verdict);
  checkQuit(config, verdict);
  return verdict;
}

/** Names become file names, Secret names and metric labels in every store: all take these. */
function checkName(name: string, { findings }: Verdict): void {
  if (new RegExp(credentialNamePattern).test(name)) return;
  const message =
    'expected a name of at most 42 lower-case letters, digits and inner hyphens that does not end in -logins';
  findings.push({ code: 'config_value_invalid', path: ['credentials', name], message, isAtKey: true });
}

/** The same port twice is found out here, not by a port that turns out busy at start. */
function checkListeners(listen: Mapping, { findings }: Verdict): void {
  const taken: { name: string; address: string; port: string }[] = [];
  for (const name of ['proxy', 'oauth', 'telemetry'] as const) {
    const address = parseListenAddress(asText(listen[name] ?? defaultAddresses[name]) ?? '');
    if (address === undefined || ('port' in address && address.port === 0)) continue;
    const own =
      'path' in address
        ? { name, address: address.path, port: address.path }
        : { name, address: address.host, port: String(address.port) };
    const other = taken.find(
      (each) => each.port === own.port && (each.address === own.address || isWildcard(each) || isWildcard(own)),
    );
    if (other !== undefined) {
      // Told at the one that the file sets, for a default has no line.
      const [wrong, right] = listen[name] === undefined ? [other.name, name] : [name, other.name];
      const message = `expected another port or path than listen.${right} has`;
      findings.push({ code: 'config_value_invalid', path: ['listen', wrong], message });
    }
    taken.push(own);
  }
}

function isWildcard({ address }: { address: string }): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** A client certificate is shown in a handshake, and without TLS there is none: everybody would be let in. */
function checkListenerTls(listen: Mapping, { findings }: Verdict): void {
  const tls = asMapping(listen['tls']);
  const path = ['listen', 'tls'];
  checkPair(tls, 'cert', 'key', (below, message) => {
    findings.push({ code: 'config_value_missing', path: [...path, ...below], message });
  });
  if (asMapping(listen['clients'])['ca'] === undefined || tls['cert'] !== undefined || tls['key'] !== undefined) return;
  const message = 'expected `cert` and `key`: listen.clients.ca needs TLS on the proxy’s listener';
  findings.push({ code: 'config_value_missing', path, message });
}

/** A header that is not sent on, or that Node itself reads, can carry no token. */
function checkClients(clients: Mapping, { findings }: Verdict): void {
  const path = ['listen', 'clients'];
  checkPair(clients, 'header', 'token', (below, message) => {
    findings.push({ code: 'config_value_missing', path: [...path, ...below], message });
  });
  const header = asText(clients['header'])?.toLowerCase() ?? '';
  // Proxy-Authorization is meant for a proxy, which is what its client calls here.
  if (header === 'proxy-authorization' || !reservedHeaders.includes(header)) return;
  const message = 'expected a header that belongs neither to the connection nor to the message’s framing';
  findings.push({ code: 'config_value_invalid', path: [...path, 'header'], message });
}

function checkRoutes(config: Mapping, verdict: Verdict): void {
  const { findings, cautions } = verdict;
  const routes = Array.isArray(config['routes']) ? config['routes'].map(asMapping) : [];
  const names = Object.keys(asMapping(config['credentials']));
  const seenNames = new Map<string, number>();
  const seenPlaces = new Map<string, number>();
  const used = new Set<string>();
  routes.forEach((route, index) => {
    const name = asText(route['name'] ?? String(index)) ?? '';
    const path = asText(route['path'] ?? '/') ?? '';
    const place = `${asText(route['host'])?.toLowerCase() ?? ''} ${path === '/' ? path : path.replace(/\/$/, '')}`;
    const sameName = seenNames.get(name);
    const samePlace = seenPlaces.get(place);
    if (sameName !== undefined && name !== '') {
      const message = `expected another name than routes[${sameName}] has`;
      findings.push({ code: 'config_value_invalid', path: ['routes', index, 'name'], message });
    }
    if (samePlace !== undefined && path !== '') {
      const message = `the same host and path as routes[${samePlace}]: no request can reach this route`;
      findings.push({ code: 'config_value_invalid', path: ['routes', index, 'path'], message });
    }
    seenNames.set(name, sameName ?? index);
    seenPlaces.set(place, samePlace ?? index);

    checkRouteTls(route, index, findings);
    checkRouteHttp2(route, index, findings);
    checkPool(route, index, verdict);
    const members = Array.isArray(route['credential'])
      ? route['credential'].map(asText)
      : [asText(route['credential'])];
    if (members.some((member) => hasEgress(config, member)) && isPlainBeyondLoopback(route['upstream'])) {
      const message = 'plain http through an egress proxy: within its tunnel the proxy can read the token';
      cautions.push({ path: ['routes', index, 'upstream'], message });
    }
    members.forEach((member, at) => {
      if (member === undefined) return;
      used.add(member);
      if (names.includes(member)) return;
      const hint = nearest(member, names);
      findings.push({
        code: 'config_credential_unknown',
        path: ['routes', index, 'credential', ...(Array.isArray(route['credential']) ? [at] : [])],
        message: 'expected the name of a credential that stands under `credentials`',
        ...(hint === undefined ? {} : { nearest: hint }),
      });
    });
  });
  // Where a name came by a reference that is not resolved here, nothing can be said.
  const isKnown = (name: unknown): boolean => typeof name === 'string';
  if (
    !routes.every(({ credential }) => (Array.isArray(credential) ? credential.every(isKnown) : isKnown(credential)))
  ) {
    return;
  }
  for (const name of names) {
    if (!used.has(name))
      cautions.push({ path: ['credentials', name], message: 'no route uses this credential', isAtKey: true });
  }
}

function checkPool(route: Mapping, index: number, { findings, cautions }: Verdict): void {
  const { credential, pool, coolOn429 } = route;
  const members = Array.isArray(credential) ? credential : [credential];
  members.forEach((member, at) => {
    const first = members.indexOf(member);
    if (typeof member !== 'string' || first === at) return;
    const message = `expected another credential than routes[${index}].credential[${first}]`;
    findings.push({ code: 'config_value_invalid', path: ['routes', index, 'credential', at], message });
  });
  if (members.length > 1) return;
  const message = 'of no effect: the route has one credential';
  if (pool === 'round-robin') cautions.push({ path: ['routes', index, 'pool'], message, isAtKey: true });
  if (coolOn429 === true) cautions.push({ path: ['routes', index, 'coolOn429'], message, isAtKey: true });
}

/** Certificates on a plain http upstream are most likely a wrong scheme, and a token in clear. */
function checkRouteTls(route: Mapping, index: number, findings: Verdict['findings']): void {
  const tls = asMapping(route['tls']);
  checkPair(tls, 'cert', 'key', (below, message) => {
    findings.push({ code: 'config_value_missing', path: ['routes', index, 'tls', ...below], message });
  });
  if (Object.keys(tls).length === 0 || !asText(route['upstream'])?.toLowerCase().startsWith('http:')) return;
  const message = 'only an https upstream takes it';
  findings.push({ code: 'config_value_invalid', path: ['routes', index, 'tls'], message, isAtKey: true });
}

/** Over TLS it is asked, not known: a server that speaks HTTP/1.1 alone would get bytes that it cannot read. */
function checkRouteHttp2(route: Mapping, index: number, findings: Verdict['findings']): void {
  if (route['http2'] !== 'prior-knowledge' || !asText(route['upstream'])?.toLowerCase().startsWith('https:')) return;
  const message = 'only an http upstream takes `prior-knowledge`; an https one is asked with `auto`';
  findings.push({ code: 'config_value_invalid', path: ['routes', index, 'http2'], message });
}

function hasEgress(config: Mapping, credential: string | undefined): boolean {
  const own = asMapping(asMapping(config['credentials'])[credential ?? '']);
  return [own, config].some((each) => (asText(asMapping(each['egress'])['proxy']) ?? '') !== '');
}

function isPlainBeyondLoopback(upstream: unknown): boolean {
  const text = asText(upstream);
  if (text === undefined || !URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === 'http:' && !isLoopback(hostname);
}

const loginProviders = ['codex', 'oidc', 'oauth2'];

/** OpenAI's and others' redirect URIs name a port; a listener elsewhere must be reached through a forwarded one. */
function checkRedirects(config: Mapping, { cautions }: Verdict): void {
  const address = parseListenAddress(asText(asMapping(config['listen'])['oauth'] ?? defaultAddresses.oauth) ?? '');
  if (address === undefined || !('port' in address) || address.port === 0) return;
  for (const [name, raw] of Object.entries(asMapping(config['credentials']))) {
    const credential = asMapping(raw);
    if (!loginProviders.includes(asText(credential['provider']) ?? '')) continue;
    if ((credential['grant'] ?? 'authorization_code') !== 'authorization_code') continue;
    const uri = asText(credential['redirectUri'] ?? 'http://localhost:1455/') ?? '';
    const url = URL.canParse(uri) ? new URL(uri) : undefined;
    if (url === undefined || !isLoopback(url.hostname) || url.port === String(address.port)) continue;
    cautions.push({
      path: ['credentials', name, 'redirectUri'],
      message:
        'the port of the redirect URI is not that of listen.oauth: logins end only where the one is forwarded to the other',
    });
  }
}

function checkStore(raw: unknown, verdict: Verdict): void {
  const { findings } = verdict;
  const store = asMapping(raw);
  checkRedis(store, verdict);
  const { kind, keys, plaintext } = store;
  const isPlain = plaintext === true || plaintext === 'true';
  if (kind === 'kubernetes' && isPlain) {
    const message = 'expected false: in a cluster the application reads every Secret that its service account can read';
    findings.push({ code: 'config_value_invalid', path: ['store', 'plaintext'], message });
  }
  // What is not known is not judged: a kind that does not exist, a reference that is not resolved.
  const isLasting = kind === 'file' || kind === 'redis' || kind === 'kubernetes';
  const isEmpty = keys === undefined || (Array.isArray(keys) && keys.length === 0);
  if (!isLasting || isPlain || !isEmpty || typeof plaintext === 'symbol') return;
  findings.push({
    code: 'config_keys_missing',
    path: ['store', 'keys'],
    message: `expected at least one key to seal the tokens with (\`openssl rand -base64 32\`)${kind === 'kubernetes' ? '' : ', or `plaintext: true`'}`,
  });
}

function checkRedis({ kind, url, tls }: Mapping, { findings, cautions }: Verdict): void {
  if (kind !== 'redis') return;
  if (url === undefined) {
    const message = 'expected a redis or rediss URL, for this kind of store';
    findings.push({ code: 'config_value_missing', path: ['store', 'url'], message });
  }
  const text = asText(url);
  if (text === undefined || !text.startsWith('redis:')) return;
  if (asMapping(tls)['ca'] !== undefined) {
    const message = 'only a rediss URL takes it';
    findings.push({ code: 'config_value_invalid', path: ['store', 'tls'], message, isAtKey: true });
  } else if (URL.canParse(text) && !isLoopback(new URL(text).hostname)) {
    const message = 'a redis URL beyond loopback: the password goes in clear; a rediss URL speaks TLS';
    cautions.push({ path: ['store', 'url'], message });
  }
}

function checkDrain(shutdown: Mapping, { findings }: Verdict): void {
  const minimum = asDuration(shutdown['minDrain'] ?? '0s');
  const maximum = asDuration(shutdown['maxDrain'] ?? '25s');
  if (minimum === undefined || maximum === undefined || minimum <= maximum) return;
  const message = 'expected at most shutdown.maxDrain';
  findings.push({ code: 'config_value_invalid', path: ['shutdown', 'minDrain'], message });
}

/** What listens on one address of the pod is not reached over loopback, and nothing else may end it. */
function checkQuit(config: Mapping, { cautions }: Verdict): void {
  const quit = asMapping(config['shutdown'])['quit'];
  if (quit !== true && quit !== 'true') return;
  const address = parseListenAddress(
    asText(asMapping(config['listen'])['telemetry'] ?? defaultAddresses.telemetry) ?? '',
  );
  if (address === undefined || 'path' in address || isWildcard({ address: address.host })) return;
  if (isLoopback(address.host) || address.host === '::1') return;
  const message = 'of no effect: listen.telemetry is not reached over loopback';
  cautions.push({ path: ['shutdown', 'quit'], message });
}
