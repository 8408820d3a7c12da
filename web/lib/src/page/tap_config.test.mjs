import assert from 'node:assert/strict';
import { test } from 'node:test';
import { streamConfig } from './tap_config.ts';

const limits = { window: [256, 4096], most_channels: 16, most_overlap: 64 };
const node = { context: { sampleRate: 44_100 }, connect: () => {}, numberOfOutputs: 1 };
const config = { window: 1024, hop: 256, channels: 2 };
const of = (changes, on = node) => streamConfig(on, { ...config, ...changes }, 'reader', limits);
const refused = (pattern, call) => assert.throws(call, ({ code, message }) => code === 'bad-option' && pattern.test(message));

test('stream configuration has the sample rate of the node, and no flush unless it is asked for', () => {
  assert.deepEqual(of({}), { sample_rate: 44_100, ...config, consumer: 'reader', flush: false });
  assert.equal(of({ flush: true }).flush, true);
});

test('stream window, hop and channels are accepted at their limits', () => {
  for (const window of [256, 257, 4096]) assert.equal(of({ window }).window, window);
  for (const hop of [16, 1024]) assert.equal(of({ hop }).hop, hop);
  assert.equal(of({ window: 257, hop: 5 }).hop, 5);
  for (const channels of [1, 16]) assert.equal(of({ channels }).channels, channels);
});

test('stream window, hop and channels beyond their limits are refused with them', () => {
  for (const window of [255, 4097, 0, -1, 1024.5, NaN, '1024', undefined, null]) refused(/^Invalid window: .* from 256 to 4096/, () => of({ window }));
  for (const hop of [15, 1025, 0, NaN, undefined]) refused(/^Invalid hop: .* from 16 to 1024/, () => of({ hop }));
  refused(/^Invalid hop: .* from 5 to 257/, () => of({ window: 257, hop: 4 }));
  for (const channels of [0, 17, 1.5, '2']) refused(/^Invalid channels: .* from 1 to 16/, () => of({ channels }));
  for (const flush of [null, 0, 'no']) refused(/^Invalid flush/, () => of({ flush }));
});

test('stream of what is no node with an output is refused', () => {
  for (const on of [null, undefined, 'node', {}, { connect: () => {} }]) refused(/^Invalid node: must be an AudioNode/, () => streamConfig(on, config, 'reader', limits));
  refused(/with an output/, () => of({}, { ...node, numberOfOutputs: 0 }));
  for (const options of [null, undefined, 5]) refused(/^Invalid options/, () => streamConfig(node, options, 'reader', limits));
});
