// Threads ended at random moments. WAVEPOOL_KILLS of each kind; `cargo xtask verify kills` ends 1,000.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './browser.mjs';

const url = process.env['WAVEPOOL_LIBRARY_URL'] ?? 'http://127.0.0.1:4174/';
const mode = process.env['WAVEPOOL_MODE'] ?? 'shared';
const rounds = Number(process.env['WAVEPOOL_KILLS'] ?? 12);
const patience = 60_000 + rounds * 1500;
let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

/** Ends so many threads, and expects everything that can be held to be as it was before. */
function kill(name, title, least, prepare = async () => {}) {
  test(`${title}, ended at random moments, leave nothing behind`, { timeout: patience }, async (t) => {
    const page = await browser.newPage({ bypassCSP: true });
    page.setDefaultTimeout(patience);
    const errors = [];
    page.on('pageerror', (error) => errors.push(error.message));
    try {
      await prepare(page);
      await page.goto(url);
      await page.waitForFunction(() => 'scenarios' in window);
      const kills = Math.max(least, Math.round(rounds));
      const seen = await page.evaluate(([name, mode, kills]) => window.scenarios[name](mode, kills), [name, mode, kills]);
      t.diagnostic(JSON.stringify(seen));
      const { before, after, placesAtFirst, places, refused, pagesGrown, ...rest } = seen;
      assert.deepEqual(rest, { rounds: kills, unnoticed: 0, failures: [], leaked: 0 });
      assert.deepEqual(after, before);
      // Numbers, halves, publishers and stacks are as many as before. Memory may be idle in halves that were given back.
      assert.ok(places === placesAtFirst || /samples asked for/.test(refused), `${places} of ${placesAtFirst} places: ${refused}`);
      // In shared mode every thread's stack and lanes come out of what boot set aside.
      if (mode === 'shared') assert.equal(pagesGrown, 0);
      assert.deepEqual(errors, []);
    } finally {
      await page.close();
    }
  });
}

kill('killPools', 'workers with a pool', 1);
kill('killReaders', 'workers that read a tap', 1);
kill('killWorklets', 'worklets', 8, (page) =>
  page.addInitScript(() => {
    const add = AudioWorklet.prototype.addModule;
    AudioWorklet.prototype.addModule = async function (url) {
      const shipped = await (await fetch(url)).text();
      const tampered = shipped.replace('.tap_commit(', '[Math.random()<.02?"tap_panic":"tap_commit"](');
      if (tampered === shipped) throw new Error('the worklet does not commit');
      return add.call(this, URL.createObjectURL(new Blob([tampered], { type: 'text/javascript' })));
    };
  }));
kill('killControls', 'control workers', 1);
