// Each limit of the boundary benchmark trips.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shortcomings } from './limits.mjs';
import { row } from './rows.mjs';

const round = (times) => row('round_trip', 'wasm-bindgen-vec 1024', 'ns', 100, 100 * times);
const collected = (count) => row('collections', 'wasm-bindgen-vec 1024', 'count', count, 9);

test('boundary figures within their limits break none', () => {
  assert.deepEqual(shortcomings([round(5), collected(0), row('round_trip', 'wasm-bindgen-vec 128', 'ns', 100, 200)]), []);
});

test('boundary limits trip on a slower round trip, on one that was not measured, and on a collection', () => {
  assert.match(shortcomings([round(4.9)])[0], /4.9 times as fast, at least 5/);
  assert.match(shortcomings([])[0], /not measured/);
  assert.match(shortcomings([round(6), collected(2)])[0], /2 with the pool/);
});
