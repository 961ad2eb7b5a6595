// Known secrets go through logins, requests and refreshes, well and in every bad way, at the lowest log level and with
// the access log on; then none of them stands in anything that left the program: output, metrics, pages, JSON,
// headers, files.
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { endingWays, failingWays, oddWays, type Way } from './_parrot-provider.ts';
import { rawAnswers } from './_parrot-upstream.ts';
import { eventually } from './_process.ts';
import { createSecretScan } from './_secret-scan.ts';
import { createSecretWorld, json, type Name, names } from './_secret-world.ts';

const world = await createSecretWorld();
const { scan, provider, upstream } = world;
await world.start();
t.teardown(() => world.close());

t.test('logins: denied, failed in every way, and well', async (t) => {
  await world.lookAround('before any login');
  for (const headers of [{}, json]) {
    for (const name of names) {
      await world.logIn(name, { error: 'access_denied', error_description: 'no' }, headers);
      await world.logIn(name, { error: 'STATE', error_description: 'it was STATE and CODE', code: 'CODE' }, headers);
      await world.logIn(name, { error: 'x:CODE', code: 'CODE', error_description: 'CODE' }, headers);
      await world.logIn(name, {}, headers);
    }
  }
  let isForProgram = false;
  for (const [title, way] of Object.entries({ ...failingWays, ...endingWays })) {
    isForProgram = !isForProgram;
    await Promise.all(
      names.map(async (name) => {
        provider.answer(name, 'authorization_code', way);
        const { response } = await world.logIn(name, { code: 'CODE' }, isForProgram ? json : {});
        t.ok(response.status >= 400, `${name}: ${title} is answered with ${response.status}`);
      }),
    );
  }
  await world.lookAround('after failed logins');
  for (const name of names) {
    provider.answer(name, 'authorization_code', undefined);
    t.equal((await world.logIn(name)).response.status, 200, name);
    t.match((await world.logIn(name, { code: 'CODE' }, json)).text, /"usable": true/, name);
  }
  await world.lookAround('after logins');
});

t.test('requests, refreshes after a 401, and tokens among odd fields', async (t) => {
  for (const name of names) {
    t.equal((await world.call(name)).text, 'served');
    t.match(upstream.authorizations.at(-1), /^Bearer AT/, 'the token arrived');
    t.equal((await world.call(name, { method: 'POST', body: world.secret("client's own body") })).text, 'served');
    upstream.refusals = 1;
    t.equal((await world.call(name)).text, 'served', '401, refresh, replay');
    upstream.refusals = 2;
    t.equal((await world.call(name)).response.status, 401, 'refused again');
    await world.logIn(name);
    for (const way of Object.values(oddWays)) {
      const before = provider.calls(name, 'refresh_token');
      provider.answer(name, 'refresh_token', way);
      upstream.refusals = 1;
      await world.call(name);
      t.ok(provider.calls(name, 'refresh_token') > before);
      await world.logIn(name);
    }
    provider.answer(name, 'refresh_token', undefined);
  }
  await world.lookAround('after refreshes');
});

t.test('a store that cannot be written', async (t) => {
  const records = join(world.storePath, 'records', 'generic');
  /** In one step, unlike a folder that is moved: in between, one that is missing would be a record that was deleted. */
  const takeAway = (): void => chmodSync(records, 0o707);
  const giveBack = (): void => chmodSync(records, 0o700);
  provider.answer('generic', 'refresh_token', ({ gifts, response }) => {
    takeAway();
    response.end(JSON.stringify(gifts));
  });
  upstream.refusals = 1;
  t.equal((await world.call('generic')).text, 'served', 'from memory');
  t.equal((await world.statusOf('generic')).isDirty, true);
  await world.lookAround('while a token is not durable');
  provider.answer('generic', 'refresh_token', undefined);
  giveBack();
  await eventually('a durable token', async () => ((await world.statusOf('generic')).isDirty ? undefined : true));

  takeAway();
  t.ok((await world.logIn('generic')).response.status >= 500, 'a login');
  t.ok((await world.logIn('generic', { code: 'CODE' }, json)).response.status >= 500, 'a login by a program');
  await world.lookAround('while the store is away');
  giveBack();
  t.equal((await world.logIn('generic')).response.status, 200);
});

t.test('refreshes that fail in every way, with a token that has expired', async (t) => {
  const failAt = async (name: Name, title: string, way: Way): Promise<void> => {
    provider.answer(name, 'refresh_token', way);
    const before = provider.calls(name, 'refresh_token');
    const { state, usable } = await world.statusOf(name);
    if (state === 'dead' || usable) {
      await world.logIn(name);
      await eventually('its expiry', async () => ((await world.statusOf(name)).usable ? undefined : true));
    }
    const code = await eventually(`an attempt: ${title}`, async () => {
      const { response } = await world.call(name, { method: 'POST', body: 'x' });
      return provider.calls(name, 'refresh_token') > before
        ? (response.headers.get('sidebearer-error') ?? 'none')
        : undefined;
    });
    t.match(code, /^(access_token|token_endpoint|grant|refresh|client)_/, `${name}: ${title} is ${code}`);
    await world.visit(`/ after ${title}`, world.oauthUrl);
    await world.visit(`/metrics after ${title}`, `${world.program.telemetryUrl}/metrics`);
  };
  const silence: Way = () => undefined;
  provider.lifeSeconds = 1;
  await Promise.all(
    names.map(async (name) => {
      for (const [title, way] of Object.entries({ ...failingWays, silence, ...endingWays })) {
        await failAt(name, title, way);
      }
      provider.answer(name, 'refresh_token', undefined);
    }),
  );
  provider.lifeSeconds = 3_600;
  await world.lookAround('after failed refreshes');
  for (const name of names) t.equal((await world.logIn(name)).response.status, 200, name);
});

t.test('an upstream that answers with the request, or not at all', async (t) => {
  for (const [title, raw] of Object.entries(rawAnswers)) {
    upstream.raw = raw;
    const outcome = await world.call('generic').then(
      ({ response }) => response.headers.get('sidebearer-error'),
      () => 'cut off',
    );
    t.match(outcome, /^upstream_|^cut off$/, `${title}: ${outcome}`);
    await world.upgrade(`an upgrade answered with ${title}`);
  }
  upstream.raw = undefined;
  await world.upgrade('an upgrade that is refused');
  await world.lookAround('after upstream errors');
});

t.test('of all these secrets none is in anything that left the program', async (t) => {
  await world.stop();
  const kinds = [
    'access token',
    'refresh token',
    'id token',
    'authorization code',
    'code_verifier',
    'client secret',
    "client's Basic credentials",
    'seal key',
    'cookie value',
    'state',
  ];
  for (const kind of kinds) t.ok(scan.kinds.has(kind), kind);
  const { texts, characters } = scan.seen;
  t.comment(`${texts} texts, ${characters} characters`);
  t.match(world.program.output(), /"level":"trace"|"level":"debug"/, 'the lowest levels are logged');
  t.match(world.program.output(), /"msg":"Request"/, 'so is each request');

  t.strictSame(scan.findings(), []);

  // Each form of a leak is one that would have been found.
  const { clientSecret, key } = world;
  const leaky = createSecretScan();
  leaky.add('client secret', clientSecret);
  leaky.add('seal key', key);
  const leaks = { a: clientSecret, b: key };
  const forms = [
    JSON.stringify(leaks),
    JSON.stringify({ text: JSON.stringify(leaks) }),
    new URLSearchParams(leaks).toString(),
    encodeURIComponent(clientSecret),
    ...['', 'i:', 'id:'].map((before) => Buffer.from(before + clientSecret).toString('base64')),
    Buffer.from(clientSecret).toString('hex'),
    `${clientSecret.slice(0, 16)}…`,
    `…${clientSecret.slice(-16)}`,
  ];
  for (const [index, form] of forms.entries()) leaky.saw(`leak ${index}`, form);
  const found = leaky.findings();
  for (const index of forms.keys()) {
    t.ok(
      found.some((finding) => finding.endsWith(` in leak ${index}`)),
      `leak ${index}`,
    );
  }
});
