// Opens and ends what the library hands out, WAVEPOOL_ROUNDS times, and compares what is in use before and after. The page's
// side of each is in `library/lifetimes.ts`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mode, onPage, serveFaulty } from './scenario.mjs';

export { mode };
/** `cargo xtask verify lifetimes` sets 10,000. */
const rounds = Number(process.env['WAVEPOOL_ROUNDS'] ?? 20);
/** Rounds before the first count: they make what is made once and kept. */
const WARM_UP = 8;
/** Rounds in one call of the page. */
const BATCH = 100;
/** Pages at a time, where there are several: most of a round is waiting. */
const PAGES_ABREAST = 3;
/** How long ends that nobody waits for may take. */
const SETTLE_MS = 8_000;
/** The browser's own counts that are compared. */
const COUNTED = ['AudioHandlers', 'AudioWorkletProcessors', 'JSEventListeners', 'WorkerGlobalScopes'];

/**
 * A test that runs the rounds of `window.lifetimes[name]` and then finds no count above where it was: the browser's, unless it is
 * among `leaky`, and what the lifetime itself counts. `judge` gets what its `end` returned, and how many rounds that is for. A new
 * page is opened every `perPage` rounds, where the browser keeps something of each round as long as its page lives.
 */
export function lifetime(name, title, judge = () => {}, { leaky = [], perPage = rounds } = {}) {
  test(`lifetimes: ${title}, ${rounds} rounds`, { timeout: 60_000 + rounds * 1000 }, async (context) => {
    const counted = COUNTED.filter((name) => !leaky.includes(name));
    const start = Date.now();
    const pages = Math.ceil(rounds / perPage);
    let opened = 0;
    let last;
    const lane = async () => {
      while (opened < pages) {
        const count = Math.min(perPage, rounds - perPage * opened++);
        const seen = await onPage((page) => compare(page, name, count, counted), serveFaulty, 'lifetimes');
        for (const [what, number] of Object.entries(seen.after)) assert.ok(number <= seen.before[what], `${what}: ${seen.before[what]} before, ${number} after`);
        judge(seen.end, count);
        last = seen;
      }
    };
    await Promise.all(Array.from({ length: PAGES_ABREAST }, lane));
    context.diagnostic(JSON.stringify({ rounds, pages, seconds: Math.round((Date.now() - start) / 1000), ...last }));
  });
}

/** Runs rounds on a page; returns what is in use before and after, and what the lifetime says at its end. */
async function compare(page, name, rounds, counted) {
  await page.evaluate(async ([name, mode]) => (window.lifetime = await window.lifetimes[name](mode)), [name, mode]);
  await run(page, 0, WARM_UP);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable');
  const before = await settled(() => census(page, devtools, counted), null);
  await run(page, WARM_UP, rounds);
  const after = await settled(() => census(page, devtools, counted), before);
  return { before, after, end: await page.evaluate(() => window.lifetime.end()) };
}

async function run(page, from, count) {
  for (let at = from; at < from + count; at += BATCH) {
    const to = Math.min(at + BATCH, from + count);
    await page.evaluate(([at, to]) => window.lifetime.rounds(at, to), [at, to]);
  }
}

/** What is in use, once everything that nobody refers to was collected. */
async function census(page, devtools, counted) {
  const own = await page.evaluate(() => window.lifetime.count());
  for (let i = 0; i < 2; i++) await devtools.send('HeapProfiler.collectGarbage');
  const { metrics } = await devtools.send('Performance.getMetrics');
  const browsers = metrics.filter(({ name }) => counted.includes(name)).map(({ name, value }) => [name, value]);
  return { ...own, workers: page.workers().length, ...Object.fromEntries(browsers) };
}

/** The count, once none is above what is wanted, or all stay the same; what is open still ends a little after its rounds. */
async function settled(census, wanted) {
  const end = Date.now() + SETTLE_MS;
  for (let last = null; ; ) {
    const now = await census();
    const right = wanted ? Object.entries(now).every(([what, number]) => number <= wanted[what]) : JSON.stringify(now) === JSON.stringify(last);
    if (right || Date.now() > end) return now;
    last = now;
    await new Promise((resume) => setTimeout(resume, 300));
  }
}
