// A method is the client's and the upstream's business: it arrives as it is, or is refused with a code of its own.
import { codeOf, connectRaw, exchangeRaw, statusOf } from '../_proxy.ts';
import { onEachCarrier } from './_carriers.ts';
import { startForbidden, startOrigin } from './_origin.ts';

const carried =
  'GET HEAD POST PUT PATCH DELETE OPTIONS QUERY PROPFIND PROPPATCH MKCOL MKCALENDAR MKACTIVITY COPY MOVE LOCK UNLOCK SEARCH REPORT ACL BIND REBIND UNBIND LINK UNLINK CHECKOUT MERGE PURGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE SOURCE'.split(
    ' ',
  );
const uncommon = [
  'FOO',
  'get',
  'Get',
  'GETX',
  'GE',
  'X',
  'BASELINE-CONTROL',
  'VERSION-CONTROL',
  'LABEL',
  "A'b!#$%&*+.^_`|~",
];

onEachCarrier('methods arrive as they are', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
  const proxy = await carrier.start(t, origin.url);
  for (const method of carried) {
    const answer = await exchangeRaw(t, proxy.port, `${method} /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    t.equal(statusOf(answer), 204, method);
    t.equal(origin.requests.at(-1)?.line, `${method} /x HTTP/1.1`);
  }
});

onEachCarrier(
  'any other token is carried, too, or is 501 request_method_unknown and the last of its connection (methods)',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
    const proxy = await carrier.start(t, origin.url);
    for (const method of uncommon) {
      const request = `${method} /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
      const answer = await exchangeRaw(t, proxy.port, `${request}GET /next HTTP/1.1\r\nHost: a\r\n\r\n`);
      if (carrier.differences.has('methods')) {
        t.equal(statusOf(answer), 501, method);
        t.equal(codeOf(answer), 'request_method_unknown', method);
        t.match(answer, /^Connection: close\r$/m);
        t.equal(answer.match(/HTTP\/1\.1 \d/g)?.length, 1, method);
      } else {
        t.equal(origin.requests.at(-1)?.line, `${method} /x HTTP/1.1`);
      }
    }
    if (carrier.differences.has('methods')) t.equal(origin.connections.length, 0);
  },
);

onEachCarrier('a method that comes in pieces, or after another request, is judged alike', async (t, carrier) => {
  const origin = await startOrigin(t, () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  const proxy = await carrier.start(t, origin.url);
  for (const pieces of [
    ['POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\na\nb\n', 'FOO / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\na\nb\nFOO / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\na\nb\nFO', 'O / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ]) {
    const before = origin.requests.length;
    const client = await connectRaw(t, proxy.port);
    client.send(pieces[0] ?? '');
    await client.until('ok');
    if (pieces[1] !== undefined) client.send(pieces[1]);
    if (carrier.differences.has('methods')) {
      await client.ended;
      // Of a line in pieces it cannot be told whether it is one.
      t.match(codeOf(client.received()) ?? '', /^request_(method_unknown|malformed)$/);
      t.equal(origin.requests.length, before + 1);
    } else {
      await client.until(/ok[\s\S]*ok/);
    }
    client.socket.destroy();
  }
});

onEachCarrier(
  'another protocol in the request line is 400, or is read as HTTP/1.0 (request-protocol-unseen)',
  async (t, carrier) => {
    const origin = await startOrigin(t, () => 'HTTP/1.1 204 No Content\r\n\r\n');
    const proxy = await carrier.start(t, origin.url);
    for (const line of ['GET /x RTSP/1.0', 'OPTIONS /x RTSP/1.0', 'DESCRIBE /x RTSP/1.0', 'SOURCE /x ICE/1.0']) {
      const answer = await exchangeRaw(t, proxy.port, `${line}\r\nHost: a\r\n\r\n`);
      if (carrier.differences.has('request-protocol-unseen')) {
        t.equal(statusOf(answer), 204, line);
        t.equal(origin.requests.at(-1)?.line, line.replace(/ \S+$/, ' HTTP/1.1'));
      } else {
        t.equal(codeOf(answer), 'request_malformed', line);
      }
    }
    const forbidden = await startForbidden(t);
    const other = await carrier.start(t, forbidden.url);
    for (const line of ['GET /x ICE/1.0', 'DESCRIBE /x HTTP/1.1', 'GET /x FTP/1.0', 'GET /x HTTPS/1.1']) {
      const answer = await exchangeRaw(t, other.port, `${line}\r\nHost: a\r\n\r\n`);
      t.match(codeOf(answer) ?? '', /^request_(malformed|method_unknown)$/, line);
    }
    t.equal(forbidden.connections.length, 0);
  },
);
