import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BLOCKS_PER_RETURN, blocksInFlight } from './protocol.ts';

const inFlight = (hop, sample_rate = 48_000) => blocksInFlight({ sample_rate, hop, window: hop, channels: 1, consumer: 'reader', flush: false });

test('transferable blocks hold half a second of a stream, within limits, beside those of one return', () => {
  assert.equal(inFlight(1024), Math.ceil(24_000 / 1024) + BLOCKS_PER_RETURN);
  assert.equal(inFlight(4096), 16 + BLOCKS_PER_RETURN);
  assert.equal(inFlight(4), 64 + BLOCKS_PER_RETURN);
  for (const hop of [1, 128, 511, 4096]) {
    for (const rate of [8000, 44_100, 384_000]) {
      const blocks = inFlight(hop, rate);
      assert.ok(Number.isInteger(blocks) && blocks >= 24 && blocks <= 72, `${hop} at ${rate}: ${blocks}`);
    }
  }
});
