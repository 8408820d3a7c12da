// Numbers at the entry of the library: right, or a typed error before anything has changed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcome } from './scenario.mjs';

test('pool: sizes and leases that cannot be are refused, and nothing changes', { timeout: 60_000 }, async () => {
  const seen = await outcome('poolNumbers');
  for (const { given, code, message } of seen.sizes) assert.ok(code === 'bad-option', `${given}: ${code} ${message}`);
  for (const { given, code, message } of seen.tooLarge) assert.ok(code === 'too-large', `${given}: ${code} ${message}`);
  for (const { given, code, message } of seen.leases) {
    assert.ok(['stale-lease', 'wrong-participant'].includes(code), `${given}: ${code} ${message}`);
  }
  assert.ok(seen.fitting.every((fits) => fits));
  assert.equal(seen.untouched, true);
});

test('pool: `using` a borrowed array of a pool that was closed throws nothing at the end of the scope', { timeout: 60_000 }, async () => {
  const { atScopesEnd, live, isClosed, closed } = await outcome('poolNumbers');
  assert.deepEqual([atScopesEnd, live, isClosed], [null, 0, true]);
  assert.deepEqual(closed, Array(6).fill('closed'));
});
