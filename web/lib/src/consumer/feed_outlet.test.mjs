// Both ends of a feed, the writer's and the worklet's, in shared and in transfer mode.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { RING, ringBytes } from '../shared/feed_protocol.ts';
import { MessageSupply, RingSupply } from '../worklet/feed_supply.ts';
import { openOutlet, ringState } from './feed_outlet.ts';

const format = { sampleRate: 48_000, channels: 2, frames: 128, latencyFrames: 512, live: false };
const BLOCKS = 4;
const open = [];
afterEach(() => open.splice(0).forEach((end) => end.close()));

function ends(mode, start = 0) {
  if (mode === 'shared') {
    const ring = new SharedArrayBuffer(ringBytes(format));
    const cells = new Int32Array(ring, 0, RING.cells);
    cells.fill(start, RING.written, RING.played + 1);
    return { outlet: openOutlet({ mode, ring }, format), supply: new RingSupply(ring, format), cells };
  }
  const { port1, port2 } = new MessageChannel();
  const pair = { outlet: openOutlet({ mode, port: port1 }, format), supply: new MessageSupply(port2, format) };
  open.push(pair.outlet, pair.supply);
  return pair;
}

const arrive = (mode) => (mode === 'shared' ? null : new Promise((resume) => setTimeout(resume, 5)));

/** Writes and plays blocks whose first samples count them; checks that none is lost or repeated. */
async function pass({ outlet, supply }, mode, blocks) {
  let [written, played] = [0, 0];
  while (played < blocks) {
    for (let channels = outlet.free(); channels !== null && written < blocks; channels = outlet.free()) {
      assert.deepEqual(channels.map(({ length }) => length), [128, 128]);
      channels[1][0] = written++;
      outlet.send();
    }
    await arrive(mode);
    assert.equal(supply.waiting(), written - played);
    while (supply.current() !== null) {
      assert.equal(supply.current()[1][0], played++);
      supply.next();
    }
    await arrive(mode);
  }
}

for (const mode of ['shared', 'transfer']) {
  test(`feed in ${mode} mode: every block is played once, in order`, async () => {
    const pair = ends(mode);
    await pass(pair, mode, 10 * BLOCKS);
    assert.equal(pair.outlet.state().bufferedFrames, 0);
  });

  test(`feed in ${mode} mode: the writer has as many blocks as the latency`, async () => {
    const { outlet, supply } = ends(mode);
    for (let i = 0; i < BLOCKS; i++) {
      assert.notEqual(outlet.free(), null);
      outlet.send();
    }
    assert.equal(outlet.free(), null);
    await arrive(mode);
    assert.deepEqual([supply.waiting(), outlet.state().bufferedFrames], [BLOCKS, format.latencyFrames]);
    supply.next();
    await arrive(mode);
    assert.notEqual(outlet.free(), null);
  });

  test(`feed in ${mode} mode: the end follows the last block`, async () => {
    const { outlet, supply } = ends(mode);
    outlet.free();
    outlet.send();
    outlet.end();
    outlet.end();
    await arrive(mode);
    assert.deepEqual([supply.waiting(), supply.ended(), outlet.over], [1, true, true]);
  });

  test(`feed in ${mode} mode: the writer learns of underruns and late frames`, async () => {
    const { outlet, supply } = ends(mode);
    supply.report({ underruns: 3, lateFrames: 700, bufferedFrames: 0 });
    await arrive(mode);
    const { underruns, lateFrames } = outlet.state();
    assert.deepEqual([underruns, lateFrames], [3, 700]);
  });

  test(`feed in ${mode} mode: a writer that waits for room goes on when the feed is closed`, async () => {
    const { outlet } = ends(mode);
    for (let i = 0; i < BLOCKS; i++) outlet.send();
    const arrival = outlet.arrival();
    outlet.close();
    await arrival;
    assert.equal(outlet.over, true);
  });
}

for (const start of [2 ** 31 - 3, -(2 ** 31), -3]) {
  test(`ring counters that wrap around from ${start} lose and repeat no block`, async () => {
    const pair = ends('shared', start);
    await pass(pair, 'shared', 10 * BLOCKS);
    assert.equal(pair.cells[RING.played], (start + 10 * BLOCKS) | 0);
    assert.equal(ringState(pair.cells, format).bufferedFrames, 0);
  });
}

test('ring: counts beyond 32 bits stop at their maximum', () => {
  const { supply, cells } = ends('shared');
  supply.report({ underruns: 2 ** 40, lateFrames: 2 ** 31, bufferedFrames: 0 });
  assert.deepEqual([cells[RING.underruns], cells[RING.lateFrames]], [2 ** 31 - 1, 2 ** 31 - 1]);
});
