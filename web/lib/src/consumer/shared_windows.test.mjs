import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { newWakeLanes } from '../shared/wake.ts';
import { SharedWindows } from './shared_windows.ts';

const STALE = 1;
const ports = [];
afterEach(() => ports.splice(0).forEach((port) => port.close()));

/** A reader on a queue of so many windows, at frames 0, 256, 512 …, of two channels. */
function open(queued) {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const refusal = new Uint32Array(memory.buffer, 0, 4);
  const leased = new Set();
  const calls = { left: 0, views: 0 };
  let next = 1;
  const refuse = (code, ...numbers) => (refusal.set([code, ...numbers]), code);
  const exports = {
    reader_take: () => (next <= queued ? (leased.add(next), next++) : 0),
    reader_first_frame: (_, lease) => (leased.has(lease) ? (lease - 1) * 256 : (refuse(STALE, lease), -1)),
    reader_frames: (_, lease) => (leased.has(lease) ? 256 : 0),
    reader_address: (_, lease, channel) => {
      if (!leased.has(lease)) return refuse(STALE, lease), 0;
      return channel === 0 || channel === 1 ? 1024 * (2 * lease + channel) : (refuse(8, channel >>> 0, 2), 0);
    },
    reader_release: (_, lease) => (leased.delete(lease) ? 0 : refuse(STALE, lease)),
    reader_leave: () => (calls.left += 1),
    reader_live: () => leased.size,
    reader_is_full: () => 0,
    reader_views: (_, views) => (calls.views = views),
    reader_refusal: () => 0,
  };
  const [wake, other] = newWakeLanes();
  ports.push(wake.port, other.port);
  return { reader: new SharedWindows(exports, 5, memory, wake), leased, calls, add: (windows) => (queued += windows) };
}

test('shared window has its frames and samples, and a view each for its channels', () => {
  const { reader, calls } = open(2);
  const lease = reader.take();
  const left = reader.channel(lease, 0);
  assert.deepEqual([left.length, reader.channel(lease, 0) === left, reader.channel(lease, 1) === left], [256, true, false]);
  assert.deepEqual([reader.firstFrame(lease), reader.frames(lease), calls.views, reader.taken], [0, 256, 2, 1]);
  for (const channel of [-1, 2, 0.5, NaN, Infinity, '0', undefined, 2 ** 32]) {
    assert.throws(() => reader.channel(lease, channel), { code: 'no-such-channel' }, String(channel));
  }
});

test('double release of a shared window is refused', () => {
  const { reader } = open(1);
  const lease = reader.take();
  reader.release(lease);
  for (const use of [() => reader.release(lease), () => reader.channel(lease, 0), () => reader.firstFrame(lease)]) assert.throws(use, { code: 'stale-lease' });
  assert.equal(reader.released, 1);
});

test('shared reader finds a window that came while it slept', async () => {
  const { reader, add } = open(0);
  assert.equal(reader.take(), 0);
  const arrival = reader.arrival();
  add(1);
  await arrival;
  assert.equal(reader.take() || reader.take(), 1);
});

test('shared reader that leaves drops what waits, and closes when the last block is released', async () => {
  const { reader, leased, calls } = open(5);
  const kept = reader.take();
  const left = reader.leave('leave');
  assert.deepEqual([[...leased], reader.held, reader.closed, reader.take()], [[kept], true, false, 0]);
  reader.release(kept);
  await left;
  assert.deepEqual([reader.held, reader.closed, calls.left], [false, true, 1]);
});

test('shared reader that finishes still reads what waits', async () => {
  const { reader, calls } = open(3);
  const left = reader.leave('finish');
  for (const frame of [0, 256, 512]) {
    const lease = reader.take();
    assert.equal(reader.firstFrame(lease), frame);
    assert.equal(calls.left, 0);
    reader.release(lease);
  }
  assert.equal(reader.take(), 0);
  await left;
  assert.deepEqual([reader.closed, calls.left], [true, 1]);
});

test('shared reader that is revoked closes with blocks leased, which the host reclaims', async () => {
  const { reader, calls } = open(2);
  reader.take();
  await reader.leave('revoke');
  assert.deepEqual([reader.closed, calls.left], [true, 1]);
  await reader.leave('revoke');
  assert.equal(calls.left, 1);
});
