// What the processor of a feed plays, sample by sample, from a ring.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openOutlet } from '../consumer/feed_outlet.ts';
import { RING, ringBytes } from '../shared/feed_protocol.ts';

/** As the audio thread has it. */
globalThis.AudioWorkletProcessor ??= class {
  port = { posted: [], onmessage: null, postMessage: (message) => this.port.posted.push(message), close: () => {} };
};
const { FeedProcessor } = await import('./feed_worklet.ts');

const QUANTUM = 128;
const FADE = 64;

function open(changes = {}, start = 0) {
  const format = { sampleRate: 48_000, channels: 1, frames: 256, latencyFrames: 1024, live: false, ...changes };
  const ring = new SharedArrayBuffer(ringBytes(format));
  new Int32Array(ring).fill(start, RING.written, RING.played + 1);
  const outlet = openOutlet({ mode: 'shared', ring }, format);
  const processor = new FeedProcessor({ processorOptions: { format, ring } });
  const { posted } = processor.port;
  return {
    processor,
    outlet,
    said: (kind) => posted.filter((message) => message.kind === kind),
    /** Whether there was room for a block. */
    write: (sample) => {
      const channels = outlet.free();
      if (channels === null) return false;
      channels.forEach((samples, channel) => samples.forEach((_, frame) => (samples[frame] = sample(frame, channel))));
      outlet.send();
      return true;
    },
    /** Plays so many quanta; returns the samples of a channel, and whether the processor goes on. */
    play: (quanta, channel = 0, quantum = QUANTUM) => {
      const played = [];
      let goesOn = true;
      for (let i = 0; i < quanta && goesOn; i++) {
        const output = Array.from({ length: format.channels }, () => new Float32Array(quantum));
        goesOn = processor.process([], [output]);
        played.push(...output[channel]);
      }
      return { played, goesOn };
    },
  };
}

const steps = (samples) => samples.slice(1).map((sample, at) => Math.abs(sample - samples[at]));

test('feed is played as it was written, after the fade in', () => {
  const feed = open({ channels: 2 });
  for (let block = 0; block < 4; block++) feed.write((frame, channel) => (channel + 1) * (block * 256 + frame));
  const { played } = feed.play(8, 1);
  assert.deepEqual(played.slice(FADE), Array.from({ length: 1024 - FADE }, (_, frame) => 2 * (frame + FADE)));
});

test('feed: the ring wraps around at 2^31 and 2^32 without a lost or repeated block', () => {
  for (const start of [2 ** 31 - 5, -(2 ** 31), -5]) {
    for (const frames of [128, 96, 256]) {
      const feed = open({ frames, latencyFrames: 4 * frames }, start);
      const samples = [];
      for (let written = 0; written < 40 * frames; ) {
        while (feed.write((frame) => written + frame)) written += frames;
        samples.push(...feed.play(1).played);
      }
      const expected = samples.map((_, frame) => frame);
      assert.deepEqual(samples.slice(FADE), expected.slice(FADE), `from ${start} by ${frames}`);
      assert.equal(feed.outlet.state().underruns, 0);
    }
  }
});

test('live feed: the ring wraps around at 2^31 and 2^32 without a lost or repeated block', () => {
  for (const start of [2 ** 31 - 20, -(2 ** 31), -20]) {
    const feed = open({ live: true, latencyFrames: 1280 }, start);
    const samples = [];
    for (let written = 0; written < 80 * 256; ) {
      for (let i = 0; i < 2; i++) samples.push(...feed.play(1).played);
      assert.ok(feed.write((frame) => written + frame + 1));
      written += 256;
      const { bufferedFrames } = feed.outlet.state();
      assert.ok(bufferedFrames >= 0 && bufferedFrames <= 2 * 1280, `${bufferedFrames} buffered`);
    }
    const sound = samples.slice(samples.findIndex((sample) => sample !== 0) + FADE);
    assert.deepEqual(sound, sound.map((_, frame) => sound[0] + frame), `from ${start}`);
    assert.deepEqual([feed.outlet.state().underruns, feed.outlet.state().lateFrames], [0, 0]);
  }
});

test('feed: NaN and infinities are played as zeros, every other bit pattern as it is', () => {
  const feed = open();
  const patterns = new Float32Array([0, -0, 1, -1, 2 ** -149, -(2 ** -126), 3.4e38, NaN, Infinity, -Infinity]);
  feed.write(() => 0.25);
  feed.write((frame) => patterns[frame % patterns.length]);
  const { played } = feed.play(4);
  const expected = Array.from(patterns, (sample) => (Number.isFinite(sample) ? sample : 0));
  played.slice(256, 512).forEach((sample, frame) => assert.equal(sample, expected[frame % patterns.length]));
});

test('feed whose writer is late fades out and in without a click, and counts it once', () => {
  const feed = open();
  const loud = 0.5;
  for (let i = 0; i < 4; i++) feed.write(() => loud);
  const before = feed.play(8).played;
  const gap = feed.play(10).played;
  for (let i = 0; i < 4; i++) feed.write(() => loud);
  const after = feed.play(4).played;
  const all = [0, ...before, ...gap, ...after];
  assert.ok(Math.max(...steps(all)) <= loud / FADE + 1e-6, `a step of ${Math.max(...steps(all))}`);
  assert.ok(gap.slice(FADE).every((sample) => sample === 0));
  assert.equal(feed.outlet.state().underruns, 1);
  assert.deepEqual(feed.said('state').map(({ state }) => state.underruns), [1]);
});

test('feed that ends with NaN is silent afterwards', () => {
  for (const last of [NaN, Infinity, -Infinity, 3e38]) {
    const feed = open();
    feed.write((frame) => (frame === 255 ? last : 0.5));
    const { played } = feed.play(6);
    assert.ok(played.every(Number.isFinite), String(last));
    assert.ok(played.slice(256 + FADE).every((sample) => sample === 0), String(last));
  }
});

test('feed that was ended plays what was written, fades out, reports it and stops', () => {
  const feed = open();
  feed.write(() => 0.5);
  feed.outlet.end();
  const { played, goesOn } = feed.play(20);
  assert.equal(goesOn, false);
  assert.equal(played.filter((sample) => sample === 0.5).length, 256 - FADE + 1);
  assert.equal(feed.said('ended').length, 1);
  assert.equal(feed.outlet.state().underruns, 0, 'an end is no underrun');
});

test('feed that was closed stops at once', () => {
  const feed = open();
  feed.write(() => 0.5);
  feed.processor.port.onmessage({ data: { kind: 'close' } });
  assert.equal(feed.play(1).goesOn, false);
});

test('feed plays quanta of any length', () => {
  for (const quantum of [1, 64, 100, 256, 1000]) {
    const feed = open({ latencyFrames: 4096 });
    const samples = [];
    for (let written = 0; samples.length < 3000; ) {
      while (feed.write((frame) => written + frame)) written += 256;
      samples.push(...feed.play(1, 0, quantum).played);
    }
    samples.slice(FADE).forEach((sample, frame) => assert.equal(sample, frame + FADE, `quanta of ${quantum}`));
  }
});

test('live feed keeps its latency after its writer stalled, and counts what it dropped', () => {
  const feed = open({ live: true, latencyFrames: 1024 });
  let written = 0;
  const write = () => feed.write((frame) => written + frame) && (written += 256);
  const latencies = [];
  for (let quantum = 0; quantum < 3000; quantum++) {
    // It stalls for 100 ms, and then everything comes at once.
    const stalls = quantum >= 1000 && quantum < 1040;
    if (quantum % 2 === 0 && !stalls) write();
    if (quantum === 1040) for (let i = 0; i < 20; i++) write();
    const { played } = feed.play(1);
    if (played.at(-1) !== 0) latencies.push(written - played.at(-1));
  }
  const settled = [latencies.slice(600, 900), latencies.slice(-300)];
  for (const part of settled) {
    for (const latency of part) assert.ok(Math.abs(latency - 1024) <= 2 * 256, `a latency of ${latency} frames`);
  }
  const { lateFrames, underruns } = feed.outlet.state();
  assert.ok(lateFrames > 0 && underruns > 0, `${lateFrames} late, ${underruns} underruns`);
});
