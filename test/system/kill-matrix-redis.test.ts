// SIGKILL around every command that a refresh sends to Redis: before the server has it, and once it has it but before its
// answer is here. What must hold afterwards is what holds on files.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { skip } from '../stores/_redis-server.ts';
import { createFaultWorld, credential, type FaultWorld } from './_fault-world.ts';
import { judgeKill, killEnds } from './_kill.ts';
import { eventually, type RunningProgram, runProgram } from './_process.ts';
import { createRedisStorage } from './_storage.ts';

const leaseMs = 1_000;
const settings = '    refresh: { timeout: 5s, attempts: 2, cooldown: 500ms }\n    breaker: { resetAfter: 500ms }';
const atOnce = 6;

type Direction = 'sent' | 'answered';

interface Watch {
  /** Called for each piece that travels, before it is passed on; false: it is dropped. */
  piece: (direction: Direction) => boolean;
}

/** Between the program and its Redis. Pings of the subscription are too rare to matter. */
async function createWatchedWire(port: number, watch: Watch): Promise<{ port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const redis = connect(port, '127.0.0.1');
    for (const socket of [client, redis]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('data', (chunk) => watch.piece('sent') && redis.write(chunk));
    redis.on('data', (chunk) => watch.piece('answered') && client.write(chunk));
    client.on('close', () => redis.destroy());
    redis.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

interface Subject {
  readonly world: FaultWorld;
  readonly program: RunningProgram;
  readonly watch: Watch;
  close(): void;
}

async function createSubject(): Promise<Subject> {
  const watch: Watch = { piece: () => true };
  let wire: Awaited<ReturnType<typeof createWatchedWire>> | undefined;
  const storage = await createRedisStorage(async (port) => {
    wire = await createWatchedWire(port, watch);
    return wire.port;
  });
  const world = await createFaultWorld({ storage, leaseMs, settings });
  await world.logIn();
  const program = await runProgram(world.config('killed'));
  return { world, program, watch, close: () => wire?.close() };
}

async function countPieces(): Promise<number> {
  const { world, program, watch, close } = await createSubject();
  let pieces = 0;
  watch.piece = () => {
    pieces += 1;
    return true;
  };
  await world.refresh(program);
  await eventually('the release', async () =>
    (await world.storage.store.lease(credential, 'measuring', leaseMs)).held ? undefined : true,
  );
  watch.piece = () => true;
  await program.end('SIGKILL');
  await world.close();
  close();
  return pieces;
}

const allEnds = [...killEnds, 'it was not killed'] as const;
type End = (typeof allEnds)[number];

async function killAt(t: Test, number: number): Promise<End> {
  const { world, program, watch, close } = await createSubject();
  let seen = 0;
  let isKilled = false;
  let what = `piece ${number}`;
  watch.piece = (direction) => {
    if (isKilled) return false;
    seen += 1;
    if (seen < number) return true;
    isKilled = true;
    what += `, ${direction}`;
    program.process.kill('SIGKILL');
    return false;
  };
  await world.refresh(program);
  await eventually(`${what}: the kill`, () => (isKilled ? true : undefined), 1_500).catch(() => undefined);
  watch.piece = () => true;
  await program.end('SIGKILL');
  const end = await judgeKill(t, world, what);
  close();
  return isKilled ? end : 'it was not killed';
}

t.setTimeout(600_000);

t.test('killed around every command to Redis', { skip }, async (t) => {
  const pieces = await countPieces();
  t.ok(pieces >= 12, `${pieces} pieces`);
  const ends: End[] = [];
  // On a busy machine renewals of the lease come in between, and a kill may fall beside the piece that it was meant for.
  for (let round = 1; round <= 3 && !killEnds.every((end) => ends.includes(end)); round += 1) {
    for (let first = 1; first <= pieces; first += atOnce) {
      const numbers = Array.from({ length: Math.min(atOnce, pieces - first + 1) }, (_, index) => first + index);
      ends.push(...(await Promise.all(numbers.map((number) => killAt(t, number)))));
    }
  }
  const counts = allEnds.map((end) => ends.filter((each) => each === end).length);
  t.comment(`${pieces} pieces: ${allEnds.map((end, index) => `${end} ${counts[index]}`).join(', ')}`);
  for (const end of killEnds) t.ok(ends.includes(end), `seen: ${end}`);
});
