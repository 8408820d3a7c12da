import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latencies, quantile } from './lanes/marks.mjs';

const stamp = (message, ts) => ({ ts, args: { data: { message } } });

test('marks are paired by their quantum, in whatever order the trace has them', () => {
  const marks = latencies(
    [stamp('critical 2', 230), stamp('quantum 1', 100), stamp('critical 1', 130), stamp('quantum 2', 200), stamp('normal 1', 900), stamp('else', 1)],
    2,
  );
  assert.deepEqual(marks, { critical: [30, 30], high: [], normal: [800], floor: [], quanta: 2 });
});

test('a floor that looked late saw everything until then at that moment', () => {
  const marks = latencies([stamp('quantum 1', 0), stamp('quantum 2', 10), stamp('quantum 3', 20), stamp('floor 1', 5), stamp('floor 3', 50)], 3);
  assert.deepEqual(marks.floor, [5, 30, 40]);
});

test('what never arrived is infinitely late', () => {
  assert.equal(quantile([1, 2, 3], 4, 0.5), 2);
  assert.equal(quantile([1, 2, 3], 4, 1), Infinity);
});
