// The story: Node opens its inspector on 127.0.0.1:9229 when SIGUSR1 comes, and whoever connects reads the whole heap.
// The containers of a pod share loopback: one signal, by whoever may send it, would give every one of them the tokens.
import t from 'tap';
import { runProgram } from './_process.ts';
import { createWorld } from './_world.ts';

/** A port of its own, should it open after all. */
const options = `${process.env['NODE_OPTIONS'] ?? ''} --inspect-port=0`;

t.test('SIGUSR1 opens no inspector and ends nothing', async (t) => {
  const world = await createWorld({ tokenSeconds: 60 });
  t.teardown(() => world.close());
  const program = await runProgram(world.config(), { NODE_OPTIONS: options });
  for (let round = 0; round < 20; round += 1) {
    program.process.kill('SIGUSR1');
    t.equal((await fetch(`${program.telemetryUrl}/livez`)).status, 200);
  }
  t.equal(await program.end(), 0);
  t.notMatch(program.output(), /debugger/i);
});
