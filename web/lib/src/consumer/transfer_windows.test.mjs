import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { turn } from '../../package/fakes.mjs';
import { TransferWindows } from './transfer_windows.ts';

const HEADER = 64;
const FRAMES = 4;
const CHANNELS = 2;
const ports = [];
afterEach(() => ports.splice(0).forEach((port) => port.close()));

/** A reader of windows, with the worklet's end of its blocks, and what reached the host. */
function open() {
  const [windows, host] = [new MessageChannel(), new MessageChannel()];
  ports.push(windows.port1, windows.port2, host.port1, host.port2);
  const toHost = [];
  host.port2.onmessage = ({ data }) => toHost.push(data === null ? null : data.byteLength);
  return { reader: new TransferWindows(windows.port1, host.port1, HEADER, CHANNELS, FRAMES), worklet: windows.port2, toHost };
}

function block(firstFrame, frames = FRAMES) {
  const bytes = new ArrayBuffer(HEADER + 4 * CHANNELS * FRAMES);
  new BigUint64Array(bytes, 0, 2).set([BigInt(firstFrame), BigInt(frames)]);
  const samples = new Float32Array(bytes, HEADER);
  samples.forEach((_, at) => (samples[at] = firstFrame + at));
  return bytes;
}

const WHOLE = HEADER + 4 * CHANNELS * FRAMES;

test('transferred window has the frames and samples of its block', async () => {
  const { reader, worklet } = open();
  const arrival = reader.arrival();
  worklet.postMessage(block(100));
  worklet.postMessage(block(2 ** 40, 2));
  await arrival;
  await turn();
  const [first, last] = [reader.take(), reader.take()];
  assert.equal(reader.take(), 0);
  assert.deepEqual([reader.firstFrame(first), reader.frames(first), [...reader.channel(first, 1)]], [100, 4, [104, 105, 106, 107]]);
  assert.deepEqual([reader.firstFrame(last), reader.frames(last), reader.channel(last, 0).length], [2 ** 40, 2, 2]);
  assert.equal(reader.taken, 2);
  for (const channel of [-1, 2, 0.5, NaN, '0', 'length', undefined]) assert.throws(() => reader.channel(first, channel), { code: 'no-such-channel' }, String(channel));
});

test('double release of a transferred window is refused, and its block is sent on once', async () => {
  const { reader, worklet, toHost } = open();
  worklet.postMessage(block(0));
  await turn();
  const lease = reader.take();
  reader.release(lease);
  for (const use of [() => reader.release(lease), () => reader.channel(lease, 0), () => reader.firstFrame(lease), () => reader.frames(0)]) {
    assert.throws(use, { code: 'stale-lease' });
  }
  await turn();
  assert.deepEqual([toHost, reader.released], [[WHOLE], 1]);
});

test('reader that leaves sends on what waits, and the headers of what it keeps', async () => {
  const { reader, worklet, toHost } = open();
  for (const frame of [0, 4, 8]) worklet.postMessage(block(frame));
  await turn();
  const kept = reader.take();
  const left = reader.leave('leave');
  worklet.postMessage(block(12));
  worklet.postMessage(null);
  await left;
  await turn();
  assert.deepEqual(toHost, [WHOLE, WHOLE, WHOLE, HEADER, null]);
  assert.deepEqual([reader.ended, reader.take(), reader.firstFrame(kept)], [true, 0, 0]);
  reader.release(kept);
  await turn();
  assert.equal(toHost.length, 5, 'nothing follows the end');
});

test('reader that finishes still reads what waits', async () => {
  const { reader, worklet, toHost } = open();
  for (const frame of [0, 4]) worklet.postMessage(block(frame));
  await turn();
  const left = reader.leave('finish');
  worklet.postMessage(block(8));
  worklet.postMessage(null);
  await left;
  await turn();
  assert.deepEqual(toHost, [HEADER, HEADER, HEADER, null]);
  assert.deepEqual([1, 2, 3].map(() => reader.firstFrame(reader.take())), [0, 4, 8]);
});

test('reader that is revoked loses what it has', async () => {
  const { reader, worklet } = open();
  worklet.postMessage(block(0));
  await turn();
  const lease = reader.take();
  const left = reader.leave('revoke');
  assert.throws(() => reader.channel(lease, 0), { code: 'stale-lease' });
  assert.equal(reader.closed, true);
  worklet.postMessage(null);
  await left;
});

test('reader of a worklet that died does not wait for its end for ever', async () => {
  const { reader, toHost } = open();
  const begin = performance.now();
  await reader.leave('leave');
  assert.ok(performance.now() - begin < 2000);
  await turn();
  assert.deepEqual(toHost, [null]);
});
