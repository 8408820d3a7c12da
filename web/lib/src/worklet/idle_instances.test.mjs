import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepInstance, takeInstance } from './idle_instances.ts';

test('idle instance is used again by its own module only, and once', () => {
  const exports = {};
  keepInstance('one', exports);
  assert.equal(takeInstance('two'), undefined);
  assert.equal(takeInstance('one'), exports);
  assert.equal(takeInstance('one'), undefined);
});

test('idle instances: no more than 16 are kept, and the oldest is dropped', () => {
  for (let i = 0; i < 20; i++) keepInstance('many', { i });
  const kept = [];
  for (let found = takeInstance('many'); found; found = takeInstance('many')) kept.push(found.i);
  assert.deepEqual(kept, Array.from({ length: 16 }, (_, i) => i + 4));
});
