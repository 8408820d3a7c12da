import assert from 'node:assert/strict';
import { test } from 'node:test';
import { feedFormat } from './feed_options.ts';

const context = { sampleRate: 48_000 };
const format = { channels: 1, frames: 256 };
const WRONG = [null, '2', {}, NaN, -1, 0, Infinity, 1e9, 2 ** 32 + 1, Number.MAX_VALUE, Symbol('a'), 3n];

function refused(config, on = context) {
  try {
    feedFormat(on, config);
  } catch ({ code, message }) {
    assert.equal(code, 'bad-option');
    assert.match(message, /^Invalid feed format: .+ \(got .+\)\.$/);
    return message;
  }
  return assert.fail(`accepted: ${Object.keys(config ?? {})}`);
}

test('feed options that cannot be are refused with the option, the value and the limits', () => {
  for (const name of ['channels', 'frames', 'latencyMs']) {
    for (const value of WRONG) assert.match(refused({ ...format, [name]: value }), new RegExp(`: ${name} must`));
  }
  for (const name of ['channels', 'frames']) {
    for (const value of [1.5, undefined]) assert.match(refused({ ...format, [name]: value }), new RegExp(name));
  }
  assert.equal(refused({ ...format, channels: 0 }), 'Invalid feed format: channels must be a whole number from 1 to 32 (got 0).');
  assert.equal(refused({ ...format, channels: 33 }), 'Invalid feed format: channels must be a whole number from 1 to 32 (got 33).');
  assert.equal(refused({ ...format, frames: '2' }), 'Invalid feed format: frames must be a whole number from 1 to 65536 (got "2").');
  refused({ ...format, frames: 65_537 });
  refused({ ...format, latencyMs: 10_000.1 });
  for (const live of [null, 1, 'true', {}]) assert.match(refused({ ...format, live }), /live must be true or false/);
});

test('feed options and context that are no objects are refused', () => {
  for (const config of [undefined, null, 3, 'text']) assert.match(refused(config), /options must be an object/);
  for (const on of [null, 3, 'context', {}, { sampleRate: '48000' }]) assert.match(refused(format, on), /context must be an AudioContext/);
});

test('feed that needs too much memory is refused with what it needs', () => {
  assert.match(refused({ channels: 32, frames: 128, latencyMs: 10_000 }, { sampleRate: 384_000 }), /at most 67108864 samples together \(got \d+\)/);
});

test('feed latency is rounded up to whole blocks, at least three', () => {
  const latency = (config) => feedFormat(context, config).latencyFrames;
  assert.equal(latency(format), 4864);
  assert.equal(latency({ channels: 32, frames: 1, latencyMs: 0.001 }), 3);
  assert.equal(latency({ channels: 1, frames: 65_536, latencyMs: 1 }), 3 * 65_536);
  assert.equal(latency({ channels: 1, frames: 128, latencyMs: 10_000, live: true }), 480_000);
  assert.equal(latency({ ...format, latencyMs: 20, live: false }), 1024);
});

test('feed format has the context\'s sample rate, and is paced unless it is live', () => {
  assert.deepEqual(feedFormat(context, format), { sampleRate: 48_000, channels: 1, frames: 256, latencyFrames: 4864, live: false });
  assert.equal(feedFormat(context, { ...format, live: true }).live, true);
});
