// Feeds in a real browser: what they play, how late, what they refuse, and that closing them ends everything.
import assert from 'node:assert/strict';
import { scenario } from './scenario.mjs';

scenario('feedBitPatterns', 'feed: any bit pattern is played as it is, or as zero if it is not finite', (outcomes) => {
  for (const { wrong, notFinite, afterEnd, compared, ...format } of outcomes) {
    assert.deepEqual({ wrong, notFinite, afterEnd }, { wrong: 0, notFinite: 0, afterEnd: 0 }, JSON.stringify(format));
    assert.ok(compared >= 4000);
  }
  assert.equal(outcomes.length, 5);
});

scenario('feedSilence', 'feed: silence is zeros, also after a block that ends with NaN or infinities', (outcomes) => {
  for (const outcome of outcomes) assert.deepEqual({ ...outcome, last: 0 }, { last: 0, finite: true, zeros: true, played: true }, String(outcome.last));
  assert.equal(outcomes.length, 6);
});

scenario('feedLatency', 'feed: live feeds keep one latency, also after the writer was late', ({ start, onTime, afterStall, latencyFrames, reported, leaked }) => {
  assert.deepEqual(reported, Array(5).fill({ live: true, latency_frames: latencyFrames }));
  for (const [when, { latency }] of Object.entries({ start, onTime, afterStall })) {
    const spread = Math.max(...latency) - Math.min(...latency);
    assert.ok(spread <= 256, `${when}: latencies of ${latency} frames`);
    // Windows and blocks of 256 frames on the way, and a quantum.
    for (const frames of latency) assert.ok(Math.abs(frames - latencyFrames) <= 3 * 256, `${when}: ${frames} frames, target ${latencyFrames}`);
  }
  onTime.underruns.forEach((underruns, i) => {
    if (underruns === start.underruns[i]) assert.equal(onTime.late[i], start.late[i], 'frames of an on-time writer were dropped');
  });
  for (const late of afterStall.late) assert.ok(late > 0);
  assert.equal(leaked, 0);
});

scenario(
  'feedsClosed',
  'feed: close ends the processor, the writer and its loop, on the page, in a worker, and with the pool',
  (seen) => assert.deepEqual(seen, { counted: true, neverWritten: 0, written: 0, loopsEnded: 220, withThePool: 0, loopsEndedAtLast: 230 }),
);

scenario(
  'poolClosed',
  'closed pool: every method is refused, and so is what was opening',
  ({ closed, whileOpening, after, again, left }) => {
    assert.deepEqual(whileOpening, Array(5).fill('closed'));
    assert.deepEqual([...new Set(Object.values(after))], ['closed'], JSON.stringify(after));
    assert.equal(Object.keys(after).length, 11);
    assert.deepEqual([closed, again, left], [{ leaked: 0 }, { leaked: 0 }, 0]);
  },
);

scenario('feedCalls', 'feed: calls at the wrong time or with impossible numbers are refused with a typed error', (codes) => {
  for (const [what, code] of Object.entries(codes)) assert.equal(code, expected(what), what);
  assert.equal(Object.keys(codes).length, 30);
});

function expected(what) {
  if (what.startsWith('channel ')) return 'no-such-channel';
  if (what.startsWith('ticket ')) return 'bad-option';
  return {
    'a second loop': 'tap-taken',
    'a block that was sent': 'stale-lease',
    'a loop after the first': 'accepted',
    'handed over while it is written here': 'tap-taken',
    'end twice': 'accepted',
    'a loop after the end': 'closed',
    'close twice': 'accepted',
    'end after close': 'accepted',
    'a loop after close': 'closed',
    'handed over after close': 'closed',
    'written here after it was handed over': 'tap-taken',
    'handed over twice': 'tap-taken',
    'a ticket opened twice': 'tap-taken',
    'a writer after close': 'closed',
    'on a closed context': 'context-closed',
  }[what];
}
