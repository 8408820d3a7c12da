// The main job on a real recording, held to what the project promises. WAVEPOOL_URL and WAVEPOOL_MODE as for the page's tests.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage, play, press, stop } from './browser.mjs';
import { clear, pianoFile, required } from './piano.mjs';
import { record } from './trace.mjs';

const url = process.env['WAVEPOOL_URL'] ?? 'http://127.0.0.1:4173/';
const mode = process.env['WAVEPOOL_MODE'] ?? 'shared';
/** Of 4096 samples: once into the window; in transfer mode also into a block and out of it. */
const bytesPerWindow = { shared: 16_384, transfer: 49_152 }[mode];
let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

test('a piano’s A4: named, accounted for to the last frame, and nothing left behind', async (t) => {
  const { page, errors } = await openPage(browser, url);
  const finish = await record(browser);
  await play(page, pianoFile('A4'));
  await page.waitForTimeout(6000);
  const report = { ...(await stop(page)), ...(await finish()) };
  await page.close();
  assert.deepEqual(errors, []);

  await t.test('the report has every field', () => {
    assert.equal(report.mode, mode);
    assert.deepEqual(numbers(report, ['sample_rate', 'quantum_frames', 'quanta', 'windows', 'skipped_windows', 'interrupted_windows', 'bytes_copied_per_window']), []);
    assert.ok(report.notes.length > 0);
    for (const note of report.notes) {
      assert.deepEqual(numbers(note, ['t_s', 'hz', 'cents', 'clarity']), []);
      assert.match(note.note, /^[A-G]#?-?\d$/);
    }
    const poolFields = ['total_allocations', 'pool_hits', 'pool_misses', 'hit_rate_percentage', 'memory_overhead_bytes', 'fragmentation_percentage', 'wasm_js_boundary_allocations'];
    assert.deepEqual(numbers(report.pool, poolFields), []);
    assert.deepEqual(numbers(report.memory, ['pages_at_boot', 'pages_grown']), []);
    assert.ok('js_gc_pressure_reduction' in report.pool);
    for (const lane of ['critical', 'high', 'normal']) {
      assert.deepEqual(numbers(report.bus[lane], ['published', 'delivered', 'dropped', 'late']), []);
    }
    // Null, with the reason, where the browser does not tell; Chromium does.
    assert.equal(report.trace_note, null);
    assert.deepEqual(numbers(report.callback_us, ['p50', 'p99', 'p999', 'max']), []);
    assert.deepEqual(numbers(report.gc, ['minor', 'major']), []);
    assert.ok('underruns' in report);
  });

  await t.test('the note is A4 within 15 cents', () => {
    const asked = report.notes.filter(({ clarity }) => clarity >= clear);
    const right = asked.filter(({ note, cents }) => note === 'A4' && Math.abs(cents) <= 15);
    assert.ok(right.length >= required * asked.length, `${right.length} of ${asked.length} clear windows`);
    const early = asked.filter(({ t_s }) => t_s < 3).length;
    const windows = Math.floor((3 * report.sample_rate) / report.hop);
    assert.ok(early >= windows / 2, `${early} of ${windows} windows of the first 3 s are clear`);
  });

  await t.test('every frame is in a window, copied as often as promised', () => {
    assert.equal(report.skipped_windows, 0);
    assert.equal(report.interrupted_windows, 0);
    assert.equal(report.frames, report.quanta * report.quantum_frames);
    assert.equal(report.windows, Math.floor((report.frames - report.window) / report.hop) + 1);
    assert.ok(report.frames > 5 * report.sample_rate, `${report.frames} frames`);
    assert.equal(report.bytes_copied_per_window, bytesPerWindow);
    // Views of one shared memory outlive no growth.
    if (mode === 'shared') assert.equal(report.memory.pages_grown, 0);
  });

  await t.test('the pool is warm after a second, the events agree with it, and all buffers are back', () => {
    assert.ok(report.steady.hits > 0);
    assert.equal(report.steady.hit_rate_percentage, 100);
    assert.ok(report.tally.allocation_events > 0);
    assert.equal(report.tally.allocation_events, report.tally.allocations_counted);
    assert.equal(report.tally.recycling_events, report.tally.recyclings_counted);
    assert.equal(report.pool.leased, 0);
    assert.equal(report.leaked, 0);
  });

  await t.test('the audio thread was called all along, and collected nothing', () => {
    assert.ok(report.callback_us.count > 0.9 * report.quanta, `${report.callback_us.count} calls for ${report.quanta} quanta`);
    // Transfer mode posts messages from the audio thread, which makes a little garbage.
    if (mode === 'shared') assert.deepEqual([report.gc.minor, report.gc.major], [0, 0]);
  });
});

test('a page closed and opened again ten times while it plays leaks nothing', async () => {
  for (let turn = 0; turn < 10; turn += 1) {
    const { page, errors } = await openPage(browser, url);
    await press(page, 'tone');
    await page.waitForFunction(() => window.wavepoolDemo.report().windows > 0);
    // Closing the tab does the same, but then nobody is left to ask.
    assert.deepEqual(await page.evaluate(() => window.wavepoolDemo.close()), { leaked: 0 });
    assert.deepEqual(errors, []);
    await page.close({ runBeforeUnload: true });
  }
});

/** The fields among these that are not numbers. */
const numbers = (object, fields) => fields.filter((field) => typeof object[field] !== 'number');
