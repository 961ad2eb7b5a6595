// What is told of a foreign error: its class, a system code, places in code. Nothing that it says itself.
import t from 'tap';
import { faultFrames, faultKind, rootSystemCode } from '../../src/errors/fault.ts';

const secret = 's3cret-0123456789';

t.test('the system code of an error, or of its causes; never another text in its place', async (t) => {
  const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
  t.equal(rootSystemCode(refused), 'ECONNREFUSED');
  t.equal(rootSystemCode(new Error('outer', { cause: new Error('inner', { cause: refused }) })), 'ECONNREFUSED');
  t.equal(rootSystemCode(Object.assign(new Error('x', { cause: refused }), { code: secret })), 'ECONNREFUSED');
  t.equal(rootSystemCode({ code: secret }), undefined);
  t.equal(rootSystemCode(undefined), undefined);
  const circular = new Error('x');
  circular.cause = circular;
  t.equal(rootSystemCode(circular), undefined);
});

t.test('the kind is the class, not the name that an error gives itself', async (t) => {
  t.equal(faultKind(new TypeError(secret)), 'TypeError');
  t.equal(faultKind(Object.assign(new RangeError('x'), { name: secret })), 'RangeError');
  t.equal(faultKind(secret), undefined);
});

t.test('frames are places in code, without any line of the message', async (t) => {
  const frames = faultFrames(new Error(`failed\n    at ${secret}:1:1\n    at x (${secret}:2:2)`));
  t.ok(frames !== undefined && frames.length > 0);
  t.match(frames?.[0], /fault\.test\.ts:\d+:\d+/);
  t.notMatch(frames?.join(), secret);
  t.equal(
    faultFrames(Object.assign(new Error('a'), { message: 'another one', stack: `x\n    at ${secret}:1:1` })),
    undefined,
  );
  t.equal(faultFrames('text'), undefined);
});
