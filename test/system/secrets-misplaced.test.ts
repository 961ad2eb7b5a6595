// Secrets where none belongs, and the worst moments: malformed requests, mistakes in the configuration, records that
// cannot be read, crashes. None of them makes the program tell a secret.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runCommand, startProgram } from './_process.ts';
import { createSecretWorld, json, names } from './_secret-world.ts';

const world = await createSecretWorld();
const { scan, config, clientSecret, key } = world;
await world.start();
t.teardown(() => world.close());

t.test('in paths, queries, cookies, hosts and malformed requests', async (t) => {
  for (const name of names) t.equal((await world.logIn(name)).response.status, 200, name);
  const { program, oauthUrl } = world;
  const stray = world.secret('stray secret');
  const word = encodeURIComponent(stray);
  for (const base of [oauthUrl, program.telemetryUrl, `${program.proxyUrl}/elsewhere`]) {
    await world.visit('an unknown page', `${base}/${word}?code=${word}&state=${word}`);
  }
  for (const headers of [{}, json]) {
    await world.visit('a callback of nobody', `${oauthUrl}/oauth/callback?code=${word}&state=${word}`, { headers });
    await world.visit('a refusal of nobody', `${oauthUrl}/oauth/callback?error=${word}&state=${word}`, { headers });
    await world.visit('a start of nobody', `${oauthUrl}/oauth/start?credential=${word}`, { headers });
    await world.visit('a cookie', oauthUrl, { headers: { ...headers, cookie: `sidebearer-login-1=${word}; ${word}` } });
    const torn = {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: `{"x": "${word}`,
    };
    await world.visit('a torn form', `${oauthUrl}/oauth/start`, torn);
  }
  const requests = [
    `GET /generic/${word} HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer ${stray}\r\n\r\n`,
    `GET /generic/?${stray}\u0001 HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /generic/ HTTP/1.1\r\nHost: ${word}\r\nConnection: close\r\n\r\n`,
    `GET /generic/ HTTP/1.1\r\nHost: x\r\nCookie: ${stray.repeat(3_000)}\r\n\r\n`,
    `POST /generic/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${stray}\r\n`,
    `${stray} / HTTP/1.1\r\n\r\n`,
  ];
  for (const url of [program.proxyUrl, oauthUrl, program.telemetryUrl]) {
    await Promise.all(requests.map((bytes) => world.sendRaw('an answer to a malformed request', url, bytes)));
  }
  await world.lookAround('after malformed requests');
});

t.test('in the configuration', async (t) => {
  const wrong = world.secret('secret in a wrong place');
  const plain = wrong.slice(9);
  const quoted = JSON.stringify(wrong);
  const ours = JSON.stringify(clientSecret);
  const mistakes: Readonly<Record<string, string>> = {
    'as the provider': config.replace('provider: oauth2', `provider: ${quoted}`),
    'as a duration': config.replace('cooldown: 50ms', `cooldown: ${quoted}`),
    'as a credential': config.replace('credential: generic', `credential: ${quoted}`),
    'as a seal key': config.replace(key, quoted.slice(1, -1)),
    'a seal key that is cut off': config.replace(key, key.slice(0, 40)),
    'in a URL': config.replace('authorizeUrl: http://', `authorizeUrl: http://u:${encodeURIComponent(wrong)}@`),
    'of a wrong type': config.replace(ours, `[${ours}]`),
    'under a misspelt key': config.replace('clientSecret:', 'clientSecrets:'),
    'after a colon without a space': config.replace('clientSecret: ', 'clientSecret:'),
    'after such a colon, between braces': config.replace('log: {', `log: { clientSecret:${plain},`),
    'in a quote that is left open': config.replace(ours, ours.slice(0, -1)),
    'under a key that is there twice': config.replace('clientSecret:', `clientSecret: ${quoted}\n    clientSecret:`),
    'at a wrong indentation': config.replace('    clientSecret:', '  clientSecret:'),
    'in a variable': config.replace('cooldown: 50ms', 'cooldown: "${env:WRONG}"'),
    'as a default': config.replace('cooldown: 50ms', `cooldown: "\${env:ABSENT:-${plain}}"`),
    'in a torn reference': config.replace('cooldown: 50ms', `cooldown: "\${env:${plain}"`),
  };
  const env = { WRONG: wrong };
  // Each tells the same mistakes, in its own way.
  const tellers = [
    (text: string) => runCommand(['check', '--config', '-'], text, env),
    (text: string) => runCommand(['check', '--config', '-', '--json'], text, env),
    (text: string) => startProgram(text, env),
  ];
  for (const [index, [title, text]] of Object.entries(mistakes).entries()) {
    t.not(text, config, title);
    const end = await tellers[index % tellers.length]?.(text);
    t.match(end, { exit: 1 }, title);
    if (end !== undefined && 'exit' in end) scan.saw(`what is said of a secret ${title}`, end.output);
  }
  const { output } = await runCommand(['status', '--url', `http://u:${encodeURIComponent(wrong)}@127.0.0.1:9`]);
  scan.saw('status', output);
});

t.test('in a store under another key, bound elsewhere, or torn', async (t) => {
  const restart = async (text: string, when: string): Promise<void> => {
    await world.start(text);
    for (const name of names) await world.call(name);
    await world.lookAround(when);
  };
  await restart(config.replace(key, world.sealKey()), 'under another key');
  await restart(config.replace('/token/generic', '/token/elsewhere'), 'with another token URL');
  await world.stop('SIGKILL');
  const records = join(world.storePath, 'records', 'generic');
  const numbers = readdirSync(records).map(Number).filter(Number.isInteger);
  const record = join(records, String(Math.max(...numbers)));
  const whole = readFileSync(record, 'utf8');
  const otherSeal = whole.replace(/"sealed":"(.{8})/, '"sealed":"AAAAAAAA');
  t.not(otherSeal, whole);
  for (const torn of [whole.slice(0, -40), otherSeal]) {
    writeFileSync(record, torn);
    await restart(config, 'with a torn record');
  }
  await world.stop('SIGKILL');
  writeFileSync(record, whole);
  await restart(config, 'with the record as it was');
  t.equal((await world.call('generic')).text, 'served');
});

t.test('in errors that nobody catches, and in a process that is aborted', async (t) => {
  const thrown = world.secret('secret in an error');
  const crash = (how: string): Record<string, string> => {
    const source = `process.on('SIGUSR2', () => {
      const text = process.env.THROWN;
      const error = new Error('failed with ' + text + '\\n    at ' + text + ':1:1', { cause: new Error(text) });
      error.name = error.code = text;
      error.body = { token: text };
      setImmediate(() => { ${how} });
    });`;
    return { THROWN: thrown, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(source)}` };
  };
  for (const how of ['throw error', 'Promise.reject(error)', 'throw text']) {
    await world.start(config, crash(how));
    t.equal(await world.stop('SIGUSR2'), 1, how);
    t.match(world.program.output(), /^sidebearer: internal_error: /m, how);
  }
  await world.start(config, {}, world.folder);
  t.equal((await world.call('preset')).text, 'served');
  t.equal(await world.stop('SIGABRT'), 'SIGABRT');
  scan.sawFolder('the store after crashes', world.storePath);
});

t.test('none of them was told', async (t) => {
  const { texts, characters } = scan.seen;
  t.comment(`${texts} texts, ${characters} characters`);
  t.strictSame(scan.findings(), []);
});
