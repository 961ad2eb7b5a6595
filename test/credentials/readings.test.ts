// Readings against what overtakes them: a login, a change of settings, a renewal at work, a store that is away.
import t from 'tap';
import { createReadings, type Reader, type Readings } from '../../src/credentials/readings.ts';
import type { Reading } from '../../src/credentials/renewal.ts';
import { SidebearerError } from '../../src/errors/sidebearer-error.ts';
import { createFakeClock, type FakeClock } from '../_fake-clock.ts';

const empty: Reading = { kind: 'empty', code: 'grant_absent' };
const grant: Reading = { kind: 'grant' };

interface Desk {
  readonly clock: FakeClock;
  readonly readings: Readings;
  /** What was told, in order. */
  readonly told: string[];
  isBusy: boolean;
  /** Nothing else would. */
  looksAgain: boolean;
  /** Ends the reading that is at work; an error: the store is away. */
  answer(with_: Reading | SidebearerError): Promise<void>;
  readonly begun: number;
}

function createDesk(): Desk {
  const clock = createFakeClock();
  const told: string[] = [];
  let begun = 0;
  let end: (found: Reading | SidebearerError) => void = () => undefined;
  const reader: Reader = {
    isBusy: () => desk.isBusy,
    take: ({ kind }) => void told.push(`took ${kind}`),
    emptied: () => void told.push('emptied'),
    unreadable: () => {
      told.push('unreadable');
      return desk.looksAgain;
    },
  };
  const readings = createReadings(reader, clock);
  const desk: Desk = {
    clock,
    readings,
    told,
    isBusy: false,
    looksAgain: true,
    async answer(found) {
      end(found);
      await clock.advance(0);
    },
    get begun() {
      return begun;
    },
  };
  readings.follow({
    follow: () => ({ close: () => undefined }),
    read: () =>
      new Promise((resolve, reject) => {
        begun += 1;
        end = (found) => (found instanceof SidebearerError ? reject(found) : resolve(found));
      }),
  });
  return desk;
}

t.test(
  'what a login overtook is not taken, be it a tombstone while a renewal is at work, and is read again',
  async (t) => {
    for (const isBusy of [false, true]) {
      const desk = createDesk();
      void desk.readings.again();
      desk.isBusy = isBusy;
      desk.readings.overtake();
      await desk.answer(empty);
      t.strictSame(desk.told, [], `busy: ${isBusy}`);
      desk.isBusy = false;
      desk.readings.settle();
      t.equal(desk.begun, 2);
      await desk.answer(grant);
      t.strictSame(desk.told, ['took grant']);
    }
  },
);

t.test('while a renewal is at work a tombstone counts at once, and anything else after it', async (t) => {
  for (const [found, told] of [
    [empty, ['emptied']],
    [grant, []],
  ] as const) {
    const desk = createDesk();
    desk.isBusy = true;
    void desk.readings.again();
    await desk.answer(found);
    t.strictSame(desk.told, told);
    desk.isBusy = false;
    desk.readings.settle();
    await desk.answer(found);
    t.strictSame(desk.told, [...told, `took ${found.kind}`]);
    desk.readings.settle();
    t.equal(desk.begun, 2, 'nothing more is owed');
  }
});

t.test('calls during a reading are one more reading after it', async (t) => {
  const desk = createDesk();
  for (let call = 0; call < 5; call += 1) void desk.readings.again();
  t.equal(desk.begun, 1);
  await desk.answer(grant);
  t.equal(desk.begun, 2);
  await desk.answer(grant);
  t.equal(desk.begun, 2);
});

t.test('what cannot be read is looked for again after 1, 2, 4 … at most 30 s, and anew once it could', async (t) => {
  const desk = createDesk();
  const away = new SidebearerError('store_unavailable');
  void desk.readings.again();
  const pauses = async (wanted: readonly number[]): Promise<void> => {
    for (const seconds of wanted) {
      await desk.answer(away);
      const before = desk.begun;
      await desk.clock.advance(seconds * 1_000 - 1);
      t.equal(desk.begun, before, `not within ${seconds} s`);
      await desk.clock.advance(1);
      t.equal(desk.begun, before + 1, `after ${seconds} s`);
    }
  };
  await pauses([1, 2, 4, 8, 16, 30, 30]);
  await desk.answer(grant);
  void desk.readings.again();
  await pauses([1, 2]);
  await desk.answer(away);
  desk.readings.close();
  t.equal(desk.clock.armed, 0, 'nothing is left at the end');
});

t.test('where something else looks again, nobody does here', async (t) => {
  const desk = createDesk();
  desk.looksAgain = false;
  void desk.readings.again();
  await desk.answer(new SidebearerError('store_unavailable'));
  t.strictSame(desk.told, ['unreadable']);
  t.equal(desk.clock.armed, 0);
});

t.test('one source is followed at a time, and none after the end', (t) => {
  const { readings } = createDesk();
  const followed = new Set<number>();
  const source = (number: number) => ({
    read: () => Promise.resolve(grant),
    follow() {
      followed.add(number);
      return { close: () => void followed.delete(number) };
    },
  });
  readings.follow(source(1));
  readings.follow(source(2));
  t.strictSame([...followed], [2]);
  readings.close();
  t.strictSame([...followed], []);
  t.end();
});

t.test('what a source said that is followed no more is not taken', async (t) => {
  const desk = createDesk();
  void desk.readings.again();
  desk.readings.follow({ follow: () => ({ close: () => undefined }), read: () => Promise.resolve(grant) });
  await desk.answer(empty);
  t.strictSame(desk.told, ['took grant'], 'the new one is read instead');
});

t.test('what is owed is read once there is time for it, and only then', async (t) => {
  const desk = createDesk();
  desk.readings.settle();
  t.equal(desk.begun, 0);
  desk.readings.owe();
  t.equal(desk.begun, 0);
  desk.readings.settle();
  t.equal(desk.begun, 1);
});
