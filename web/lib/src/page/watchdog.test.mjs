import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeContext } from '../../package/fakes.mjs';
import { Activity, Watchdog } from './watchdog.ts';

/** Between two looks of the watchdog. */
const LOOK_MS = 100;

/** A worker that owes an answer and makes no progress, with what its watchdog did. */
function watched(t, changes = {}) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const state = { expected: true, booting: false, progress: 0, ...changes };
  const calls = { pings: 0, stuck: [], refused: 0 };
  const watchdog = new Watchdog({
    expected: () => state.expected,
    booting: () => state.booting,
    progress: () => state.progress,
    ping: () => (calls.pings += 1),
    stuck: (stuckMs) => calls.stuck.push(stuckMs),
    refuse: () => (calls.refused += 1),
  });
  const looks = (count) => {
    for (let i = 0; i < count; i++) t.mock.timers.tick(LOOK_MS);
  };
  return { watchdog, state, calls, looks };
}

test('watchdog: a worker without progress is pinged, reported within a second, once, and refused after five', (t) => {
  const { watchdog, calls, looks } = watched(t);
  watchdog.start();
  looks(6);
  assert.deepEqual([calls.pings, calls.stuck.length], [1, 0]);
  looks(3);
  assert.equal(calls.stuck.length, 1);
  looks(40);
  assert.equal(calls.refused, 0);
  looks(2);
  assert.ok(calls.refused > 0);
  assert.deepEqual([calls.pings, calls.stuck.length], [1, 1]);
});

test('watchdog: a worker that boots is refused only after ten seconds', (t) => {
  const { watchdog, calls, looks } = watched(t, { booting: true });
  watchdog.start();
  looks(99);
  assert.deepEqual([calls.stuck.length, calls.refused], [1, 0]);
  looks(1);
  assert.equal(calls.refused, 1);
});

test('watchdog: any message or piece of work is progress', (t) => {
  const { watchdog, state, calls, looks } = watched(t);
  watchdog.start();
  for (let i = 0; i < 50; i++) {
    looks(5);
    if (i % 2 === 0) watchdog.receive(false);
    else state.progress += 1;
  }
  assert.deepEqual([calls.stuck.length, calls.refused], [0, 0]);
});

test('watchdog: a worker that was stuck and goes on is reported again when it is stuck again', (t) => {
  const { watchdog, calls, looks } = watched(t);
  watchdog.start();
  looks(8);
  watchdog.receive(true);
  looks(8);
  assert.equal(calls.stuck.length, 2);
  assert.equal(calls.pings, 2);
});

test('watchdog: nothing is looked at while nothing is expected, and no timer runs', (t) => {
  const { watchdog, state, calls, looks } = watched(t, { expected: false });
  watchdog.start();
  looks(20);
  state.expected = true;
  looks(20);
  assert.deepEqual([calls.pings, calls.stuck.length], [0, 0], 'it looked without a call');
  watchdog.start();
  looks(8);
  assert.equal(calls.stuck.length, 1);
});

test('watchdog: a context that runs needs its worker, one that is suspended does not', (t) => {
  const { watchdog, calls, looks } = watched(t, { expected: false });
  const context = new FakeContext();
  context.state = 'suspended';
  watchdog.follow(context);
  looks(20);
  assert.equal(calls.pings, 0);
  context.become('running');
  looks(8);
  assert.equal(calls.stuck.length, 1);
  context.become('suspended');
  watchdog.receive(true);
  looks(20);
  assert.equal(calls.stuck.length, 1);
});

test('watchdog: a context is followed until the last of its streams is closed', (t) => {
  const { watchdog, calls, looks } = watched(t, { expected: false });
  const context = new FakeContext();
  watchdog.follow(context);
  watchdog.follow(context);
  watchdog.unfollow(context);
  looks(8);
  assert.equal(calls.stuck.length, 1);
  watchdog.unfollow(context);
  watchdog.receive(true);
  looks(20);
  assert.equal(calls.stuck.length, 1);
});

test('watchdog that was stopped looks no more', (t) => {
  const { watchdog, calls, looks } = watched(t);
  watchdog.start();
  watchdog.stop();
  watchdog.follow(new FakeContext());
  watchdog.start();
  looks(100);
  assert.deepEqual(calls, { pings: 0, stuck: [], refused: 0 });
});

test('activity of the control worker is described in words, also one that is unknown', () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const words = new Int32Array(memory.buffer, 64, 3);
  const activity = new Activity(memory, 64);
  words.set([7, 2, 12]);
  assert.deepEqual([activity.progress, activity.description], [7, 'analysing a window of stream 12']);
  words[1] = 4;
  assert.equal(activity.description, 'running a control step of the pool');
  words[1] = 99;
  assert.match(activity.description, /does not know/);
});
