import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figuresOf, workletThread } from './trace.mjs';

const on = { pid: 1, tid: 7 };
const named = { ...on, name: 'thread_name', args: { name: 'Realtime AudioWorklet thread' } };
const stamp = (ts, message) => ({ pid: 1, tid: 1, name: 'TimeStamp', ts, args: { data: { message } } });
const call = (ts, dur, functionName = 'process') => ({ ...on, name: 'FunctionCall', ph: 'X', ts, dur, args: { data: { functionName } } });

/** Forty quanta of 10 us each, every 2667 us; windows are complete with the calls at `completing`, and marked 100 us later. */
function recorded(completing) {
  const calls = Array.from({ length: 40 }, (_, n) => call(1000 + n * 2667, 10));
  const windows = completing.map((n) => stamp(calls[n].ts + 10 + 100, 'window'));
  return [named, stamp(0, 'from'), ...calls, ...windows, stamp(200_000, 'to')];
}

test('calls, collections and delivery are those between the marks on the worklet’s thread', () => {
  const gc = { ...on, name: 'MinorGC', ph: 'X', ts: 5000 };
  const elsewhere = [{ ...gc, tid: 8 }, { ...gc, ts: 300_000 }, call(2000, 99, 'onmessage'), call(-500, 99)];
  const run = workletThread([...recorded([3, 19, 35]), gc, ...elsewhere], ['from', 'to']);
  const seen = figuresOf([{ ...run, underruns: 2 }]);
  assert.deepEqual([seen.calls, seen.collections, seen.underruns], [40, 1, 2]);
  assert.deepEqual(seen.callback_us, { p50: 10, p99: 10, p999: 10, max: 10 });
  assert.deepEqual(seen.delivery_us, { p50: 100, max: 100 });
});

test('a window that came late is late, and no window is early', () => {
  const events = recorded([3, 19, 35]);
  events.find(({ name, ts }) => name === 'TimeStamp' && ts > 50_000 && ts < 60_000).ts += 6000;
  assert.deepEqual(figuresOf([workletThread(events, ['from', 'to'])]).delivery_us, { p50: 100, max: 6100 });
});

test('runs are taken together', () => {
  const run = (dur, collections) => ({ callbacks: [dur], deliveries: [], collections, underruns: 1 });
  assert.deepEqual(figuresOf([run(30, 1), run(10, 0), run(20, 4)]), {
    calls: 3, collections: 5, underruns: 3, callback_us: { p50: 20, p99: 30, p999: 30, max: 30 }, delivery_us: null,
  });
});

test('a trace without the thread, the marks or the calls is refused', () => {
  const events = recorded([3, 19]);
  assert.throws(() => workletThread(events.slice(1), ['from', 'to']), /names no AudioWorklet thread/);
  assert.throws(() => workletThread(events, ['from', 'until']), /lost its marks/);
  assert.throws(() => workletThread([named, stamp(0, 'from'), stamp(9, 'to')], ['from', 'to']), /no call of process/);
});
