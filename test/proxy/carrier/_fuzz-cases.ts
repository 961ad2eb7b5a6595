// Conversations that are nearly HTTP: valid messages, torn, mutated, glued and cut, from both sides of the proxy. They
// are drawn from a seed, so that each can be played again.
import fc from 'fast-check';

export interface FuzzCase {
  /** Stands in both messages; no mutation makes one of another. */
  readonly id: string;
  /** What the client sends, piece by piece. */
  readonly request: readonly string[];
  /** What it does then; `leave` before the last piece. */
  readonly clientEnd: 'half-close' | 'leave' | 'wait';
  readonly answer: readonly string[];
  readonly upstreamEnd: 'close' | 'keep' | 'reset';
}

interface Mutation {
  readonly kind: 'delete' | 'insert' | 'repeat' | 'replace' | 'truncate';
  /** Of the message's length. */
  readonly at: number;
  readonly size: number;
  readonly text: string;
}

const breaks = ['\r', '\n', '\0', ' ', '\t', ':', ',', ';', '\\', '"', '\xff', '\x80', '\r\n', '\r\n\r\n', '\n\n'];
const pieces = [
  ...breaks,
  'Content-Length: 5\r\n',
  'Content-Length: -1\r\n',
  'Content-Length: 0x10\r\n',
  'Content-Length: 99999999999999999999\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Connection: close\r\n',
  'Connection: Authorization, Host, upgrade\r\n',
  'Upgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  'Host: second\r\n',
  ' folded: 1\r\n',
  '0\r\n\r\n',
  'ffffffff\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: glued\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
];

/** @param decoy `host:port` that nothing may ever be sent to */
const requestsOf = (id: string, decoy: string): readonly string[] => {
  const rest = `Host: a.test\r\nX-Case: ${id}\r\n`;
  const chunked = `${rest}Transfer-Encoding: chunked\r\n`;
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  return [
    `GET /${id} HTTP/1.1\r\n${rest}\r\n`,
    `HEAD /${id} HTTP/1.1\r\n${rest}\r\n`,
    `GET /${id} HTTP/1.0\r\n${rest}\r\n`,
    `POST /${id} HTTP/1.1\r\n${rest}Content-Length: 5\r\n\r\nhello`,
    `PUT /${id} HTTP/1.1\r\n${rest}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello`,
    `POST /${id} HTTP/1.1\r\n${chunked}\r\n5\r\nhello\r\n0\r\n\r\n`,
    `POST /${id} HTTP/1.1\r\n${chunked}Trailer: X-T\r\n\r\n5;a="b"\r\nhello\r\n0\r\nX-T: 1\r\nAuthorization: x\r\n\r\n`,
    `GET http://${decoy}/${id} HTTP/1.1\r\n${rest}\r\n`,
    `GET //${decoy}/${id} HTTP/1.1\r\n${rest}\r\n`,
    `GET http://a.test@${decoy}/${id} HTTP/1.1\r\n${rest}\r\n`,
    `GET /${id} HTTP/1.1\r\nHost: ${decoy}\r\nX-Forwarded-Host: ${decoy}\r\nX-Case: ${id}\r\nAuthorization: Bearer own\r\n\r\n`,
    `CONNECT ${decoy} HTTP/1.1\r\nHost: ${decoy}\r\nX-Case: ${id}\r\n\r\n`,
    `OPTIONS * HTTP/1.1\r\n${rest}\r\n`,
    `GET /${id} HTTP/1.1\r\n${rest}${upgrade}${key}\r\nglued`,
    `GET /${id} HTTP/1.1\r\n${rest}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  ];
};

const answersOf = (id: string, decoy: string): readonly string[] => [
  `HTTP/1.1 200 OK\r\nX-Case: ${id}\r\nContent-Length: 4\r\n\r\nbody`,
  `HTTP/1.1 200 OK\r\nX-Case: ${id}\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n4\r\nbody\r\n0\r\nX-T: 1\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nX-Case: ${id}\r\n\r\nuntil the end`,
  `HTTP/1.0 200 OK\r\nX-Case: ${id}\r\n\r\nold`,
  `HTTP/1.1 204 No Content\r\nX-Case: ${id}\r\n\r\n`,
  `HTTP/1.1 304 Not Modified\r\nX-Case: ${id}\r\nContent-Length: 10\r\n\r\n`,
  `HTTP/1.1 401 Unauthorized\r\nX-Case: ${id}\r\nContent-Length: 2\r\n\r\nno`,
  `HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nX-Case: ${id}\r\nContent-Length: 2\r\n\r\nok`,
  `HTTP/1.1 302 Found\r\nX-Case: ${id}\r\nLocation: http://${decoy}/\r\nAlt-Svc: http="${decoy}"\r\nContent-Length: 0\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nX-Case: ${id}\r\nSidebearer-Error: forged\r\nContent-Length: 0\r\n\r\n`,
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello',
  `HTTP/1.1 200 OK\r\nX-Case: ${id}\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\nX-Case: ${id}\r\nContent-Length: 4\r\n\r\nmore`,
  'not HTTP at all',
  '',
];

function mutate(message: string, mutations: readonly Mutation[]): string {
  let text = message;
  for (const { kind, at, size, text: piece } of mutations) {
    const index = Math.floor(at * text.length);
    const [before, after] = [text.slice(0, index), text.slice(index)];
    switch (kind) {
      case 'delete':
        text = before + after.slice(size);
        break;
      case 'insert':
        text = before + piece + after;
        break;
      case 'repeat':
        text = before + after.slice(0, size * 4) + after;
        break;
      case 'replace':
        text = before + piece + after.slice(piece.length);
        break;
      case 'truncate':
        text = before;
        break;
    }
  }
  return text;
}

/** @param cuts places of the message's length */
function split(text: string, cuts: readonly number[]): string[] {
  const places = cuts.map((cut) => Math.floor(cut * text.length)).sort((a, b) => a - b);
  return [0, ...places].map((place, index) => text.slice(place, places[index])).filter((piece) => piece !== '');
}

const unit = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const mutations = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Mutation[]>([]) },
  {
    weight: 2,
    arbitrary: fc.array(
      fc.record<Mutation>({
        kind: fc.constantFrom('delete', 'insert', 'insert', 'repeat', 'replace', 'truncate'),
        at: unit,
        size: fc.integer({ min: 1, max: 8 }),
        text: fc.oneof(
          { weight: 4, arbitrary: fc.constantFrom(...pieces) },
          {
            weight: 1,
            arbitrary: fc.string({
              unit: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)),
              maxLength: 6,
            }),
          },
        ),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  },
);
const cuts = fc.array(unit, { maxLength: 4 });

export function createFuzzCases(seed: number, count: number, decoy: string): FuzzCase[] {
  const index = fc.nat({ max: 1_000_000 });
  const one = fc.record({
    number: fc.nat({ max: 0xffff_ffff }),
    // Mostly one: what follows a refused one is not looked at.
    requests: fc
      .tuple(fc.constantFrom(1, 1, 1, 2, 3), fc.array(fc.tuple(index, mutations), { minLength: 3, maxLength: 3 }))
      .map(([length, drawn]) => drawn.slice(0, length)),
    requestCuts: cuts,
    clientEnd: fc.constantFrom<FuzzCase['clientEnd']>('half-close', 'leave', 'wait', 'wait'),
    answer: fc.tuple(index, mutations),
    answerCuts: cuts,
    upstreamEnd: fc.constantFrom<FuzzCase['upstreamEnd']>('close', 'keep', 'keep', 'reset'),
  });
  return fc.sample(one, { seed, numRuns: count }).map((drawn, position) => {
    const id = `case-${position}-${drawn.number.toString(16).padStart(8, '0')}-`;
    const [requests, answers] = [requestsOf(id, decoy), answersOf(id, decoy)];
    const pick = (list: readonly string[], [chosen, changes]: readonly [number, readonly Mutation[]]): string =>
      mutate(list[chosen % list.length] ?? '', changes);
    return {
      id,
      request: split(drawn.requests.map((each) => pick(requests, each)).join(''), drawn.requestCuts),
      clientEnd: drawn.clientEnd,
      answer: split(pick(answers, drawn.answer), drawn.answerCuts),
      upstreamEnd: drawn.upstreamEnd,
    };
  });
}
