// What is measured, as data.
import { type Load, program } from './load.ts';
import { wrk } from './loads/wrk.ts';
import type { UpstreamKind } from './upstreams.ts';

export interface Case {
  /** As it is chosen. */
  readonly name: string;
  readonly doc: string;
  readonly upstream: UpstreamKind;
  readonly path: string;
  readonly connections: number;
  readonly load: Load;
  /** What an answer is called in the table: one, many. */
  readonly unit: readonly [string, string];
  readonly needsWebSocket?: boolean;
}

const get = { upstream: 'plain', path: '/', connections: 64, load: wrk('GET'), unit: ['request', 'requests'] } as const;

export const cases: readonly Case[] = [
  { ...get, name: 'get', doc: 'GET, 1 KiB, 64 connections' },
  { ...get, name: 'get-tls', doc: 'GET, 1 KiB, 64 connections, TLS 1.3 to the upstream', upstream: 'tls' },
  { ...get, name: 'get-1000', doc: 'GET, 1 KiB, 1,000 connections', connections: 1000 },
  { ...get, name: 'post', doc: 'POST of 16 KiB, 64 connections', load: wrk('POST') },
  { ...get, name: 'download', doc: 'GET, 1 MiB, 64 connections', path: '/large' },
  {
    name: 'events',
    doc: 'Server-sent events, 64 streams, an event every 20 ms',
    upstream: 'live',
    path: '/',
    connections: 64,
    load: program('events.ts'),
    unit: ['event', 'events'],
  },
  {
    name: 'websocket',
    doc: 'WebSocket echo of 125 bytes, 64 connections',
    upstream: 'live',
    path: '/',
    connections: 64,
    load: program('echoes.ts'),
    unit: ['echo', 'echoes'],
    needsWebSocket: true,
  },
];
