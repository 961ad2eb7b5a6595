// Server-sent events through the proxy: when the first byte of a stream comes, and how long each event was under way
// (the upstream writes the moment into it; both read the same monotonic clock).
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { readLoadRequest } from '../load.ts';
import { median, percentile } from '../statistics.ts';

const { url, authorization, connections, seconds } = readLoadRequest();
const { hostname, port, host, pathname } = new URL(url);
const authorizationLine = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`;
const head = `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n${authorizationLine}\r\n`;

const firstBytesUs: number[] = [];
const delaysUs: number[] = [];
let failures = 0;
let isOver = false;

/** Resolves with the first event. */
function open(): Promise<Socket> {
  return new Promise((resolve) => {
    let askedNs = 0n;
    let isFirst = true;
    const socket = connect(Number(port), hostname, () => {
      askedNs = process.hrtime.bigint();
      socket.write(head);
    });
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      const nowNs = process.hrtime.bigint();
      const text = chunk.toString('latin1');
      for (const [, sentNs] of text.matchAll(/data: (\d+) /g)) {
        if (!isFirst) delaysUs.push(Number(nowNs - BigInt(sentNs ?? 0)) / 1000);
        else {
          isFirst = false;
          firstBytesUs.push(Number(nowNs - askedNs) / 1000);
          resolve(socket);
        }
      }
    });
    const lost = (): void => {
      if (!isOver) failures += 1;
      resolve(socket);
    };
    socket.on('error', lost);
    socket.on('close', lost);
  });
}

const begunMs = performance.now();
const sockets: Socket[] = [];
// One after the other: a first byte is not to wait for other streams' beginnings.
for (let i = 0; i < connections; i += 1) sockets.push(await open());
await delay(seconds * 1000);
isOver = true;
for (const socket of sockets) socket.destroy();
delaysUs.sort((a, b) => a - b);
const latencies = {
  'first byte p50': median(firstBytesUs),
  'event p50': percentile(delaysUs, 0.5),
  'event p99': percentile(delaysUs, 0.99),
};
const answers = delaysUs.length + firstBytesUs.length;
const perSecond = (answers * 1000) / (performance.now() - begunMs);
console.log(JSON.stringify({ answers, perSecond, failures, latencies }));
