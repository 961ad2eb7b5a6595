// Which headers cross, by property: order, spelling and bytes kept; nothing of the connection; ours exactly once.
import fc from 'fast-check';
import t from 'tap';
import {
  clientHeaders,
  clientTrailers,
  createInjectedNames,
  readRequestFacts,
  upstreamHeaders,
} from '../../src/proxy/headers.ts';

const mixed = (name: string): fc.Arbitrary<string> =>
  fc
    .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
    .map((flags) => [...name].map((letter, i) => (flags[i] === true ? letter.toUpperCase() : letter)).join(''));
const special = fc
  .constantFrom(
    'authorization',
    'x_custom-token',
    'x-custom-token',
    'connection',
    'keep-alive',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
    'proxy-authorization',
    'proxy-connection',
    'expect',
    'host',
    'sidebearer-error',
    'content-length',
    'x-nominated',
  )
  .chain(mixed);
const plain = fc
  .stringMatching(/^[A-Za-z0-9!#$%&'*+.^`|~-]{1,12}$/)
  .filter((name) => !/^(?:te|host|upgrade|expect|trailer|connection|keep-alive)$/i.test(name));
const value = fc.string({
  unit: fc
    .integer({ min: 0x20, max: 0xff })
    .filter((c) => c !== 0x7f)
    .map((c) => String.fromCharCode(c)),
  maxLength: 10,
});
const list = fc.array(fc.tuple(fc.oneof(special, plain), value), { maxLength: 14 });

function pairs(raw: readonly string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i] ?? '', raw[2 * i + 1] ?? '']);
}

t.test('property: a request keeps its end-to-end headers, and ours stand once, at the end', async () => {
  const injected = createInjectedNames(['authorization', 'X-Custom-Token']);
  const ours = ['Authorization', 'Bearer x', 'x-custom-token', '7'];
  const gone =
    /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*|expect|host|x-nominated|authorization|x[-_]custom[-_]token)$/i;
  fc.assert(
    fc.property(list, (headers) => {
      const sent = pairs(upstreamHeaders(headers.flat(), new Set(['x-nominated', 'authorization']), injected, ours));
      const expected = [...headers.filter(([name]) => !gone.test(name)), ...pairs(ours)];
      return JSON.stringify(sent) === JSON.stringify(expected);
    }),
    { numRuns: 3000, seed: 1 },
  );
});

t.test('property: an answer keeps its end-to-end headers, and never says Sidebearer-Error', async () => {
  fc.assert(
    fc.property(list, fc.constantFrom(103, 200, 204, 304), fc.boolean(), (headers, status, mayHaveTrailers) => {
      const raw = [...headers.flat(), 'Connection', 'close, X-Nominated'];
      const nominated = pairs(raw).flatMap(([name, text]) =>
        name.toLowerCase() === 'connection' ? text.split(',').map((option) => option.trim().toLowerCase()) : [],
      );
      const mayHaveLength = status === 200 || status === 304;
      const hasLength = mayHaveLength && headers.some(([name]) => name.toLowerCase() === 'content-length');
      const expected = headers.filter(([name]) => {
        const lower = name.toLowerCase();
        if (/^(?:connection|keep-alive|te|transfer-encoding|upgrade|proxy-.*|sidebearer-error)$/.test(lower))
          return false;
        if (lower === 'content-length' && !mayHaveLength) return false;
        if (lower === 'trailer' && (hasLength || !mayHaveTrailers)) return false;
        return !nominated.filter((option) => option !== 'close' && option !== 'keep-alive').includes(lower);
      });
      return JSON.stringify(pairs(clientHeaders(raw, status, mayHaveTrailers))) === JSON.stringify(expected);
    }),
    { numRuns: 3000, seed: 2 },
  );
});

t.test('trailers carry no framing, no connection and not our mark', async (t) => {
  t.same(
    clientTrailers(['X-Sum', '1', 'content-length', '3', 'SIDEBEARER-ERROR', 'x', 'Connection', 'a', 'x-sum', '2']),
    ['X-Sum', '1', 'x-sum', '2'],
  );
});

t.test('facts: the body, the expectation and the nominations of a head', async (t) => {
  const facts = (...rawHeaders: string[]): ReturnType<typeof readRequestFacts> =>
    readRequestFacts({ method: 'GET', target: '/', isHttp10: false, rawHeaders: ['Host', 'a', ...rawHeaders] });
  t.same(facts().nominated, new Set());
  t.match(facts(), { host: 'a', hasBody: false, expect: undefined });
  t.equal(facts('Content-Length', '0').hasBody, false);
  t.equal(facts('content-length', '10').hasBody, true);
  t.equal(facts('Transfer-Encoding', ' Chunked').hasBody, true);
  t.equal(facts('expect', '100-Continue').expect, '100-continue');
  t.equal(facts('Expect', '100-continue', 'Expect', 'x').expect, '100-continue, x');
  t.same(facts('Connection', 'close, X-A', 'connection', ',Keep-Alive, te').nominated, new Set(['x-a', 'te']));
  t.equal(
    readRequestFacts({ method: 'GET', target: '/', isHttp10: true, rawHeaders: ['Expect', '100-continue'] }).expect,
    undefined,
  );
});
