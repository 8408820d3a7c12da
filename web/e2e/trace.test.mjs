import assert from 'node:assert/strict';
import { test } from 'node:test';
import { audioThread } from './trace.mjs';

const named = (tid, name) => ({ name: 'thread_name', ph: 'M', pid: 7, tid, args: { name } });
const call = (tid, dur) => ({ name: 'FunctionCall', ph: 'X', pid: 7, tid, dur });

test('a trace without the audio thread gives no figures, and says so', () => {
  const { callback_us, gc, trace_note } = audioThread([named(1, 'CrRendererMain'), call(1, 5)]);
  assert.equal(callback_us, null);
  assert.equal(gc, null);
  assert.match(trace_note, /names no/);
});

test('an audio thread that was never called gives no figures either', () => {
  assert.equal(audioThread([named(2, 'Realtime AudioWorklet thread')]).gc, null);
});

test('calls and collections of the audio thread alone are counted', () => {
  const events = [named(1, 'CrRendererMain'), named(2, 'Realtime AudioWorklet thread')];
  for (let dur = 1; dur <= 1000; dur += 1) events.push(call(2, dur), call(1, 9999));
  events.push({ name: 'MinorGC', ph: 'X', pid: 7, tid: 2 }, { name: 'MinorGC', ph: 'X', pid: 7, tid: 1 });
  events.push({ name: 'MajorGC', ph: 'B', pid: 7, tid: 2 }, { name: 'MajorGC', ph: 'E', pid: 7, tid: 2 });
  const { callback_us, callbacks, gc } = audioThread(events);
  assert.deepEqual(callback_us, { p50: 500, p99: 990, p999: 999, max: 1000 });
  assert.equal(callbacks, 1000);
  assert.deepEqual(gc, { minor: 1, major: 1 });
});
