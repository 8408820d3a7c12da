import assert from 'node:assert/strict';
import { test } from 'node:test';
import { examples, examplesOf, mistakes } from './examples.mjs';

test('examples in the documentation of functions compile', () => {
  const all = examples();
  assert.ok(all.length > 30, `${all.length} examples`);
  assert.deepEqual(mistakes(all), []);
});

test('example that does not compile is found with its line', () => {
  const text = '/**\n * Opens.\n *\n * @example\n * ```ts\n * await wavepool.tap(source, { windows: 2048 });\n * ```\n */';
  const [found, ...others] = mistakes(examplesOf('some.ts', text));
  assert.deepEqual(others, []);
  assert.match(found, /^some\.ts:4: .*'windows' does not exist/);
});
