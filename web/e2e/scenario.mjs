// Runs scenarios of the library's test page, each on a fresh page. WAVEPOOL_LIBRARY_URL is where the page is served.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch } from './browser.mjs';

export const url = process.env['WAVEPOOL_LIBRARY_URL'] ?? 'http://127.0.0.1:4174/';
export const mode = process.env['WAVEPOOL_MODE'] ?? 'shared';
export let browser;

before(async () => {
  // The probe on the audio thread collects garbage before it counts.
  browser = await launch(['--js-flags=--expose-gc']);
});

after(() => browser?.close());

/** A test of one scenario, which must not have complained to the console by its end. */
export function scenario(name, title, judge, prepare) {
  test(title, { timeout: 60_000 }, async () => judge(await outcome(name, prepare)));
}

/** Scenarios that run at once, on one page: by their names, a title and a judgement each, which make a test of their own. */
export function sideBySide(title, scenarios) {
  test(title, { timeout: 60_000 }, (context) =>
    onPage(async (page) => {
      const outcomes = await Promise.all(Object.keys(scenarios).map((name) => run(page, name)));
      for (const [at, [name, judge]] of Object.values(scenarios).entries()) await context.test(name, () => judge(outcomes[at]));
    }));
}

/** What a scenario returns on a fresh page. */
export function outcome(name, prepare) {
  return onPage((page) => run(page, name), prepare);
}

const run = (page, name) => page.evaluate(([name, mode]) => window.scenarios[name](mode), [name, mode]);

/**
 * Does `work` on a fresh page, which must not have complained by its end. `prepare` gets the page before it loads; what it replaces
 * may come from anywhere. `ready` is the page's global that is used.
 */
export async function onPage(work, prepare, ready = 'scenarios') {
  const page = await browser.newPage({ bypassCSP: prepare !== undefined });
  const errors = [];
  // An unhandled rejection is a page error, too.
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  try {
    await prepare?.(page);
    await page.goto(url);
    await page.waitForFunction((ready) => ready in window, ready);
    const result = await work(page);
    assert.deepEqual(errors, []);
    return result;
  } finally {
    await page.close();
  }
}

/** Serves the processor that fails when it is asked to. */
export function serveFaulty(page) {
  const fulfill = async (route) => route.fulfill({ contentType: 'application/wasm', body: await readFile(process.env['WAVEPOOL_FAULTY']) });
  return page.route('**/faulty.wasm', fulfill);
}
