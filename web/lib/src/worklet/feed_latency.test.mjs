import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyKeeper } from './feed_latency.ts';

const QUANTUM = 128;

/** Plays a live feed whose blocks arrive as `arrivals` says, a number of blocks for each quantum. */
function play({ frames, latencyFrames, arrivals }) {
  const keeper = new LatencyKeeper({ sampleRate: 48_000, channels: 1, frames, latencyFrames, live: true });
  let buffered = 0;
  let begun = null;
  let dropped = 0;
  const levels = [];
  for (const [quantum, blocks] of arrivals.entries()) {
    buffered += blocks * frames;
    if (buffered === 0 && !keeper.playing) keeper.rest();
    let silent = 0;
    if (keeper.playing) {
      const excess = keeper.excess(buffered, QUANTUM);
      assert.ok(excess >= 0 && excess <= buffered, `drops ${excess} of ${buffered}`);
      buffered -= excess;
      if (begun !== null) dropped += excess;
    } else {
      const drop = keeper.settle(buffered, QUANTUM);
      assert.ok(drop >= 0 && drop <= buffered, `drops ${drop} of ${buffered}`);
      buffered -= drop;
      silent = keeper.silent;
      assert.ok(silent >= 0 && silent <= QUANTUM, `silent for ${silent}`);
      if (keeper.playing) begun ??= quantum * QUANTUM + silent;
    }
    if (keeper.playing) {
      buffered -= Math.min(buffered, QUANTUM - silent);
      if (buffered === 0) keeper.rest();
      levels.push(buffered);
    }
  }
  return { begun, dropped, levels };
}

/** A block each so many quanta. */
const regular = (quanta, every) => Array.from({ length: quanta }, (_, i) => (i % every === 0 ? 1 : 0));

test('live feed begins one latency after the newest frame, whatever the latency', () => {
  for (const frames of [128, 256, 512]) {
    for (const blocks of [3, 4, 8, 40]) {
      const latencyFrames = frames * blocks;
      const { begun, dropped } = play({ frames, latencyFrames, arrivals: regular(2000, frames / QUANTUM) });
      assert.ok(Math.abs(begun - (latencyFrames - frames)) <= frames, `${frames} × ${blocks}: begun at ${begun}`);
      assert.equal(dropped, 0, 'frames of an on-time writer were dropped');
    }
  }
});

test('live feed drops the backlog that it begins with', () => {
  const arrivals = regular(2000, 2);
  arrivals[0] = 30;
  const { levels } = play({ frames: 256, latencyFrames: 1024, arrivals });
  assert.ok(Math.max(...levels) <= 1024, `${Math.max(...levels)} buffered`);
});

test('live feed whose buffered sound stays above the latency drops the excess', () => {
  const arrivals = regular(4000, 2);
  arrivals[1000] = 3;
  const { dropped, levels } = play({ frames: 256, latencyFrames: 1024, arrivals });
  assert.ok(dropped > 0);
  assert.ok(levels.at(-1) <= 1024, `${levels.at(-1)} buffered at last`);
});

test('live feed: a burst that is made up for at once costs nothing', () => {
  const arrivals = regular(2000, 2);
  // A block is late by two quanta, and comes together with the next.
  arrivals[1000] = 0;
  arrivals[1002] = 2;
  const { dropped } = play({ frames: 256, latencyFrames: 1024, arrivals });
  assert.equal(dropped, 0);
});

test('live feed that ran dry settles again', () => {
  const keeper = new LatencyKeeper({ sampleRate: 48_000, channels: 1, frames: 128, latencyFrames: 384, live: true });
  for (let i = 0; i < 10 && !keeper.playing; i++) keeper.settle(384, QUANTUM);
  assert.equal(keeper.playing, true);
  keeper.rest();
  assert.equal(keeper.playing, false);
  assert.equal(keeper.settle(0, QUANTUM), 0);
  assert.equal(keeper.silent, QUANTUM);
});
