import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockCount, blocksBetween, channelsOf, RING, ringBlocks, ringBytes } from './feed_protocol.ts';

const format = { sampleRate: 48_000, channels: 3, frames: 128, latencyFrames: 512, live: false };

test('ring counters: blocks between them are right across the wrap at 2^31 and 2^32', () => {
  for (const played of [0, 1, 2 ** 31 - 2, 2 ** 31 - 1, -(2 ** 31), -2, -1]) {
    for (const ahead of [0, 1, 2, 1000]) assert.equal(blocksBetween(played, (played + ahead) | 0), ahead);
  }
});

test('live feed has twice the blocks of its latency, a paced one as many', () => {
  assert.equal(blockCount(format), 4);
  assert.equal(blockCount({ ...format, live: true }), 8);
});

test('ring: its blocks cover it without overlap, after the counters', () => {
  const ring = new SharedArrayBuffer(ringBytes(format));
  const blocks = ringBlocks(ring, format);
  assert.deepEqual([blocks.length, blocks[0].length], [4, 3]);
  let offset = 4 * RING.cells;
  for (const samples of blocks.flat()) {
    assert.deepEqual([samples.byteOffset, samples.length], [offset, 128]);
    offset += samples.byteLength;
  }
  assert.equal(offset, ring.byteLength);
});

test('transferable block: its channels cover it without overlap', () => {
  const channels = channelsOf(new ArrayBuffer(4 * 3 * 128), format);
  assert.deepEqual(channels.map(({ byteOffset, length }) => [byteOffset, length]), [[0, 128], [512, 128], [1024, 128]]);
});
