import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tracks } from './tracks.ts';

const STEP = { start_ms: 10, end_ms: 12, operations: 3, plan: [], alerts: [], defragmented: false };

/** What is drawn for these steps: name, track, colour, beginning, end and properties of each entry. */
function drawn(t, steps) {
  const entries = [];
  let kept = 0;
  t.mock.method(performance, 'measure', (name, { start, end, detail }) => entries.push({ name, start, end, ...detail.devtools }));
  t.mock.method(performance, 'mark', (name, { startTime, detail }) => entries.push({ name, start: startTime, ...detail.devtools }));
  new Tracks({ keepSteps: () => (kept += 1), takeSteps: () => (steps === null ? undefined : JSON.stringify(steps)) }).draw();
  assert.equal(kept, 1);
  return entries;
}

test('tracks: a control step is drawn with what it moved, and long enough to be seen', (t) => {
  const [step, short] = drawn(t, [STEP, { ...STEP, end_ms: 10, operations: 0, defragmented: true }]);
  assert.deepEqual([step.track, step.name, step.start, step.end], ['Control steps', 'control step', 10, 12]);
  assert.equal(step.properties[0][1], '3');
  assert.deepEqual([short.name, short.color], ['defragment', 'tertiary']);
  assert.ok(short.end > short.start);
});

test('tracks: a sizing plan is drawn with its steps', (t) => {
  const plan = drawn(t, [{ ...STEP, plan: ['carve 2', 'trim 1'] }]).find(({ track }) => track === 'Sizing plans');
  assert.deepEqual([plan.name, plan.properties], ['carve 2', [['1.', 'carve 2'], ['2.', 'trim 1']]]);
});

test('tracks: an alert is drawn and marked, its beginning as an error', (t) => {
  const alert = { kind: 'hit_rate_low', raised: true, value: 42.125, threshold: 90 };
  const [, begun, mark, , ended] = drawn(t, [{ ...STEP, alerts: [alert] }, { ...STEP, alerts: [{ ...alert, raised: false }] }]);
  assert.deepEqual([begun.name, begun.color, mark.dataType], ['hit rate low raised', 'error', 'marker']);
  assert.deepEqual(begun.properties, [['Figure', '42.13'], ['Threshold', '90.00']]);
  assert.deepEqual([ended.name, ended.color], ['hit rate low over', 'tertiary']);
});

test('tracks: without steps nothing is drawn', (t) => assert.deepEqual(drawn(t, null), []));
