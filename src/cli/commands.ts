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
const settings: readonly Flag[] = [config, logLevel, listenFlag('proxy'), listenFlag('oauth'), listenFlag('telemetry')];
const url: Flag = { name: 'url', value: 'URL', doc: 'Where the sidecar listens, instead of --config.' };
const json: Flag = { name: 'json', doc: 'Prints JSON.' };
const timeout = (byDefault: string): Flag => ({
  name: 'timeout',
  value: 'DURATION',
  doc: `How long to try; default ${byDefault}.`,
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
    about: ['Serves until SIGTERM or SIGINT, then lets streams finish within shutdown.maxDrain.'],
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
