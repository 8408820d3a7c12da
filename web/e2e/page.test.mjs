// The page in a real browser. WAVEPOOL_URL is where it is served, WAVEPOOL_MODE what it must run in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, notice, openPage, play, press, state, stop } from './browser.mjs';
import { playPiano, required } from './piano.mjs';
import { soundFolder, wav } from './sounds.mjs';

const url = process.env['WAVEPOOL_URL'] ?? 'http://127.0.0.1:4173/';
const mode = process.env['WAVEPOOL_MODE'] ?? 'shared';
const sounds = soundFolder();
/** Answers for the microphone, so that no machine needs one. */
const fakeMicrophone = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream'];
let browser;

before(async () => {
  browser = await launch(fakeMicrophone);
});

after(async () => {
  await browser?.close();
  sounds.remove();
});

/** A test on a fresh page, which must not have complained to the console by its end. */
function onPage(name, body, options) {
  test(name, async () => {
    const { page, errors } = await openPage(browser, url, options);
    try {
      await body(page);
      assert.deepEqual(errors, []);
    } finally {
      await page.close();
    }
  });
}

const report = (page) => page.evaluate(() => window.wavepoolDemo.report());

function assertNothingLost({ leaked, pool, tally }) {
  assert.equal(leaked, 0);
  assert.equal(pool.leased, 0);
  assert.equal(tally.allocation_events, tally.allocations_counted);
  assert.equal(tally.recycling_events, tally.recyclings_counted);
}

onPage('says which mode it runs in, and why', async (page) => {
  assert.match(await page.textContent('#mode-name'), mode === 'shared' ? /Shared memory/ : /Transfer/);
  assert.match(await page.textContent('#mode-reason'), /mode: .+\.$/);
});

onPage('every frame of a stream is in a window, and every buffer comes back', async (page) => {
  await play(page, sounds.write('a4.wav', wav({ seconds: 4 })));
  await page.waitForFunction(() => window.wavepoolDemo.report().notes.length > 150);
  const last = await stop(page);
  assert.equal(last.mode, mode);
  assert.equal(last.skipped_windows, 0);
  assert.equal(last.frames, last.quanta * last.quantum_frames);
  assert.equal(last.windows, Math.floor((last.frames - last.window) / last.hop) + 1);
  assert.equal(last.steady.hit_rate_percentage, 100);
  const clear = last.notes.filter(({ clarity }) => clarity > 0.9);
  assert.ok(clear.length > 50, `${clear.length} clear windows`);
  assert.ok(clear.every(({ note, cents }) => note === 'A4' && Math.abs(cents) < 3));
  assertNothingLost(last);
});

const formats = {
  'mono, 8 kHz': { sampleRate: 8000 },
  'stereo, 44.1 kHz': { sampleRate: 44_100, channels: 2 },
  'six channels': { channels: 6, gain: 0.15 },
  '96 kHz': { sampleRate: 96_000, channels: 2 },
};
for (const [name, format] of Object.entries(formats)) {
  onPage(`a file of one second is analysed: ${name}`, async (page) => {
    await play(page, sounds.write('tone.wav', wav({ hz: 523.25, ...format })));
    await page.waitForFunction(() => document.body.dataset.state === 'ended', null, { timeout: 10_000 });
    const last = await stop(page);
    const right = last.notes.filter(({ note }) => note === 'C5');
    assert.ok(right.length > 20, `${right.length} of ${last.notes.length} windows say C5`);
    assertNothingLost(last);
  });
}

onPage('a whole file is analysed in recycled vectors, which the dashboard shows and which are freed afterwards', async (page) => {
  const held = () => page.evaluate(() => document.querySelector('#accounts tr:last-child').innerText.split('\t'));
  await press(page, 'tone');
  await page.waitForFunction(() => document.querySelector('#accounts tr:last-child').innerText.includes('Vectors of files'));
  assert.deepEqual((await held()).slice(0, 4), ['Vectors of files', '0 B', '0 B', '0 B']);
  const before = (await report(page)).pool;
  await play(page, sounds.write('whole.wav', wav({ seconds: 60, hz: 440, channels: 2 })));
  await page.waitForFunction(() => !document.querySelector('#file-summary').hidden, null, { timeout: 30_000 });
  assert.match(await page.textContent('#file-summary'), /^Whole file: 60\.0 s, peak .+ dBFS, level .+ dBFS, A4 in \d+ of \d+ windows\.$/);
  // Two vectors for the samples of each of more than 600 windows, and four to work on. The summary comes before the figures.
  const least = before.total_allocations + 2 * 600;
  await page.waitForFunction((least) => window.wavepoolDemo.report().pool.total_allocations > least, least, { timeout: 5_000 });
  const { pool } = await report(page);
  assert.ok(pool.created - before.created <= 6, `${pool.created - before.created} created`);
  assert.equal(pool.pool_misses - before.pool_misses, pool.created - before.created);
  // The table is written twice a second.
  const freed = () => {
    const [, holds, , most] = document.querySelector('#accounts tr:last-child').innerText.split('\t');
    return holds === '0 B' && most.endsWith('KiB');
  };
  await page.waitForFunction(freed, null, { timeout: 15_000 });
  assertNothingLost(await stop(page));
});

onPage('a file that is replaced while it is analysed leaves nothing in use', async (page) => {
  const long = sounds.write('long-file.wav', wav({ seconds: 120, hz: 330 }));
  for (let turn = 0; turn < 3; turn += 1) await play(page, long);
  await press(page, 'tone');
  await page.waitForTimeout(300);
  assert.equal(await page.isHidden('#file-summary'), true);
  await page.waitForFunction(() => document.querySelector('#accounts tr:last-child').innerText.split('\t')[2] === '0 B', null, { timeout: 15_000 });
  assertNothingLost(await stop(page));
});

const useless = {
  'an empty file': ['empty.wav', Buffer.alloc(0), /is empty/],
  'a file that is not sound': ['notes.txt', Buffer.from('not a sound'), /not a sound file/],
  'a damaged file': ['damaged.ogg', Buffer.from('OggS and then nothing'), /could not be decoded/],
  'a file shorter than a window': ['click.wav', wav({ seconds: 0.05 }), /lasts 50 ms/],
  'a silent file': ['silent.wav', wav({ gain: 0 }), /only silence/],
};
for (const [name, [file, bytes, message]] of Object.entries(useless)) {
  onPage(`${name} is refused with a reason, and what played goes on`, async (page) => {
    await press(page, 'tone');
    await assert.rejects(play(page, sounds.write(file, bytes)), message);
    assert.equal(await state(page), 'running');
    assertNothingLost(await stop(page));
  });
}

onPage('switching ten times in a row leaves nothing behind', async (page) => {
  await page.evaluate(() => {
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.tracks = [];
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await open(wanted);
      window.tracks.push(...stream.getTracks());
      return stream;
    };
  });
  const file = sounds.write('long.wav', wav({ seconds: 10, hz: 330 }));
  for (let turn = 0; turn < 10; turn += 1) {
    if (turn % 3 === 0) await press(page, 'microphone');
    else if (turn % 3 === 1) await play(page, file);
    else await press(page, 'tone');
  }
  // And without waiting for any of them.
  for (const source of ['tone', 'microphone', 'tone', 'microphone', 'tone']) await page.click(`#${source}`);
  await page.waitForFunction(() => document.body.dataset.state === 'running');
  assertNothingLost(await stop(page));
  assert.ok(await page.evaluate(() => window.tracks.length >= 4 && window.tracks.every((track) => track.readyState === 'ended')));
});

onPage('a leaked buffer is reported as one', async (page) => {
  await press(page, 'tone');
  await page.evaluate(() => window.wavepoolDemo.fault('leak-one'));
  await page.waitForTimeout(300);
  assert.equal((await stop(page)).leaked, 1);
});

onPage('the tone is played from the keyboard', async (page) => {
  await page.focus('#tone');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.body.dataset.state === 'running');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.name), 'key');
  await page.keyboard.press('ArrowRight');
  assert.match(await page.textContent('#status'), /A♯4/);
  await page.waitForFunction(() => document.querySelector('#note-accidental').textContent === '♯', null, { timeout: 5000 });
  assert.equal(await page.textContent('#note-letter'), 'A');
  await page.waitForFunction(() => document.querySelector('#note-spoken').textContent === 'A sharp 4', null, { timeout: 5000 });
});

for (const act of ['click', 'Enter', 'Space']) {
  onPage(`the key that is chosen already starts the tone too: ${act}`, async (page) => {
    if (act === 'click') await page.click('#keys label:has(input:checked)');
    else await page.press('#keys input:checked', act);
    await page.waitForFunction(() => document.body.dataset.state === 'running', null, { timeout: 5000 });
    assert.match(await page.textContent('#status'), /A4/);
  });
}

onPage('a note that is gone is not spoken any more', async (page) => {
  await press(page, 'tone');
  await page.waitForFunction(() => document.querySelector('#note-spoken').textContent === 'A 4', null, { timeout: 5000 });
  await stop(page);
  assert.equal(await page.textContent('#note-spoken'), '');
});

onPage('the columns of the size classes are those of their headers, also without the bars', async (page) => {
  await press(page, 'tone');
  await page.waitForFunction(() => document.querySelector('#classes tr'));
  const hidden = await page.evaluate(() => [...document.querySelectorAll('.classes tr')].map((row) => [...row.cells].findIndex((cell) => cell.ariaHidden === 'true')));
  assert.deepEqual([...new Set(hidden)], [1]);
});

/** Lets the page's contexts be looked at, and their device run at `sampleRate`, if given. */
const watchContexts = (page, sampleRate) =>
  page.evaluate((rate) => {
    window.contexts = [];
    window.AudioContext = class extends AudioContext {
      constructor(options) {
        super(rate ? { sampleRate: rate, ...options } : options);
        window.contexts.push(this);
      }
    };
  }, sampleRate);

onPage('after Stop the sound device rests, until the next sound and not before', async (page) => {
  await watchContexts(page);
  const become = (wanted) => page.waitForFunction((state) => window.contexts[0].state === state, wanted, { timeout: 5000 });
  await press(page, 'tone');
  await stop(page);
  await become('suspended');
  await page.click('h1');
  await page.waitForTimeout(200);
  await become('suspended');
  await press(page, 'tone');
  await become('running');
  // Without waiting for the end: the last word counts.
  await page.click('#stop');
  await page.click('#tone');
  await page.waitForFunction(() => document.body.dataset.state === 'running');
  await page.waitForTimeout(300);
  await become('running');
  assert.ok((await stop(page)).windows > 0);
});

onPage('on a fast device the lowest notes stay in range', async (page) => {
  await watchContexts(page, 96_000);
  await press(page, 'tone');
  assert.equal((await stop(page)).sample_rate, 48_000);
  assert.equal(await page.evaluate(() => window.contexts[0].state), 'closed');
});

for (const width of [360, 768, 1600]) {
  onPage(`nothing moves and nothing overflows at ${width} px while figures run`, async (page) => {
    await press(page, 'tone');
    await page.waitForTimeout(1000);
    const moved = await page.evaluate(async () => {
      let sum = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) sum += entry.value;
      }).observe({ type: 'layout-shift' });
      await new Promise((resume) => setTimeout(resume, 2000));
      return sum;
    });
    assert.ok(moved < 0.005, `layout shift ${moved}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
  }, { viewport: { width, height: 900 } });
}

test('the microphone is analysed', async () => {
  const recording = sounds.write('d4.wav', wav({ hz: 293.66, seconds: 5 }));
  const ears = await launch([...fakeMicrophone, `--use-file-for-fake-audio-capture=${recording}`]);
  try {
    const { page } = await openPage(ears, url);
    await press(page, 'microphone');
    const enough = () => window.wavepoolDemo.report().notes.filter(({ note }) => note === 'D4').length > 20;
    await page.waitForFunction(enough, null, { timeout: 5000 });
    const last = await stop(page);
    const right = last.notes.filter(({ note }) => note === 'D4');
    assert.ok(right.length > 20, `${right.length} of ${last.notes.length} windows say D4`);
  } finally {
    await ears.close();
  }
});

onPage('a refused microphone is answered with what to do', async (page) => {
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
  });
  await assert.rejects(press(page, 'microphone'), /Allow it for this site/);
  assert.equal(await state(page), 'idle');
});

test('without a microphone the page says so', async () => {
  const bare = await launch();
  try {
    const { page } = await openPage(bare, url, { permissions: ['microphone'] });
    await assert.rejects(press(page, 'microphone'), /No microphone was found/);
  } finally {
    await bare.close();
  }
});

onPage('without AudioWorklet the page says what it needs', async (page) => {
  await page.evaluate(() => delete BaseAudioContext.prototype.audioWorklet);
  await assert.rejects(press(page, 'tone'), /no AudioWorklet/);
  assert.equal(await notice(page), await page.textContent('#notice-text'));
});

onPage('the piano is named right, note by note', async (page) => {
  const { passed, failed } = await playPiano(page, 1.5, (line) => console.log(`# ${line}`), 20);
  assert.ok(passed >= required * (passed + failed), `${passed} passed, ${failed} failed`);
  assertNothingLost(await stop(page));
});

/** In shared mode the control worker returns to its event loop for messages, and for what is evaluated there, when it is signalled: any request does that. */
async function whileSignalling(page, work) {
  const signalling = setInterval(() => page.evaluate(() => window.wavepoolDemo.fault('none').catch(() => {})).catch(() => {}), 20);
  try {
    return await work();
  } finally {
    clearInterval(signalling);
  }
}

onPage('a control worker that is held up for a moment skips no window, for longer than half a second some, counted', async (page) => {
  await press(page, 'tone');
  const [worker] = page.workers();
  const holdUp = async (ms) => {
    await whileSignalling(page, () =>
      worker.evaluate((ms) => {
        for (const end = performance.now() + ms; performance.now() < end; );
      }, ms),
    );
    await page.waitForTimeout(500);
  };
  await holdUp(200);
  assert.equal((await report(page)).skipped_windows, 0);
  // Long enough to be reported, and to be offered a restart.
  const reported = page.waitForFunction(() => !document.querySelector('#notice').hidden && !document.querySelector('#notice-restart').hidden);
  await Promise.all([holdUp(1500), reported]);
  assert.equal(await notice(page), '');
  const last = await stop(page);
  assert.ok(last.skipped_windows > 10, `${last.skipped_windows} skipped`);
  assert.equal(last.windows + last.skipped_windows, Math.floor((last.frames - last.window) / last.hop) + 1);
  assertNothingLost(last);
});

test('a control worker that dies is reported, and another takes up the sound', async () => {
  const { page } = await openPage(browser, url);
  try {
    await press(page, 'tone');
    const [before] = page.workers();
    await whileSignalling(page, () => before.evaluate(() => self.close()));
    await page.waitForFunction(() => !document.querySelector('#notice').hidden, null, { timeout: 10_000 });
    assert.equal(await notice(page), 'The control worker is gone. Another one was started, and the sound goes on.');
    await page.waitForFunction(() => document.body.dataset.state === 'running', null, { timeout: 5000 });
    await page.waitForTimeout(1500);
    assert.ok(page.workers().length === 1 && page.workers()[0] !== before);
    const last = await stop(page);
    assert.ok(last.notes.filter(({ note }) => note === 'A4').length > 20, `${last.notes.length} notes`);
    assertNothingLost(last);
  } finally {
    await page.close();
  }
});

onPage('a control worker that hangs is reported, and is restarted when the person at the page says so', async (page) => {
  await press(page, 'tone');
  const [before] = page.workers();
  await page.evaluate(() => window.wavepoolDemo.fault('spin'));
  await page.click('#notice-restart');
  await page.waitForFunction(() => document.querySelector('#notice-text').textContent.endsWith('Another one was started, and the sound goes on.'));
  await page.waitForTimeout(1000);
  // The browser gives a script two seconds to end by itself.
  for (let looks = 0; looks < 50 && page.workers().length > 1; looks++) await page.waitForTimeout(100);
  assert.ok(page.workers().length === 1 && page.workers()[0] !== before);
  const last = await stop(page);
  assert.ok(last.notes.filter(({ note }) => note === 'A4').length > 20, `${last.notes.length} notes`);
  assertNothingLost(last);
});

onPage('the report is downloaded as a file', async (page) => {
  await press(page, 'tone');
  await page.waitForTimeout(300);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
  assert.match(download.suggestedFilename(), /^wavepool-report-.*\.json$/);
  assert.deepEqual((await report(page)).version, 1);
});
