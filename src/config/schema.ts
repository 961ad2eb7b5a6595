// The configuration as data: every setting with its kind, default and one line of doc. What is valid, what editors
// offer and what docs/config.md says is read from here. Rules between settings are in rules.ts.
import * as z from 'zod';
import { credentialNamePattern, credentialSchema, headerNamePattern } from './credential-schema.ts';
import { defaultAddresses } from './default-addresses.ts';
import { defaultReferences } from './default-references.ts';
import { fixed, group, optional, referred, required, setting } from './setting.ts';
import { tlsShape } from './tls-settings.ts';
import {
  autoFlag,
  choice,
  duration,
  egressProxy,
  flag,
  integer,
  kindOf,
  line,
  lineOrEmpty,
  listenAddress,
  listenAddressOrOff,
  positiveDuration,
  positiveSize,
  redisUrl,
  sealKey,
  secretToken,
  size,
  text,
  unresolved,
  url,
} from './value-kinds.ts';

// A configuration is read once: a parser compiled for it would cost more than it saves.
z.config({ jitless: true });

const hostPattern =
  /^([A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])$/;

/** A host name or an IP literal, without a port; in lower case afterwards. */
const hostName = () =>
  kindOf({ type: 'host name' }, { type: 'string', pattern: hostPattern.source }, (raw, refuse) =>
    typeof raw === 'string' && hostPattern.test(raw)
      ? raw.toLowerCase()
      : refuse('a host name without scheme, port and path'),
  );

/** One name, or several; always a list afterwards. */
const credentialNames = () =>
  kindOf(
    { type: 'text, or list of text' },
    {
      anyOf: [
        { type: 'string', minLength: 1 },
        { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
      ],
    },
    (raw, refuse): readonly string[] => {
      const all: readonly unknown[] = Array.isArray(raw) ? raw : [raw];
      // Of what a reference should have given, the missing reference is told.
      const names = all.filter((name) => name !== unresolved);
      const isName = (name: unknown): name is string => typeof name === 'string' && /^[^\p{Cc}]+$/u.test(name);
      return all.length > 0 && names.every(isName) ? names : refuse('the name of a credential, or a list of names');
    },
  );

const route = z.strictObject({
  name: optional(
    text('letters, digits, `.`, `_` and `-`', /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
    'Name in metrics and logs. Default: the index.',
  ),
  path: setting(
    text('a path that begins with a slash, without query and fragment', /^\/[!"$->@-~]*$/),
    '/',
    'Path prefix, by whole segments; the longest that matches wins.',
  ),
  host: optional(hostName(), 'The client’s `Host`, without port. A route with a host is looked at first.'),
  upstream: required(
    url({ mayHaveQuery: false, example: 'https://api.example/v1' }),
    'Where requests go; its path is put before the request’s.',
  ),
  stripPath: setting(flag(), false, 'Removes `path` before the upstream’s path is added.'),
  credential: required(
    credentialNames(),
    'The credential whose token is injected; a list is a pool, of which each request takes one.',
  ),
  pool: setting(
    choice(['order', 'round-robin']),
    'order',
    'Which of several credentials: the first that is usable, or each in turn.',
  ),
  coolOn429: setting(
    flag(),
    false,
    'A credential of a pool rests when the upstream says 429, for its `Retry-After`, at most `refresh.maxRetryAfter`; codex also where its quota is used up.',
  ),
  timeouts: group(
    {
      connect: setting(duration(), '10s', 'To connect, TLS included.'),
      headers: setting(duration(), '0s', 'To the head of the answer. `0s`: none.'),
      idle: setting(duration(), '0s', 'Between two pieces of the answer’s body. `0s`: none.'),
    },
    'Timeouts towards the upstream.',
  ),
  replay: group(
    { maxBody: setting(size(), '1MiB', 'Largest request body that is kept to be sent again after a 401.') },
    'The one replay after a 401.',
  ),
  http2: setting(
    choice(['auto', 'never', 'prior-knowledge']),
    'auto',
    'HTTP/2 to the upstream: where an https one offers it, `never`, or `prior-knowledge` for a plain http one that speaks nothing else.',
  ),
  forwarded: setting(
    choice(['none', 'x-forwarded', 'forwarded']),
    'none',
    'Tells the upstream the client’s address, `Host` and scheme: `x-forwarded` (`X-Forwarded-For` appended to the client’s own, `-Host` and `-Proto` in place of it) or `forwarded` (RFC 7239, appended). `none`: the client’s own pass unchanged.',
  ),
  via: setting(
    flag(),
    false,
    'Appends `1.1 sidebearer` to `Via` on requests (RFC 9110 §7.6.3). `false`: the client’s own passes unchanged.',
  ),
  tls: group(
    {
      ...tlsShape('the upstream'),
      serverName: optional(hostName(), 'Name that the upstream’s certificate must be for. Default: that of the URL.'),
    },
    'TLS to the upstream.',
  ),
});

const store = z.strictObject({
  kind: fixed(
    required(
      choice(['memory', 'file', 'redis', 'kubernetes']),
      'Where tokens are kept: `memory` loses them at the end of the process; `file` is one folder, `redis` one server, `kubernetes` the Secrets of a namespace, each shared by all replicas.',
    ),
  ),
  path: fixed(setting(line('the path of a folder'), '/var/lib/sidebearer', 'Folder of the kind `file`.')),
  keys: setting(
    z.array(sealKey()),
    [],
    'Keys that seal the tokens, 32 bytes in base64 each: the first seals, all open. Required for every kind that outlives the process.',
  ),
  plaintext: fixed(setting(flag(), false, 'Stores tokens unsealed, without keys.')),
  url: fixed(
    optional(
      redisUrl(),
      'The server of the kind `redis`, with TLS for `rediss`. It must run with `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction`.',
    ),
  ),
  keyPrefix: fixed(
    setting(
      text('a prefix of visible ASCII characters', /^[!-~]{1,100}$/),
      'sidebearer:',
      'What the keys and the channel of the kind `redis` begin with.',
    ),
  ),
  tls: group(
    {
      ca: optional(
        line('the path of a PEM file'),
        'Authorities, in PEM, by which the server is trusted, besides those that Node trusts.',
      ),
    },
    'TLS to the server of the kind `redis`.',
  ),
  namespace: fixed(
    setting(
      text('a namespace', /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$/),
      '',
      'Namespace of the kind `kubernetes`. Default: the pod’s own.',
    ),
  ),
  secretPrefix: fixed(
    setting(
      text('a prefix of lower-case letters, digits and `-`', /^[a-z0-9][-a-z0-9]{0,100}$/),
      'sidebearer-',
      'What the names of Secrets and Leases begin with; the credential’s name follows.',
    ),
  ),
  serviceAccount: fixed(
    setting(
      line('the path of a folder'),
      '/var/run/secrets/kubernetes.io/serviceaccount',
      'Folder with `token`, `ca.crt` and `namespace` of the service account, of the kind `kubernetes`. It is read again as tokens rotate.',
    ),
  ),
  lease: fixed(
    setting(positiveDuration(), '30s', 'How long one process may hold the right to refresh without renewing it.'),
  ),
});

export const configSchema = z.strictObject({
  listen: group(
    {
      proxy: fixed(setting(listenAddress(), defaultAddresses.proxy, 'The proxy: `host:port` or `unix:/path`.')),
      oauth: fixed(
        setting(
          listenAddressOrOff(),
          defaultAddresses.oauth,
          'Logins and status page: `host:port`, `unix:/path` or `off`.',
        ),
      ),
      telemetry: fixed(
        setting(listenAddress(), defaultAddresses.telemetry, 'Metrics and probes: `host:port` or `unix:/path`.'),
      ),
      hosts: setting(z.array(hostName()), [], '`Host` names that the proxy serves; empty: any.'),
      tls: group(
        {
          cert: optional(line('the path of a PEM file'), 'Certificate of the proxy with its chain, in PEM.'),
          key: optional(line('the path of a PEM file'), 'The key of that certificate, in PEM, unencrypted.'),
        },
        'TLS on the proxy’s listener, HTTP/1.1 and HTTP/2 by ALPN. Both settings or neither: then it is plain.',
      ),
      clients: group(
        {
          ca: optional(
            line('the path of a PEM file'),
            'Authorities, in PEM, of which every client must show a certificate in its TLS handshake; needs `listen.tls`.',
          ),
          header: optional(
            text('a header name', headerNamePattern),
            'Header in which every client must show the token; it is not sent on.',
          ),
          token: optional(secretToken(), 'The token that clients must show: the header’s whole value.'),
        },
        'Who may call the proxy, where it listens beyond loopback: `ca`, or `header` and `token`, or all of them.',
      ),
    },
    'The three listeners.',
  ),
  routes: z
    .array(route)
    .min(1)
    .transform((routes) => routes.map((each, index) => ({ ...each, name: each.name ?? String(index) })))
    .meta({ description: 'Where requests go: chosen by host first, then by the longest path.' }),
  // The names are checked by rules.ts: here a wrong one would keep the credential below it from being looked at.
  credentials: z.record(z.string(), credentialSchema).meta({
    description: 'The credentials, by name.',
    propertyNames: { type: 'string', pattern: credentialNamePattern },
    minProperties: 1,
  }),
  store: store.meta({ description: 'Where tokens are kept.' }),
  egress: group(
    {
      proxy: referred(
        egressProxy(),
        '',
        defaultReferences.egress.proxy,
        'Proxy for all connections to upstreams and providers, `http://` or `https://`, with `user:password@` where it wants one. Always by CONNECT, http upstreams too; never for loopback.',
      ),
      noProxy: referred(
        lineOrEmpty('a list of hosts on one line'),
        '',
        defaultReferences.egress.noProxy,
        'Destinations that need no proxy, also not a credential’s own: `host` (and what is below it), `.suffix`, an address, a CIDR range, each with or without `:port`; `*` is all.',
      ),
    },
    'The way out.',
  ),
  readiness: group(
    { require: setting(choice(['none', 'any', 'all']), 'none', 'Which credentials must be usable for `/readyz`.') },
    'Readiness.',
  ),
  shutdown: group(
    {
      minDrain: setting(duration(), '0s', 'How long accepting goes on after SIGTERM.'),
      maxDrain: setting(duration(), '25s', 'How long requests may take to end after SIGTERM.'),
      quit: setting(
        flag(),
        false,
        'Whether `POST /quitquitquit` on the telemetry listener ends the process as SIGTERM does; from the same pod alone, over loopback. For Jobs in which the sidecar is no native one.',
      ),
    },
    'The end.',
  ),
  limits: group(
    {
      inFlight: setting(integer(1, 1_000_000), 4096, 'Requests at work at once; more are answered 503.'),
      headerBytes: fixed(setting(positiveSize(), '16KiB', 'Size of a request’s head.')),
      headerCount: setting(integer(1, 100_000), 1000, 'Header lines of a request.'),
      headerTimeout: setting(positiveDuration(), '15s', 'Time for a request’s head to arrive.'),
      keepAlive: setting(
        positiveDuration(),
        '72s',
        'How long an idle connection is kept. Longer than clients and load balancers keep theirs: who closes first may cut a request.',
      ),
      replayMemory: setting(size(), '32MiB', 'Memory for all request bodies that are kept for a replay.'),
    },
    'Limits of the proxy.',
  ),
  admin: group(
    {
      token: optional(
        secretToken(),
        'Whatever changes something on the OAuth listener must show it: `Authorization: Bearer`, or the password that a browser asks for. Default: none is wanted.',
      ),
    },
    'The administration on the OAuth listener.',
  ),
  metrics: group(
    {
      perCredential: setting(autoFlag(), 'auto', 'Gauges for each credential. `auto`: off above 100 credentials.'),
    },
    'Metrics.',
  ),
  log: group(
    {
      level: setting(
        choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal']),
        'info',
        'Least level that is written.',
      ),
      format: fixed(setting(choice(['json', 'pretty']), 'json', '`json` for machines, `pretty` for people.')),
      access: setting(flag(), false, 'One line for each request.'),
    },
    'Logs, on standard output.',
  ),
});

/** A valid configuration: durations in ms, sizes in bytes, percentages as fractions, under the names of the file. */
export type Config = z.output<typeof configSchema>;
export type RouteConfig = Config['routes'][number];
export type CredentialConfig = Config['credentials'][string];
export type StoreConfig = Config['store'];
