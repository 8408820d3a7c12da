import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeptViews } from './kept_views.ts';

test('kept view of a buffer is the same array each time', () => {
  const views = new KeptViews(new WebAssembly.Memory({ initial: 1 }));
  const first = views.at(1024, 64);
  assert.equal(views.at(1024, 64), first);
  assert.deepEqual([first.byteOffset, first.length, views.made], [1024, 64, 1]);
  views.at(2048, 64);
  assert.equal(views.made, 2);
});

test('kept view of another length at the same address is made anew', () => {
  const views = new KeptViews(new WebAssembly.Memory({ initial: 1 }));
  const long = views.at(1024, 64);
  assert.equal(views.at(1024, 32).length, 32);
  assert.equal(long.length, 64);
  assert.equal(views.made, 2);
});

for (const shared of [false, true]) {
  test(`kept views of a ${shared ? 'shared ' : ''}memory that grew are made anew`, () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared });
    const views = new KeptViews(memory);
    views.at(0, 16)[0] = 1.5;
    memory.grow(1);
    const samples = views.at(0, 16);
    assert.equal(samples.buffer, memory.buffer);
    assert.equal(samples[0], 1.5);
    new Uint32Array(memory.buffer)[20_000] = 7;
    assert.equal(views.word(80_000), 7);
  });
}
