import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Block } from './block.ts';

/** A source that knows which leases are open. */
function source() {
  const open = new Set([1, 2]);
  return {
    closed: false,
    open,
    frames: () => 256,
    firstFrame: (lease) => lease * 256,
    channel: (lease, channel) => new Float32Array([lease, channel]),
    release: (lease) => assert.ok(open.delete(lease), `lease ${lease} was released twice`),
  };
}

function begun(from, lease = 1) {
  const block = new Block(from, 2);
  block.begin(lease);
  return block;
}

const STALE = { code: 'stale-lease' };

test('block has the frames and samples of its window', () => {
  const block = begun(source());
  assert.deepEqual([block.frames, block.firstFrame, block.channelCount, [...block.channel(1)]], [256, 256, 2, [1, 1]]);
});

test('double release of a block is refused', () => {
  const from = source();
  const block = begun(from);
  block.release();
  assert.throws(() => block.release(), STALE);
  for (const use of [() => block.channel(0), () => block.firstFrame, () => block.keep()]) assert.throws(use, STALE);
  assert.deepEqual([...from.open], [2]);
});

test('kept block is released by its own object only, once', () => {
  const from = source();
  const block = begun(from);
  const kept = block.keep();
  assert.throws(() => block.release(), STALE);
  assert.throws(() => block.keep(), STALE);
  block[Symbol.dispose]();
  assert.ok(from.open.has(1));
  block.begin(2);
  assert.equal(kept.firstFrame, 256);
  kept.release();
  assert.throws(() => kept.release(), STALE);
  block.release();
  assert.equal(from.open.size, 0);
});

test('end of the scope releases a block, unless it was released or kept', () => {
  const from = source();
  const block = begun(from);
  block[Symbol.dispose]();
  block[Symbol.dispose]();
  assert.deepEqual([...from.open], [2]);
  block.begin(2);
  block.release();
  block[Symbol.dispose]();
  assert.equal(from.open.size, 0);
});

test('block of a closed pool is stale, and its release changes nothing', () => {
  const from = source();
  const block = begun(from);
  from.closed = true;
  assert.throws(() => block.channel(0), STALE);
  block.release();
  assert.ok(from.open.has(1), 'the pool has reclaimed it already');
});
