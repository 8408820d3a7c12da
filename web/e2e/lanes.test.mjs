import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latencies, quantile } from './lanes/marks.mjs';

const stamp = (message, ts) => ({ ts, args: { data: { message } } });

test('marks are paired by their quantum, in whatever order the trace has them', () => {
  const marks = latencies(
    [stamp('critical 2', 230), stamp('quantum 1', 100), stamp('critical 1', 130), stamp('quantum 2', 200), stamp('normal 1', 900), stamp('floor 2', 240), stamp('beside 2', 250), stamp('else', 1)],
    2,
  );
  assert.deepEqual(marks, { critical: [30, 30], high: [], normal: [800], floor: [40], quanta: 2 });
});

test('what never arrived is infinitely late', () => {
  assert.equal(quantile([1, 2, 3], 4, 0.5), 2);
  assert.equal(quantile([1, 2, 3], 4, 1), Infinity);
});
