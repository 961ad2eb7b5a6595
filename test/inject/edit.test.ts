// Edits as a JSON Patch, and on plain data: the two say the same.
import t from 'tap';
import { applyEdits, type Edit, toJsonPatch } from '../../src/inject/edit.ts';
import { applied } from './_pods.ts';

t.test('a step with / or ~ is one step of the pointer', (t) => {
  const edits: Edit[] = [{ op: 'add', path: ['a', 'b/c~1', 0], value: 1 }];
  t.strictSame(toJsonPatch(edits), [{ op: 'add', path: '/a/b~1c~01/0', value: 1 }]);
  t.end();
});

t.test('edits on plain data do what a library makes of the patch', (t) => {
  const data = { list: [1, 2, 3], map: { 'a/b': 1, gone: 2 } };
  const edits: Edit[] = [
    { op: 'add', path: ['list', 1], value: 9 },
    { op: 'add', path: ['list', 4], value: 'end' },
    { op: 'remove', path: ['list', 0] },
    { op: 'add', path: ['map', 'a/b'], value: { x: [] } },
    { op: 'remove', path: ['map', 'gone'] },
  ];
  const own = structuredClone(data);
  applyEdits(own, edits);
  t.strictSame(own, applied(data, edits));
  t.strictSame(own, { list: [9, 2, 3, 'end'], map: { 'a/b': { x: [] } } });
  t.end();
});

t.test('an edit that leads nowhere throws', (t) => {
  for (const path of [
    ['a', 'b'],
    ['list', 0, 'x', 'y'],
    ['text', 'x'],
  ]) {
    t.throws(() => applyEdits({ list: [{}], text: 'x' }, [{ op: 'add', path, value: 1 }]), TypeError);
  }
  t.end();
});
