// Runs scenarios of the library's test page, each on a fresh page. WAVEPOOL_LIBRARY_URL is where the page is served.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './browser.mjs';

const url = process.env['WAVEPOOL_LIBRARY_URL'] ?? 'http://127.0.0.1:4174/';
export const mode = process.env['WAVEPOOL_MODE'] ?? 'shared';
let browser;

before(async () => {
  // The probe on the audio thread collects garbage before it counts.
  browser = await launch(['--js-flags=--expose-gc']);
});

after(() => browser?.close());

/** A test of one scenario, which must not have complained to the console by its end. */
export function scenario(name, title, judge) {
  onPage(title, async (page) => judge(await run(page, name)));
}

/** Scenarios that run at once, on one page: by their names, a title and a judgement each, which make a test of their own. */
export function sideBySide(title, scenarios) {
  onPage(title, async (page, context) => {
    const outcomes = await Promise.all(Object.keys(scenarios).map((name) => run(page, name)));
    for (const [at, [name, judge]] of Object.values(scenarios).entries()) await context.test(name, () => judge(outcomes[at]));
  });
}

const run = (page, name) => page.evaluate(([name, mode]) => window.scenarios[name](mode), [name, mode]);

function onPage(title, work) {
  test(title, { timeout: 60_000 }, async (context) => {
    const page = await browser.newPage();
    const errors = [];
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text());
    });
    try {
      await page.goto(url);
      await page.waitForFunction(() => 'scenarios' in window);
      await work(page, context);
      assert.deepEqual(errors, []);
    } finally {
      await page.close();
    }
  });
}
