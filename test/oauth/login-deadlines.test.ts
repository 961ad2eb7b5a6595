import t from 'tap';
import { createLoginDeadlines } from '../../src/oauth/login-deadlines.ts';
import { createFakeClock } from '../_fake-clock.ts';

t.test('one timer serves all logins, and is gone when the last has ended', async (t) => {
  const clock = createFakeClock();
  const expired: string[] = [];
  const deadlines = createLoginDeadlines(
    clock,
    async (id) => {
      if (id === 'torn') throw new Error('the store is away');
      return id === 'elsewhere';
    },
    (credential) => expired.push(credential),
  );
  const begin = (id: string): void => deadlines.begin(id, `${id}-credential`, clock.wallMs() + 1000);
  for (const id of ['back', 'lost', 'elsewhere', 'torn']) begin(id);
  t.equal(clock.armed, 1);
  deadlines.end('back');
  deadlines.end('back');
  await clock.advance(500);
  begin('late');
  t.equal(clock.armed, 1);
  await clock.advance(499);
  t.same(expired, []);
  await clock.advance(1);
  t.same(expired, ['lost-credential', 'torn-credential']);
  deadlines.end('late');
  t.equal(clock.armed, 0);
  begin('closed');
  deadlines.close();
  t.equal(clock.armed, 0);
});

t.test('a jump of the wall clock ends no login early', async (t) => {
  const clock = createFakeClock();
  const expired: string[] = [];
  const deadlines = createLoginDeadlines(
    clock,
    async () => false,
    (credential) => expired.push(credential),
  );
  deadlines.begin('a', 'codex', clock.wallMs() + 1000);
  clock.jumpWall(3_600_000);
  await clock.advance(999);
  t.same(expired, []);
  await clock.advance(1);
  t.same(expired, ['codex']);
});
