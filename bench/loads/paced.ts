// GETs at a steady rate that does not wait for answers. The time of a request counts from when it was due: one that
// had to queue because the proxy was slow has waited for the proxy. Percentiles of a closed loop would hide that.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { readLoadRequest } from '../load.ts';
import { percentile } from '../statistics.ts';

/** Connections and code warm up before anything counts. */
const WARM_UP_MS = 500;
/** The generator itself looked away for so long that what was due meanwhile says nothing about the proxy. */
const STALL_MS = 1;

const { url, authorization, connections, seconds, rate = 1000 } = readLoadRequest();
const { hostname, port, host, pathname } = new URL(url);
const authorizationLine = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`;
const head = Buffer.from(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${authorizationLine}\r\n`);

class Connection {
  readonly socket: Socket;
  dueMs = 0;
  /** Of the answer that is coming in; 0 until its head is whole. */
  #missingBytes = 0;
  #text = '';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', fail);
    socket.on('close', fail);
  }

  send(dueMs: number): void {
    this.dueMs = dueMs;
    this.socket.write(head);
  }

  #receive(chunk: Buffer): void {
    if (this.#missingBytes === 0) {
      this.#text += chunk.toString('latin1');
      const end = this.#text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = /\r\ncontent-length: (\d+)/i.exec(this.#text)?.[1];
      if (length === undefined || !this.#text.startsWith('HTTP/1.1 200')) {
        fail();
        return;
      }
      this.#missingBytes = end + 4 + Number(length) - this.#text.length;
      this.#text = '';
    } else {
      this.#missingBytes -= chunk.length;
    }
    if (this.#missingBytes === 0) answered(this);
  }
}

const latencies = new Float64Array(Math.ceil(rate * (seconds + 1)));
let measured = 0;
let failures = 0;
let isOver = false;
const idle: Connection[] = [];
const overdue: number[] = [];

function fail(): void {
  if (isOver) return;
  failures += 1;
  finish();
}

function answered(connection: Connection): void {
  const nowMs = performance.now();
  if (connection.dueMs >= countsFromMs && measured < latencies.length) {
    latencies[measured] = nowMs - connection.dueMs;
    measured += 1;
  }
  const dueMs = overdue.shift();
  if (dueMs === undefined) idle.push(connection);
  else connection.send(dueMs);
}

for (let i = 0; i < connections; i += 1) {
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  idle.push(new Connection(socket));
}

const intervalMs = 1000 / rate;
const begunMs = performance.now();
const countsFromMs = begunMs + WARM_UP_MS;
const endsMs = countsFromMs + seconds * 1000;
let nextMs = begunMs;
let lookedMs = begunMs;

function pace(): void {
  if (isOver) return;
  const nowMs = performance.now();
  if (nowMs > endsMs) {
    finish();
    return;
  }
  const isLate = nowMs - lookedMs > STALL_MS;
  lookedMs = nowMs;
  for (; nextMs <= nowMs; nextMs += intervalMs) {
    const dueMs = isLate ? nowMs : nextMs;
    const connection = idle.pop();
    if (connection === undefined) overdue.push(dueMs);
    else connection.send(dueMs);
  }
  setImmediate(pace);
}

function finish(): void {
  isOver = true;
  const sorted = latencies.subarray(0, measured).toSorted();
  const us = (share: number): number => percentile(sorted, share) * 1000;
  const latencyUs = { p50: us(0.5), p99: us(0.99), 'p99.9': us(0.999) };
  console.log(JSON.stringify({ answers: measured, perSecond: measured / seconds, failures, latencies: latencyUs }));
  process.exit(0);
}

pace();
