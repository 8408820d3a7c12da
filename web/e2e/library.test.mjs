// The library in a real browser, as a page that knows no Rust uses it. WAVEPOOL_LIBRARY_URL is where its test page is served.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, mode, outcome, scenario, url } from './scenario.mjs';

/** Copies of each sample on its way to the reader: into the window; in transfer mode also into a block. */
const copies = { shared: 1, transfer: 2 }[mode];

function assertReceived({ seen, figures, leaked }, blocks, { window, channels }) {
  assert.ok(seen.blocks >= blocks, `${seen.blocks} blocks`);
  assert.equal(seen.wrong, 0);
  // A busy machine may be late; what it missed is counted.
  assert.ok(seen.gaps <= figures.skipped_windows, `${seen.gaps} gaps, ${figures.skipped_windows} skipped`);
  assert.ok(seen.silent < blocks / 2, `${seen.silent} silent blocks`);
  // A window that was full but found the queue full was copied too, and is not among the windows.
  if (figures.skipped_windows === 0) assert.equal(figures.bytes_copied_per_window, copies * 4 * window * channels);
  assert.equal(figures.allocator_calls, 0);
  assert.equal(leaked, 0);
}

scenario('inThePage', 'a page reads every sample of a stereo tap, copied as often as promised', (outcome) =>
  assertReceived(outcome, 100, { window: 2048, channels: 2 }));

scenario('byCallback', 'a callback is called with each window until the tap is closed', (outcome) =>
  assertReceived(outcome, 300, { window: 256, channels: 2 }));

scenario('inAWorker', 'a worker reads a tap that was handed over', (outcome) =>
  assertReceived(outcome, 100, { window: 2048, channels: 2 }));

scenario('severalAtOnce', 'taps and tuners run side by side, each with its own figures', ({ page, worker, open, tuned, last, leaked }) => {
  assert.deepEqual([page.wrong, worker.wrong], [0, 0]);
  const skipped = open.reduce((sum, { skipped_windows }) => sum + skipped_windows, 0);
  assert.ok(page.gaps + worker.gaps <= skipped, `${page.gaps} and ${worker.gaps} gaps, ${skipped} skipped`);
  assert.deepEqual(open.map(({ consumer }) => consumer).sort(), ['reader', 'reader', 'tuner', 'tuner']);
  assert.equal(new Set(open.map(({ stream }) => stream)).size, 4);
  assert.ok(open.every(({ windows, quanta }) => windows > 10 && quanta > 100));
  const tuners = open.filter(({ consumer }) => consumer === 'tuner').map(({ stream }) => stream);
  assert.deepEqual(tuned.sort(), tuners.sort());
  assert.deepEqual(last.streams, []);
  assert.equal(last.pool.leased, 0);
  assert.equal(last.tally.allocation_events, last.tally.allocations_counted);
  assert.equal(last.tally.recycling_events, last.tally.recyclings_counted);
  assert.equal(leaked, 0);
});

scenario('keptTooLong', 'kept blocks stay as they are, windows are skipped and counted meanwhile, and it goes on', (outcome) => {
  const { kept, skippedWhileKept, codes, figures, leaked } = outcome;
  assert.ok(kept.blocks >= 16, `${kept.blocks} kept`);
  assert.deepEqual([kept.wrong, kept.gaps], [0, 0]);
  assert.ok(skippedWhileKept > 0);
  assert.ok(figures.skipped_windows >= skippedWhileKept);
  assert.deepEqual(codes, {
    'kept twice': 'stale-lease',
    'released by another': 'stale-lease',
    'released twice': 'stale-lease',
    'looked at after release': 'stale-lease',
    'no such channel': 'no-such-channel',
    'looked at after close': null,
    'read after close': 'done',
  });
  assert.equal(leaked, 0);
});

scenario('readTwice', 'a tap is read in one place by one loop, and impossible windows are refused', (codes) =>
  assert.deepEqual(codes, { second: 'tap-taken', handed: 'tap-taken', refused: 'bad-option', leaked: '0' }));

test('a call of the allocator from the audio thread is noticed', { timeout: 60_000 }, async () => {
  // The shipped worklet, but for one allocation a quantum.
  const tamper = (page) =>
    page.addInitScript(() => {
      const add = AudioWorklet.prototype.addModule;
      AudioWorklet.prototype.addModule = async function (url) {
        const shipped = await (await fetch(url)).text();
        const tampered = shipped.replace(/(\w+)\.tap_commit\(/, '$1.__wbindgen_malloc(64, 8),$1.tap_commit(');
        if (tampered === shipped) throw new Error('the worklet does not commit');
        return add.call(this, URL.createObjectURL(new Blob([tampered], { type: 'text/javascript' })));
      };
    });
  const { figures } = await outcome('inThePage', tamper);
  assert.ok(figures.allocator_calls > 100, `${figures.allocator_calls} calls in ${figures.quanta} quanta`);
});

scenario('buffers', 'buffers of the pool: silent, shared, the same array each time, released by `using`', ({ seen: looked, views, pressure, ...seen }) => {
  assert.deepEqual(seen, {
    silent: true, kept: true, twice: 'illegal-move', two: 1, sameArray: true, sizes: [1024, 512], live: 0, leased: 0, leaked: 0, closed: 'closed',
  });
  // By the unit costs in `web/host/src/shared/unit_costs.rs`.
  const [view, array] = [60, 112];
  const expected = 100 * (1 - (views * view) / (looked.arrays * array + looked.samples * 4));
  assert.ok(views >= 3 && Math.abs(pressure - expected) < 0.001, `${pressure} %, expected ${expected}`);
});

scenario('abuse', 'hostile leases and a million random ones are refused, and live leases stay as they are', (seen) => {
  assert.deepEqual(seen, {
    codes: ['stale-lease'], sizes: Array(7).fill('bad-option'), tooLarge: 'too-large', randoms: ['stale-lease', 'wrong-participant'],
    wrong: 'wrong-participant', exhausted: 'exhausted', untouched: true, leaked: 0,
  });
});

scenario('poolInAWorker', 'a worker has leases of its own, and they are taken back when it dies', (seen) => {
  const { live, foreign, here, leasedBefore, leasedAfter, leasedAtEnd, reclaimed, reclaimedInAll, reported, views, leaked } = seen;
  assert.deepEqual([live, foreign, here, leaked], [5, 'wrong-participant', 'wrong-participant', 0]);
  assert.deepEqual([leasedBefore, reclaimed, leasedAfter, leasedAtEnd, reclaimedInAll, reported], [6, 5, 1, 0, 5, 5]);
  assert.equal(views, 1);
});

scenario('poolEvents', 'plans, pressure and fragmentation are published as they are counted another way, and the end of an alert too', (seen) => {
  const { optimized, weighed, pressure, unpooled, fragmented, ended, frames, leaked } = seen;
  assert.ok(optimized.agrees, JSON.stringify(optimized));
  assert.ok(weighed && pressure.bytes_allocated < pressure.bytes_unpooled, `${unpooled} bytes expected, ${JSON.stringify(pressure)}`);
  const reduction = 100 * (1 - pressure.bytes_allocated / unpooled);
  assert.ok(Math.abs(pressure.reduction_percentage - reduction) < 0.001, `${pressure.reduction_percentage} and ${reduction}`);
  // The page's own buffers follow no stream.
  if (mode === 'shared') assert.deepEqual(frames, [null]);
  assert.equal(leaked, 0);
  // In transfer mode a page's buffers are in an arena of its own.
  if (mode === 'transfer') return;
  assert.ok(fragmented.reported && fragmented.event.fragmentation_percentage > fragmented.event.threshold_percentage, JSON.stringify(fragmented));
  // The map is drawn some control steps later, when more gaps may have closed.
  assert.ok(fragmented.drawn > 0 && Math.abs(fragmented.counted - fragmented.drawn) < 0.01, JSON.stringify(fragmented));
  assert.ok(fragmented.ended, JSON.stringify(ended));
});

scenario('stalePlace', 'a stale place of a dead worker closes only its own, not the one that got its holder number', (seen) =>
  assert.deepEqual(seen, { reclaimed: 5, live: 5, errors: [], leaked: 0 }));

if (mode === 'shared') {
  scenario('neverOpened', 'a worker that dies before it opened its pool or tap does not keep its place', ({ lost, leased, leaked }) =>
    assert.deepEqual([lost, leased, leaked], [8, 0, 0]));
}

scenario('foreignLeases', 'a foreign lease of another pool on the same page is refused, shared ones too', ({ codes, live, leased, leaked }) => {
  assert.ok(codes.every((code) => code === 'stale-lease' || code === 'wrong-participant'), codes.join());
  assert.deepEqual([live, leaked], [[128, 128], [0, 0]]);
  if (mode === 'shared') assert.deepEqual(leased, [64, 64]);
});

if (mode === 'transfer') {
  scenario('longHeader', 'a header of a wrong length is refused, and the pool goes on', (seen) => assert.deepEqual(seen, { answers: 12, leaked: 0 }));
}

scenario('feedFromThePage', 'what a page writes into a feed is played, sample for sample', ({ steps, frames, underruns, leaked }) => {
  // The fade in, and one more for each underrun of a busy machine, bend up to 64 + 64 samples; a skipped window hides 1024.
  assert.ok(steps > 0.9 * frames, `${steps} of ${frames} steps`);
  assert.ok(underruns < 5, `${underruns} underruns`);
  assert.equal(leaked, 0);
});

scenario('feedUnderruns', 'a writer that is late leaves gaps, counted, and no click', ({ loudest, largestStep, steepest, underruns, reported, closed, leaked }) => {
  assert.deepEqual([reported, closed], [{ channels: 1, frames: 512, underruns }, 0]);
  assert.ok(loudest > 0.49 && loudest < 0.51, `${loudest}`);
  assert.ok(underruns >= 2, `${underruns} underruns`);
  assert.ok(largestStep <= 1.1 * steepest, `a step of ${largestStep}, the steepest sound has ${steepest}`);
  assert.equal(leaked, 0);
});

scenario('consumerDies', 'a worker that dies with blocks in its hands leaves nothing behind, and others go on', (seen) => {
  const { message, after, open, leased, reclaimed, reported, leaked } = seen;
  assert.match(message, /the thread that read this tap is gone/);
  assert.deepEqual([after, open, leased, leaked], [{ blocks: 40, wrong: 0 }, 1, 0, 0]);
  // In transfer mode it held blocks of its own, no buffers of a pool.
  if (mode === 'shared') assert.ok(reported >= 5 && reclaimed === reported, `${reclaimed} reclaimed, ${reported} reported`);
});

/** The shipped worklet, but for one call of one node, in the middle of a window. */
const faults = {
  'calls with a number that is none': ['.tap_commit((globalThis.commits=(globalThis.commits|0)+1)===300?-16:', /the stream is not open any more/, false],
  'panics in Rust': ['[(globalThis.commits=(globalThis.commits|0)+1)===300?"tap_panic":"tap_commit"](', /panicked at .*half \d+ panics for a test/s, true],
};
for (const [name, [call, words, broken]] of Object.entries(faults)) {
  scenario(
    'processorTraps',
    `a worklet that ${name} is reported, what it held is taken back, and others go on`,
    ({ message, refused, after, leased, reclaimed, reported, leaked }) => {
      assert.match(message, words);
      // A panic's words belong to the thread that panicked.
      assert.match(refused, /window/);
      assert.doesNotMatch(refused, /panicked/);
      assert.deepEqual([after, leased, leaked], [{ blocks: 40, wrong: 0 }, 0, 0]);
      // What was in the middle of a change has to be taken over; in transfer mode the whole memory is gone.
      assert.ok(reported > 0 === (broken || mode === 'transfer') && reclaimed === reported, `${reclaimed} reclaimed, ${reported} reported`);
    },
    (page) =>
      page.addInitScript((call) => {
        const add = AudioWorklet.prototype.addModule;
        AudioWorklet.prototype.addModule = async function (url) {
          const shipped = await (await fetch(url)).text();
          const tampered = shipped.replace('.tap_commit(', call);
          if (tampered === shipped) throw new Error('the worklet does not commit');
          return add.call(this, URL.createObjectURL(new Blob([tampered], { type: 'text/javascript' })));
        };
      }, call),
  );
}

scenario('contextCloses', 'a context that is closed in the middle of a window leaves nothing behind but what was kept', (seen) =>
  assert.deepEqual(seen, { kept: true, leased: { shared: 2, transfer: 0 }[mode], leaked: 0 }));

scenario('controlWorkerDies', 'a control worker that is ended is noticed, and another one takes up the sound', (seen) => {
  const { before, message, refused, after, windows, leaked } = seen;
  assert.equal(message, 'The control worker is gone.');
  assert.equal(refused, 'host-failed');
  assert.deepEqual([before, after, leaked], [{ blocks: 10, wrong: 0 }, { blocks: 20, wrong: 0 }, 0]);
  assert.ok(windows >= 20);
});

scenario(
  'reclaimTraps',
  'a control worker that traps as it takes back what a dead thread held is reported at once, and another one takes up the sound',
  ({ message, refused, after, leaked }) => {
    assert.match(message, /^The control worker stopped: it traps for a test/);
    assert.equal(refused, 'host-failed');
    assert.deepEqual([after, leaked], [{ blocks: 20, wrong: 0 }, 0]);
  },
  (page) =>
    page.route('**/*.js', async (route) => {
      const response = await route.fetch();
      const trap = '(()=>{throw new WebAssembly.RuntimeError("it traps for a test")})(';
      const body = (await response.text()).replace(/\w+\.host_reclaimReader\(/, trap);
      await route.fulfill({ response, body });
    }),
);

scenario('answers', 'the control worker answers at once, however long its turns are', (waits) => {
  assert.ok(waits[10] < 20, `half of the answers took more than ${waits[10]} ms`);
  assert.ok(waits.at(-1) < 500, `an answer took ${waits.at(-1)} ms`);
});

if (mode === 'shared') {
  scenario('answerUnsignalled', 'without a signal its turn goes on', ({ early, afterSignal }) => {
    assert.equal(early, false);
    assert.ok(afterSignal < 500, `an answer took ${afterSignal} ms after the signal`);
  });
}

test('a page that is closed takes its control worker along, in the middle of a turn', { timeout: 60_000 }, async () => {
  const context = await browser.newContext();
  try {
    const [closing, watching] = [await context.newPage(), await context.newPage()];
    await Promise.all([closing.goto(url), watching.goto(url)]);
    await closing.waitForFunction(() => 'scenarios' in window);
    await closing.evaluate((mode) => window.scenarios.leftOpen(mode), mode);
    const held = () => watching.evaluate(async () => (await navigator.locks.query()).held.length);
    assert.equal(await held(), 1);
    await closing.close();
    const mayGo = Date.now() + 5000;
    while ((await held()) > 0) assert.ok(Date.now() < mayGo, 'it still lives after 5 seconds');
  } finally {
    await context.close();
  }
});
