// Threads ended at random moments. WAVEPOOL_KILLS of each kind; `cargo xtask verify kills` ends 1,000.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './browser.mjs';

const url = process.env['WAVEPOOL_LIBRARY_URL'] ?? 'http://127.0.0.1:4174/';
const mode = process.env['WAVEPOOL_MODE'] ?? 'shared';
const rounds = Number(process.env['WAVEPOOL_KILLS'] ?? 12);
const patience = 60_000 + rounds * 1500;
let browser;

before(async () => {
  // The probe on the audio thread collects garbage before it counts.
  browser = await launch(['--js-flags=--expose-gc']);
});

after(() => browser?.close());

/**
 * Ends so many threads, and expects everything that can be held to be as it was before. `pages` share the number: each has a pool
 * of its own, for kinds of which a pool has only one thread.
 */
function kill(name, title, { least = 1, pages = 1, prepare = async () => {} } = {}) {
  test(`${title}, ended at random moments, leave nothing behind`, { timeout: patience }, async (t) => {
    const kills = Math.max(least, Math.ceil(rounds / pages));
    const start = performance.now();
    await Promise.all(Array.from({ length: pages }, () => killOnPage(t, name, kills, prepare)));
    t.diagnostic(`${pages * kills} kills in ${Math.round((performance.now() - start) / 1000)} s`);
  });
}

async function killOnPage(t, name, kills, prepare) {
  const page = await browser.newPage({ bypassCSP: true });
  page.setDefaultTimeout(patience);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  try {
    await prepare(page);
    await page.goto(url);
    await page.waitForFunction(() => 'scenarios' in window);
    const seen = await page.evaluate(([name, mode, kills]) => window.scenarios[name](mode, kills), [name, mode, kills]);
    t.diagnostic(JSON.stringify(seen));
    const { before, after, placesAtFirst, places, refused, pagesGrown, processors = 0, ...rest } = seen;
    assert.deepEqual(rest, { rounds: kills, unnoticed: 0, failures: [], leaked: 0 });
    assert.deepEqual(after, before);
    // Numbers, halves, publishers and stacks are as many as before. Memory may be idle in halves that were given back.
    assert.ok(places === placesAtFirst || /samples asked for/.test(refused), `${places} of ${placesAtFirst} places: ${refused}`);
    // In shared mode every thread's stack and lanes come out of what boot set aside.
    if (mode === 'shared') assert.equal(pagesGrown, 0);
    assert.equal(processors, 0);
    assert.deepEqual(await threadsLeft(page), { AudioWorkletProcessors: 0, WorkerGlobalScopes: 0 });
    assert.deepEqual(errors, []);
  } finally {
    await page.close();
  }
}

/** In a short run tickets that nobody opens lapse after three seconds instead of ten. */
const hurried = (page) =>
  rounds <= 100 &&
  page.addInitScript(() => {
    const native = globalThis.setTimeout;
    globalThis.setTimeout = (call, ms, ...given) => native(call, ms === 10_000 ? 3000 : ms, ...given);
  });

/** What the browser counts of threads once the scenario has closed everything. */
async function threadsLeft(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable');
  for (const end = Date.now() + 10_000; ; ) {
    for (let i = 0; i < 2; i++) await devtools.send('HeapProfiler.collectGarbage');
    const { metrics } = await devtools.send('Performance.getMetrics');
    const { AudioWorkletProcessors, WorkerGlobalScopes } = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
    if (AudioWorkletProcessors + WorkerGlobalScopes === 0 || Date.now() > end) return { AudioWorkletProcessors, WorkerGlobalScopes };
    await page.waitForTimeout(100);
  }
}

/** Worklets panic at random. */
const panicking = (page) =>
  page.addInitScript(() => {
    const add = AudioWorklet.prototype.addModule;
    AudioWorklet.prototype.addModule = async function (url) {
      const shipped = await (await fetch(url)).text();
      const tampered = shipped.replace('.tap_commit(', '[Math.random()<.02?"tap_panic":"tap_commit"](');
      if (tampered === shipped) throw new Error('the worklet does not commit');
      return add.call(this, URL.createObjectURL(new Blob([tampered], { type: 'text/javascript' })));
    };
  });

describe('kills', { concurrency: true }, () => {
  kill('killPools', 'workers with a pool', { prepare: hurried });
  kill('killReaders', 'workers that read a tap', { prepare: hurried });
  kill('killWriters', 'workers that write a feed', { prepare: hurried });
  kill('killWorklets', 'worklets', { least: 8, prepare: panicking });
  kill('killControls', 'control workers', { pages: rounds > 100 ? 4 : 1 });
});
