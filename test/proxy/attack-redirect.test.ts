// The story: an upstream that lies, or has an open redirect, answers with another place to go to. Whatever follows it with
// the token in hand gives the token away. Nothing here follows: the client gets the answer as it is.
import t from 'tap';
import { exchangeRaw, onHead, startProxy, startRawUpstream } from './_proxy.ts';

for (const status of [301, 302, 303, 307, 308]) {
  t.test(`${status} goes to the client unchanged, upgrades too, and nobody else hears from us`, async (t) => {
    let strays = 0;
    const elsewhere = await startRawUpstream(t, () => {
      strays += 1;
    });
    const heads: string[] = [];
    const upstream = await startRawUpstream(t, (socket) =>
      onHead(socket, (head) => {
        heads.push(head);
        socket.end(
          `HTTP/1.1 ${status} Elsewhere\r\nLocation: ${elsewhere.url}/\r\nRefresh: 0; url=${elsewhere.url}\r\n` +
            `Alt-Svc: http="${new URL(elsewhere.url).host}"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
        );
      }),
    );
    const proxy = await startProxy(t, upstream.url);
    for (const more of [
      '',
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n',
    ]) {
      const close = more === '' ? 'Connection: close\r\n' : more;
      const answer = await exchangeRaw(t, proxy.port, `GET /x HTTP/1.1\r\nHost: a\r\n${close}\r\n`);
      t.match(answer, `HTTP/1.1 ${status} Elsewhere\r\n`);
      t.match(answer, `Location: ${elsewhere.url}/\r\n`);
      t.notMatch(answer, 'token-1');
    }
    t.equal(heads.length, 2);
    for (const head of heads) t.match(head, /\r\nauthorization: bearer token-1/i);
    t.equal(strays, 0);
  });
}
