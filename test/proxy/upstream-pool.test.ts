import t from 'tap';
import type { RouteOptions } from '../../src/proxy/admission.ts';
import type { Upstream } from '../../src/proxy/message.ts';
import { createUpstreamPool } from '../../src/proxy/upstream-pool.ts';

function routeTo(origin: string, connectMs = 1_000): RouteOptions {
  const timeouts = { connectMs, headersMs: 0, idleMs: 0 };
  // What the pool looks at; the rest is other parts' business.
  return { upstream: new URL(origin), timeouts, http2: 'auto' } as RouteOptions;
}

function create() {
  const made: string[] = [];
  const ended: string[] = [];
  const pool = createUpstreamPool(({ upstream: { origin } }): Upstream => {
    made.push(origin);
    return {
      createAttempt: () => {
        throw new Error('nobody asks');
      },
      close: async () => void ended.push(`closed ${origin}`),
      destroy: async () => void ended.push(`destroyed ${origin}`),
    };
  });
  return { pool, made, ended };
}

t.test('what goes the same way alike shares an upstream, across reloads too', (t) => {
  const { pool, made, ended } = create();
  const first = pool.open();
  const one = first.connect(routeTo('http://one'));
  t.equal(first.connect(routeTo('http://one')), one);
  const second = pool.open();
  t.equal(second.connect(routeTo('http://one')), one);
  t.not(second.connect(routeTo('http://one', 5)), one, 'other time-outs');
  first.retire();
  t.strictSame(made, ['http://one', 'http://one']);
  t.strictSame(ended, []);
  t.end();
});

t.test('what no route names any more is closed after the last request that was admitted under one', async (t) => {
  const { pool, ended } = create();
  const first = pool.open();
  first.connect(routeTo('http://one'));
  first.use.enter();
  first.use.enter();
  const second = pool.open();
  second.connect(routeTo('http://two'));
  first.retire();
  t.strictSame(ended, [], 'two may still be waiting for their token');
  first.use.leave();
  t.strictSame(ended, []);
  first.use.leave();
  t.strictSame(ended, ['closed http://one']);
  await pool.destroy();
  t.strictSame(ended, ['closed http://one', 'destroyed http://two']);
});

t.test('one that comes back while it is still in use is the same, and stays', (t) => {
  const { pool, made, ended } = create();
  const first = pool.open();
  const one = first.connect(routeTo('http://one'));
  first.use.enter();
  const second = pool.open();
  second.connect(routeTo('http://two'));
  first.retire();
  const third = pool.open();
  t.equal(third.connect(routeTo('http://one')), one);
  second.retire();
  first.use.leave();
  t.strictSame(ended, ['closed http://two']);
  t.strictSame(made, ['http://one', 'http://two']);
  t.end();
});
