// Every command, as data: the dispatch table of main.ts and the text of the help. A command's code is imported when
// it is called, so that `check` never loads the proxy and `wait` never loads the schema.
import type { Command, Flag } from './command.ts';

const config: Flag = {
  name: 'config',
  short: 'c',
  value: 'FILE',
  doc: 'The configuration; - reads standard input.',
  env: 'SIDEBEARER_CONFIG',
};
const listenFlag = (name: string): Flag => ({
  name: `listen-${name}`,
  value: 'ADDRESS',
  doc: `Instead of listen.${name} in the file.`,
  env: `SIDEBEARER_LISTEN_${name.toUpperCase()}`,
});
const logLevel: Flag = {
  name: 'log-level',
  value: 'LEVEL',
  doc: 'Instead of log.level in the file.',
  env: 'SIDEBEARER_LOG_LEVEL',
};
const quit: Flag = {
  name: 'quit',
  doc: 'Lets POST /quitquitquit end it: shutdown.quit.',
  env: 'SIDEBEARER_QUIT',
};
const settings: readonly Flag[] = [
  config,
  logLevel,
  listenFlag('proxy'),
  listenFlag('oauth'),
  listenFlag('telemetry'),
  quit,
];
const url: Flag = { name: 'url', value: 'URL', doc: 'Where the sidecar listens, instead of --config.' };
const json: Flag = { name: 'json', doc: 'Prints JSON.' };
const timeout = (byDefault: string): Flag => ({
  name: 'timeout',
  value: 'DURATION',
  doc: `How long to try; default ${byDefault}.`,
});

/** They have variables of their own: those of the sidecar may stand in the same environment. */
const injectFlag = (name: string, value: string, doc: string): Flag => ({
  name,
  value,
  doc,
  env: `SIDEBEARER_INJECT_${name.toUpperCase().replaceAll('-', '_')}`,
});

const adminToken: readonly Flag[] = [
  {
    name: 'admin-token',
    value: 'TOKEN',
    doc: 'Where admin.token is set; better by file or environment.',
    env: 'SIDEBEARER_ADMIN_TOKEN',
  },
  { name: 'admin-token-file', value: 'FILE', doc: 'The file that holds it.' },
];
/** Of the commands that order something of the running sidecar. */
const orderFlags: readonly Flag[] = [url, config, listenFlag('oauth'), ...adminToken, json, timeout('3m')];
const orderedBy =
  'Asks the OAuth listener: at --url, else where --config says (with its admin.token), else at 127.0.0.1:1455. With listen.oauth off it cannot.';

export const commands: readonly Command[] = [
  {
    name: 'run',
    summary: 'Runs the sidecar.',
    about: [
      'Serves until SIGTERM or SIGINT, then lets streams finish within shutdown.maxDrain. A second signal cuts them; a',
      'refresh that was sent is waited for all the same. Exits 0.',
      'For a Job whose sidecar is no native one: --quit, and `sidebearer shutdown`.',
    ],
    examples: [
      'sidebearer run --config /etc/sidebearer/config.yaml',
      'SIDEBEARER_LOG_LEVEL=debug sidebearer run --config config.yaml --listen-proxy 127.0.0.1:9000',
    ],
    flags: settings,
    load: async () => (await import('./run.ts')).run,
  },
  {
    name: 'check',
    summary: 'Checks a configuration, without any network.',
    about: ['Prints every mistake with its line and column, and exits 1 where there is one.'],
    examples: ['sidebearer check --config config.yaml', 'sidebearer check --config config.yaml --no-references --json'],
    flags: [
      ...settings,
      { name: 'no-references', doc: 'Looks at no variable and no file that ${env:…} and ${file:…} name: for CI.' },
      json,
    ],
    load: async () => (await import('./check.ts')).check,
  },
  {
    name: 'status',
    summary: 'Shows the credentials of the running sidecar.',
    about: [
      'Asks the OAuth listener for /status.json: at --url, else where --config says, else at 127.0.0.1:1455.',
      'Where listen.oauth is off it asks the telemetry listener for /metrics, which tells less.',
      'Exits 1 where it cannot be reached.',
    ],
    examples: ['sidebearer status', 'sidebearer status --url http://localhost:1455 --json'],
    flags: [url, config, listenFlag('oauth'), json, timeout('5s')],
    load: async () => (await import('./status.ts')).status,
  },
  {
    name: 'login',
    summary: 'Logs a credential in.',
    operand: 'CREDENTIAL',
    about: [
      'Opens the start page in the browser, waits for the end of the login, and shows it. Where there is no browser',
      '(a container, SSH, no display) it prints the address, and the command that carries the port to a machine with one.',
      'After 15 s it offers to paste the address that a browser ended at. Ctrl-C cancels the login.',
      'CREDENTIAL may be left out where only one takes a login.',
      '--pod is for the laptop: it runs kubectl port-forward on the registered port for as long as the login takes, and',
      'falls back to a login on another device, by kubectl exec, where that port is in use.',
      orderedBy,
    ],
    examples: [
      'sidebearer login',
      'sidebearer login codex --device',
      'sidebearer login codex --paste',
      'sidebearer login codex --pod my-app-0 --namespace apps',
    ],
    flags: [
      { name: 'no-browser', doc: 'Prints the address instead of opening it.' },
      {
        name: 'paste',
        doc: 'Completes the login by the address that a browser ended at, from the terminal or a pipe.',
      },
      { name: 'device', doc: 'Logs in on another device, by a code.' },
      { name: 'replace', doc: 'Lets another account replace the one that is stored.' },
      { name: 'pod', value: 'NAME', doc: 'The pod of the sidecar, by kubectl on the PATH.' },
      { name: 'namespace', short: 'n', value: 'NAME', doc: 'Its namespace.' },
      { name: 'context', value: 'NAME', doc: 'The context of the kubeconfig.' },
      { name: 'container', value: 'NAME', doc: 'The container of the sidecar, for kubectl exec.' },
      { name: 'port', value: 'PORT', doc: "The OAuth listener's port in the pod; default 1455." },
      url,
      config,
      listenFlag('oauth'),
      ...adminToken,
      json,
      timeout('30m'),
    ],
    load: async () => (await import('./login.ts')).login,
  },
  {
    name: 'import',
    summary: 'Takes over the login of CLIProxyAPI or of the Codex CLI.',
    operand: 'FILE',
    about: [
      'Detects the format, shows account, expiry and where it goes, and asks before it is written.',
      'Only one program may use a login: the other one must stop using this file, or one of the two is logged out.',
      orderedBy,
      '--offline opens the store itself, under the lease, and needs --config.',
    ],
    examples: [
      'sidebearer import ~/.codex/auth.json',
      'sidebearer import codex-ada.json --credential codex --move --yes',
      'sidebearer import ~/.codex/auth.json --offline --config config.yaml',
    ],
    flags: [
      { name: 'credential', value: 'NAME', doc: 'Where it goes; default: the only one of provider codex.' },
      { name: 'move', doc: 'Takes the tokens out of FILE once they are stored.' },
      { name: 'replace', doc: 'Lets another account replace the one that is stored.' },
      { name: 'offline', doc: 'Without a running sidecar.' },
      { name: 'yes', short: 'y', doc: 'Does not ask.' },
      ...orderFlags,
    ],
    load: async () => (await import('./import.ts')).importFile,
  },
  {
    name: 'export',
    summary: 'Refuses to hand tokens out, and says what to do instead.',
    operand: 'CREDENTIAL',
    about: ['A refresh token that two programs use logs both out. There is no flag that changes this.'],
    examples: ['sidebearer export codex'],
    flags: [],
    load: async () => (await import('./export.ts')).exportTokens,
  },
  {
    name: 'refresh',
    summary: 'Refreshes a credential now.',
    operand: 'CREDENTIAL',
    about: [
      'Joins a refresh that is at work, and works during a cooldown. Who stops waiting cancels nothing.',
      orderedBy,
      'Exits 1 with the code of what it failed with.',
    ],
    examples: ['sidebearer refresh codex', 'sidebearer refresh codex --config config.yaml --json'],
    flags: orderFlags,
    load: async () => (await import('./refresh.ts')).refresh,
  },
  {
    name: 'resume',
    summary: "Ends a credential's pauses.",
    operand: 'CREDENTIAL',
    about: [
      'Those after failures and after refusals of the upstream: what is due is tried at once.',
      'An open breaker, and a second try that refresh.unclear holds back, stay: they protect the grant.',
      orderedBy,
      'Exits 0 where nothing was paused, 1 where the credential is dead, absent, or held by one of the two.',
    ],
    examples: ['sidebearer resume codex'],
    flags: orderFlags,
    load: async () => (await import('./resume.ts')).resume,
  },
  {
    name: 'logout',
    summary: "Revokes a credential's tokens and deletes them.",
    operand: 'CREDENTIAL',
    about: [
      'At the provider, best effort, and in every replica. Asks first. Only a login, an import or a new refreshToken',
      'in the configuration brings the credential back.',
      orderedBy,
      'Exits 0 once they are deleted, also where the provider did not confirm the revocation, which it then says.',
    ],
    examples: ['sidebearer logout codex', 'sidebearer logout codex --yes --url http://localhost:1455'],
    flags: [{ name: 'yes', short: 'y', doc: 'Does not ask.' }, ...orderFlags],
    load: async () => (await import('./logout.ts')).logout,
  },
  {
    name: 'wait',
    summary: 'Blocks until the sidecar is ready.',
    about: [
      'Asks the telemetry listener for /readyz: at --url, else where --config says, else at 127.0.0.1:9464.',
      'Exits 1 where it is not ready in time. Needs no shell and no curl: for probes and start scripts.',
    ],
    examples: ['sidebearer wait --timeout 30s', 'sidebearer wait --url http://127.0.0.1:9464 --timeout 1s'],
    flags: [url, config, listenFlag('telemetry'), timeout('60s')],
    load: async () => (await import('./wait.ts')).wait,
  },
  {
    name: 'shutdown',
    summary: 'Ends the running sidecar, as SIGTERM would.',
    about: [
      'Asks the telemetry listener for POST /quitquitquit: at --url, else where --config says, else at 127.0.0.1:9464.',
      'Needs shutdown.quit (run --quit) there, and works from the same pod alone. Returns once it is ending, with --wait',
      'once it has ended. Exits 1 where it does not run, where that is off, and where it did not end in time.',
    ],
    examples: ['sidebearer shutdown', 'sidebearer shutdown --wait --timeout 60s'],
    flags: [
      { name: 'wait', doc: 'Waits until it has ended.' },
      url,
      config,
      listenFlag('telemetry'),
      timeout('5s; with --wait 60s'),
    ],
    load: async () => (await import('./shutdown.ts')).shutdown,
  },
  {
    name: 'rekey',
    summary: 'Seals everything stored under the first key.',
    about: [
      'To change the key: add the new one at the end of store.keys everywhere, then put it first everywhere, then run',
      'this, then remove the old one. A sidecar that does not have the new key could no longer read its tokens.',
      'Takes the lease of each credential, so it may run beside the sidecars. Exits 1 where a record stays as it was.',
      orderedBy,
    ],
    examples: ['sidebearer rekey', 'sidebearer rekey --offline --config config.yaml'],
    flags: [{ name: 'offline', doc: 'Opens the store itself.' }, ...orderFlags],
    load: async () => (await import('./rekey.ts')).rekey,
  },
  {
    name: 'inject',
    summary: 'Adds the sidecar to pods that ask for it, as an admission webhook or in a file.',
    about: [
      'A pod asks by the annotation sidebearer.dev/inject: NAME, a ConfigMap of its namespace (docs/injection.md).',
      'Without --file it is the mutating webhook: POST /mutate by HTTPS, until SIGTERM or SIGINT. It reads no API, and',
      'takes a new certificate without a restart. With --file it writes the file with its pods injected to standard',
      'output and what there is to say to standard error, and exits 1 where a pod could not be, or none asked.',
    ],
    examples: [
      'sidebearer inject --file deployment.yaml --image registry.example/sidebearer:0.1.0 | kubectl apply -f -',
      'sidebearer inject --image registry.example/sidebearer:0.1.0 --tls-cert /tls/tls.crt --tls-key /tls/tls.key',
    ],
    flags: [
      { name: 'file', short: 'f', value: 'FILE', doc: 'YAML or JSON with Kubernetes objects; - reads standard input.' },
      injectFlag('image', 'IMAGE', 'The image of the sidecar, unless a pod names another.'),
      injectFlag('image-pull-policy', 'POLICY', 'Always, IfNotPresent or Never; default: as the API has it.'),
      injectFlag('keys-secret', 'NAME', 'The Secret with the seal key, or none; default sidebearer-keys.'),
      injectFlag('listen', 'ADDRESS', 'Of the webhook; default 0.0.0.0:9443.'),
      injectFlag('tls-cert', 'FILE', 'Its certificate with the chain, in PEM.'),
      injectFlag('tls-key', 'FILE', 'The key of it, in PEM.'),
      injectFlag('telemetry', 'ADDRESS', 'Metrics and probes; default 0.0.0.0:9464.'),
      injectFlag('log-level', 'LEVEL', 'Of the webhook; default info.'),
      injectFlag('min-drain', 'DURATION', 'How long requests are still taken after SIGTERM; default 5s.'),
    ],
    load: async () => (await import('./inject.ts')).inject,
  },
  {
    name: 'uninject',
    summary: 'Takes what inject added out of a file again.',
    about: ['Writes the file to standard output. It goes by the annotation sidebearer.dev/status; what asks stays.'],
    examples: ['sidebearer uninject --file deployment.yaml'],
    flags: [
      { name: 'file', short: 'f', value: 'FILE', doc: 'YAML or JSON with Kubernetes objects; - reads standard input.' },
    ],
    load: async () => (await import('./uninject.ts')).uninject,
  },
  {
    name: 'schema',
    summary: 'Prints the JSON Schema of the configuration, for editors.',
    about: ['Draft 2020-12. A configuration names it in its first line: # yaml-language-server: $schema=FILE'],
    examples: ['sidebearer schema > sidebearer.schema.json'],
    flags: [],
    load: async () => (await import('./schema.ts')).schema,
  },
  {
    name: 'version',
    summary: 'Prints version and commit; also --version.',
    about: [],
    examples: ['sidebearer --version'],
    flags: [],
    load: async () => (await import('./version.ts')).version,
  },
];
