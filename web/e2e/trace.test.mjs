import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { launch } from './browser.mjs';
import { audioThread, record } from './trace.mjs';

const named = (tid, name) => ({ name: 'thread_name', ph: 'M', pid: 7, tid, args: { name } });
const call = (tid, dur, functionName = 'process') => ({ name: 'FunctionCall', ph: 'X', pid: 7, tid, dur, args: { data: { functionName } } });

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
  events.push({ name: 'MinorGC', ph: 'X', pid: 7, tid: 2, args: { usedHeapSizeBefore: 900, usedHeapSizeAfter: 300 } }, { name: 'MinorGC', ph: 'X', pid: 7, tid: 1 });
  // A pair has the heap before with its begin and the heap after with its end.
  events.push({ name: 'MajorGC', ph: 'B', pid: 7, tid: 2, args: { usedHeapSizeBefore: 500 } }, { name: 'MajorGC', ph: 'E', pid: 7, tid: 2, args: { usedHeapSizeAfter: 200 } });
  events.push(call(2, 5000, 'onmessage'));
  const { callback_us, other_calls_us, gc } = audioThread(events);
  assert.deepEqual(callback_us, { count: 1000, p50: 500, p99: 990, p999: 999, max: 1000 });
  assert.deepEqual(other_calls_us, { count: 1, p50: 5000, p99: 5000, p999: 5000, max: 5000 });
  assert.deepEqual(gc, { minor: 1, major: 1, freed_bytes: 900 });
});

const garbage = `registerProcessor('garbage', class extends AudioWorkletProcessor {
  process() {
    this.kept = [];
    for (let index = 0; index < 4000; index += 1) this.kept.push({ index });
    return true;
  }
});`;

test('a worklet that makes garbage is caught at it', async () => {
  const server = createServer(({ url }, response) => {
    response.setHeader('Content-Type', url === '/garbage.js' ? 'text/javascript' : 'text/html');
    response.end(url === '/garbage.js' ? garbage : '');
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const finish = await record(browser);
    await page.evaluate(async () => {
      const context = new AudioContext();
      await context.audioWorklet.addModule('/garbage.js');
      new AudioWorkletNode(context, 'garbage').connect(context.destination);
    });
    await page.waitForTimeout(2000);
    const { callback_us, gc } = await finish();
    assert.ok(callback_us.count > 300, `${callback_us.count} callbacks`);
    assert.ok(gc.minor > 5, `${gc.minor} collections`);
  } finally {
    await browser.close();
    server.close();
  }
});
