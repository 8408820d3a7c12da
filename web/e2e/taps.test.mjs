// How taps and tuners end, what they refuse, and what they deliver where time is not what it usually is. Environment as for library.test.mjs.
import assert from 'node:assert/strict';
import { mode, scenario, sideBySide } from './scenario.mjs';

/** Nothing of the sound is missing, and every sample is right. */
function assertWhole({ seen, figures, leaked }) {
  assert.deepEqual([seen.wrong, seen.gaps], [0, 0]);
  assert.deepEqual([figures.skipped_windows, figures.interrupted_windows, figures.lost_frames], [0, 0, 0]);
  assert.equal(seen.blocks, figures.windows);
  assert.equal(leaked, 0);
}

/** Of a stream of so many frames. */
const windowsOf = (frames, { window, hop }) => Math.floor((frames - window) / hop) + 1;

function assertFlushed(outcome, window) {
  const { figures, last, end } = outcome;
  assertWhole(outcome);
  assert.equal(end, figures.frames);
  assert.equal(last, figures.frames % window || window);
}

scenario('hidden', 'hidden page: a tap whose page timers come once a second loses no window', (outcome) => {
  const { figures, seen, longest } = outcome;
  // A busy machine may be late; what it missed is counted.
  assert.ok(figures.skipped_windows <= 2 && seen.gaps <= figures.skipped_windows, `${figures.skipped_windows} skipped, ${seen.gaps} gaps`);
  assert.ok(seen.blocks > 150, `${seen.blocks} blocks`);
  assert.equal(seen.wrong, 0);
  assert.ok(longest < 500, `${longest} ms without a block`);
  assert.equal(outcome.leaked, 0);
});

scenario('longQuanta', 'long quantum: a live context with quanta of 8192 frames loses none of them', ({ quantum, seen, figures, leaked }) => {
  assert.equal(figures.quantum_frames, quantum);
  assert.deepEqual([seen.blocks, seen.wrong, seen.gaps, leaked], [8, 0, 0, 0]);
  assert.deepEqual([figures.skipped_windows, figures.lost_frames], [0, 0]);
  assert.equal(figures.frames, figures.quanta * quantum);
});

sideBySide('offline context', {
  offlineMinute: ['every window of a minute is delivered, and the loop ends by itself', (outcome) => {
    assertWhole(outcome);
    assert.equal(outcome.seen.blocks, windowsOf(60 * 48_000, { window: 2048, hop: 1024 }));
    assert.equal(outcome.reason, 'context-closed');
  }],
  offlineSlowly: ['it waits for a reader that lags behind', (outcome) => {
    assertWhole(outcome);
    assert.equal(outcome.seen.blocks, windowsOf(5 * 48_000, { window: 2048, hop: 1024 }));
  }],
  offlineLongQuanta: ['quanta of 8192 frames', (outcome) => {
    assertWhole(outcome);
    assert.equal(outcome.figures.quantum_frames, outcome.quantum);
    // The context renders whole quanta.
    assert.equal(outcome.seen.blocks, Math.floor((Math.ceil((10 * 48_000) / outcome.quantum) * outcome.quantum) / 4096));
  }],
  offlineFlush: ['the last window has what is left of the sound', (outcome) => {
    assertWhole(outcome);
    assert.deepEqual([outcome.end, outcome.last], [7 * 48_000, (7 * 48_000) % 4096]);
  }],
  offlineTogether: ['two taps, one in a worker, and a tuner', ({ page, far, windows, skipped, reasons, leaked }) => {
    const frames = 8 * 48_000;
    const expected = [{ window: 2048, hop: 1024 }, { window: 256, hop: 256 }, { window: 4096, hop: 1024 }].map((cut) => windowsOf(frames, cut));
    assert.deepEqual(skipped, [0, 0, 0]);
    assert.deepEqual(windows, expected);
    assert.deepEqual([page.blocks, page.wrong, page.gaps], [expected[0], 0, 0]);
    assert.deepEqual([far.blocks, far.wrong, far.gaps], [expected[1], 0, 0]);
    assert.deepEqual(reasons, ['context-closed', 'context-closed', 'context-closed']);
    assert.equal(leaked, 0);
  }],
  offlineUnread: ['nobody waits for a tap that is not read, or closed', (outcome) => {
    const { read, length, own, reason, later, windows, skipped_windows, leaked } = outcome;
    assert.deepEqual([length, own, reason, leaked], [8 * 48_000, 34, 'context-closed', 0]);
    assert.deepEqual([read.blocks >= 100, read.wrong, read.gaps, read.silent], [true, 0, 0, 0]);
    // What had room was kept, and is read after the end; the rest is counted.
    assert.equal(windows + skipped_windows, windowsOf(length, { window: 2048, hop: 1024 }));
    assert.deepEqual([later.blocks, later.wrong], [windows, 0]);
  }],
});

sideBySide('how taps and tuners end', {
  closedInTheBody: ['close in the loop: the current block and kept ones stay valid until they are released', (seen) => {
    const { turns, after, again, released, seenAgain, codes, leaked } = seen;
    assert.deepEqual([turns, after, released, again, seenAgain, leaked], [5, 5, null, 'stale-lease', true, 0]);
    assert.deepEqual([seen.seen.blocks, seen.seen.wrong, seen.seen.gaps], [5, 0, 0]);
    assert.deepEqual(codes, [{ shared: 'stale-lease', transfer: null }[mode], null, 'stale-lease']);
  }],
  flushed: ['flush: the last block has what fills no window', (outcome) => assertFlushed(outcome, 4096)],
  flushedInAWorker: ['flush: a worker gets the last block too', (outcome) => {
    assertWhole(outcome);
    assert.equal(outcome.seen.blocks, Math.ceil(outcome.figures.frames / 4096));
  }],
  readAfterClose: ['flush: what waits can be read after the close', (outcome) => assertFlushed(outcome, 4096)],
  contextClosesWhileRead: ['context closed while loops read: they end, with the reason', ({ page, far, reasons, refused, figures, leaked }) => {
    assert.ok(page.blocks >= 20 && far.blocks > 0, `${page.blocks} and ${far.blocks} blocks`);
    assert.deepEqual([page.wrong, far.wrong], [0, 0]);
    assert.deepEqual(reasons, Array(4).fill('context-closed'));
    assert.equal(refused, 'context-closed');
    assert.ok(figures.windows >= page.blocks);
    assert.equal(leaked, 0);
  }],
  closedTwice: ['closed twice: everything has one outcome, and nothing opens on a pool that was closed', ({ same, pools, later, codes }) => {
    assert.deepEqual(same, [true, true, true]);
    assert.deepEqual([pools[0].leaked, pools[1], later], [0, pools[0], pools[0]]);
    assert.deepEqual(codes, Array(5).fill('closed'));
  }],
});

scenario('refusedOptions', 'bad options of taps and tuners are refused with the option, the value and the limits', (answers) => {
  const { open, leaked, ...refusals } = answers;
  assert.deepEqual([open, leaked], ['0', '0']);
  for (const [name, answer] of Object.entries(refusals)) assert.match(answer, /^bad-option: Invalid [a-z]+: must be .+ \(got .+\)\.$/, name);
  const expected = {
    'tap window fraction': 'Invalid window: must be a whole number from 256 to 4096 (got 3.5).',
    'tuner window NaN': 'Invalid window: must be a whole number from 256 to 4096 (got NaN).',
    'tap hop negative': 'Invalid hop: must be a whole number from 32 to 2048 (got -1).',
    'tap channels text': 'Invalid channels: must be a whole number from 1 to 16 (got "2048").',
    'tap channels missing': 'Invalid channels: must be a whole number from 1 to 16 (got undefined).',
    'tuner flush zero': 'Invalid flush: must be true or false (got 0).',
    'options missing': 'Invalid options: must be an object with window, hop and channels (got undefined).',
    'window 4097': 'Invalid window: must be a whole number from 256 to 4096 (got 4097).',
    'hop 63': 'Invalid hop: must be a whole number from 64 to 4096 (got 63).',
  };
  for (const [name, message] of Object.entries(expected)) assert.equal(refusals[name], `bad-option: ${message}`);
});
