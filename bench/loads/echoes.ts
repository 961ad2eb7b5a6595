// WebSocket echoes: each connection sends its next message when the last one has come back.
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { readLoadRequest } from '../load.ts';
import { percentile } from '../statistics.ts';

const MESSAGE_BYTES = 125;

const { url, authorization, connections, seconds } = readLoadRequest();
const message = Buffer.alloc(MESSAGE_BYTES, 'x');
const headers = authorization === undefined ? {} : { authorization };
const times: number[] = [];
let failures = 0;
let isOver = false;

const sockets: WebSocket[] = [];
for (let i = 0; i < connections; i += 1) {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), { perMessageDeflate: false, headers });
  await once(socket, 'open');
  sockets.push(socket);
}
for (const socket of sockets) {
  let sentMs = 0;
  const send = (): void => {
    sentMs = performance.now();
    socket.send(message);
  };
  socket.on('message', () => {
    times.push((performance.now() - sentMs) * 1000);
    if (!isOver) send();
  });
  socket.on('error', () => {
    failures += 1;
  });
  socket.on('close', () => {
    if (!isOver) failures += 1;
  });
  send();
}
await delay(seconds * 1000);
isOver = true;
for (const socket of sockets) socket.terminate();
times.sort((a, b) => a - b);
const latencies = { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
console.log(JSON.stringify({ answers: times.length, perSecond: times.length / seconds, failures, latencies }));
