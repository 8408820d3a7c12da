// Sizing on the page: what it learned is kept, drawn, recorded. WAVEPOOL_URL is where the page is served.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { launch, notice, openPage, press, state, stop } from './browser.mjs';
import { recordEvents } from './trace.mjs';

const url = process.env['WAVEPOOL_URL'] ?? 'http://127.0.0.1:4173/';
const kept = 'wavepool.profile.tuner';
let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

/** A test on a page of its own, whose storage begins with `profile`, and which must not complain to the console. */
function onPage(name, body, { address = url, profile, ...options } = {}) {
  test(name, async () => {
    const context = await browser.newContext(options);
    if (profile !== undefined) {
      await context.addInitScript(([key, text]) => {
        // Only before the first visit: a reload meets what that one left.
        if (sessionStorage.getItem('seeded') !== null) return;
        sessionStorage.setItem('seeded', 'yes');
        localStorage.setItem(key, text);
      }, [kept, profile]);
    }
    const { page, errors } = await openPage(context, address);
    try {
      await body(page);
      assert.deepEqual(errors, []);
    } finally {
      await context.close();
    }
  });
}

const report = (page) => page.evaluate(() => window.wavepoolDemo.report());
const classes = ({ pool }) => pool.classes.filter(({ retired }) => !retired).map(({ samples }) => samples);
const turn = async (page, id) => {
  const before = await page.getAttribute(`#${id}`, 'aria-pressed');
  await page.click(`#${id}`);
  await page.waitForFunction(([button, old]) => document.getElementById(button).ariaPressed !== old, [id, before]);
};

/** Each of the four sizes of the exercise gets a class of its own, after a round or two. */
const learned = [352, 608, 1504, 3008];
const learnedAll = (page) =>
  page.waitForFunction((wanted) => {
    const known = window.wavepoolDemo.report()?.pool.classes.filter(({ retired }) => !retired).map(({ samples }) => samples);
    return known !== undefined && wanted.every((samples) => known.includes(samples));
  }, learned, { timeout: 90_000 });

/** A round of the exercise through its four sizes, each of which it uses for two seconds. */
const ROUND_MS = 8200;

onPage('the second visit begins with what the first learned, and misses nothing from its first request on; a sound in between is analysed whole', async (page) => {
  await turn(page, 'exercise');
  await learnedAll(page);
  // Their use is then seen once.
  const seen = page.waitForTimeout(ROUND_MS);
  await press(page, 'tone');
  await page.waitForTimeout(2000);
  const { windows, skipped_windows, leaked } = await stop(page);
  assert.ok(windows > 50, `${windows} windows`);
  assert.deepEqual({ skipped_windows, leaked }, { skipped_windows: 0, leaked: 0 });
  await seen;

  await page.reload();
  await page.waitForFunction(() => 'wavepoolDemo' in window);
  await turn(page, 'exercise');
  await page.waitForFunction(() => window.wavepoolDemo.report() !== null);
  const start = await report(page);
  assert.deepEqual(classes(start).filter((samples) => learned.includes(samples)), learned);
  await page.waitForTimeout(ROUND_MS);
  const second = await report(page);
  assert.ok(second.pool.total_allocations > 1000, `${second.pool.total_allocations} requests`);
  assert.equal(second.pool.hit_rate_percentage, 100);
  assert.doesNotMatch(await page.textContent('#mode-reason'), /could not be used/);
});

const useless = {
  'one that is cut off': ['{"version":1,"classes":[{"sam', /not a sizing profile/],
  'one of another version': ['{"version":9,"classes":[],"bytes_budget":0}', /version 9/],
  'one of an application with smaller buffers': ['{"version":1,"classes":[{"samples":256,"buffers":4}],"bytes_budget":9999}', /ends at 256 samples, 4096 are needed/],
  'one that asks for too much': ['{"version":1,"classes":[{"samples":4096,"buffers":30000}],"bytes_budget":4000000000}', /the limit is/],
  'one with more buffers of a class than a pool is built with': [
    '{"version":1,"classes":[{"samples":16,"buffers":40000},{"samples":4096,"buffers":4}],"bytes_budget":9999999}',
    /class 0: buffers must be 0 to 32766 \(got 40000\)/,
  ],
  'one with a buffer larger than any': [
    '{"version":1,"classes":[{"samples":4294967295,"buffers":1}],"bytes_budget":9999999}',
    /class 0: samples must be 1 to \d+ \(got 4294967295\)/,
  ],
  'one with negative numbers': ['{"version":1,"classes":[{"samples":-4096,"buffers":1}],"bytes_budget":9999999}', /not a sizing profile/],
};
// Pages that mostly wait run side by side.
describe('profiles of no use', { concurrency: 2 }, () => {
  for (const [name, [profile, reason]] of Object.entries(useless)) {
    onPage(`a kept profile that is of no use is left out with its reason: ${name}`, async (page) => {
      assert.match(await page.textContent('#mode-reason'), reason);
      assert.equal(await notice(page), '');
      // The next visit does not meet it again.
      assert.equal(await page.evaluate((key) => localStorage.getItem(key), kept), null);
      await page.reload();
      await page.waitForFunction(() => 'wavepoolDemo' in window);
      assert.doesNotMatch(await page.textContent('#mode-reason'), /could not be used/);
      await press(page, 'tone');
      await page.waitForFunction((key) => localStorage.getItem(key).includes('"samples":2048'), kept, { timeout: 10_000 });
      await page.waitForFunction(() => window.wavepoolDemo.report().pool.pool_hits > 0);
      const last = await stop(page);
      assert.equal(last.pool.hit_rate_percentage, 100);
      assert.deepEqual(classes(last), [256, 512, 1024, 2048, 4096]);
    }, { profile });
  }
});

onPage('the arena is drawn, and said in words that agree with the counts', async (page) => {
  await press(page, 'tone');
  await page.waitForFunction(() => /leased/.test(document.querySelector('#arena').ariaLabel));
  const label = await page.evaluate(() => document.querySelector('#arena').ariaLabel);
  assert.match(label, /^Map of the arena\. [\d.]+ MiB: (1 buffer|\d+ buffers) leased, \d+ idle, [\d.]+ % of it free\.( The worklet’s own memory is not drawn\.)?$/);
  const { pool, mode } = await report(page);
  assert.equal(label.endsWith('not drawn.'), mode === 'transfer');
  const buffers = label.match(/(\d+) buffers? leased, (\d+) idle/).slice(1).map(Number);
  const carved = pool.classes.reduce((sum, one) => sum + one.carved, 0);
  // In transfer mode the worklet's own pool is counted, and lies in another memory.
  if (mode === 'shared') assert.equal(buffers[0] + buffers[1], carved);
  const colours = await page.evaluate(() => {
    const { width, height } = document.querySelector('#arena');
    const { data } = document.querySelector('#arena').getContext('2d').getImageData(0, 0, width, height);
    return new Set(new Uint32Array(data.buffer)).size;
  });
  assert.ok(colours > 5, `${colours} colours`);
  assert.equal(await page.locator('#alerts tr').count(), 5);
  assert.equal(await page.locator('.demand-class').count(), 5);
});

onPage('a plan is shown with what was expected of it and what came of it', async (page) => {
  assert.match(await page.textContent('#plan-when'), /None so far/);
  await turn(page, 'exercise');
  await page.waitForFunction(() => /Applied \d+ s ago\.$/.test(document.querySelector('#plan-when').textContent), null, { timeout: 20_000 });
  assert.match(await page.textContent('#plan-steps li'), /^(Carve|Take back|Change the classes) .+: .+\.$/);
  const cells = await page.locator('#plan-effect td').allTextContents();
  assert.equal(cells.length, 9);
  assert.ok(cells.every((cell) => cell !== '—'), cells.join());
});

onPage('both switches work from the keyboard', async (page) => {
  await page.focus('#exercise');
  for (const [key, pressed] of [['Enter', 'true'], ['Space', 'false']]) {
    await page.keyboard.press(key);
    await page.waitForFunction((wanted) => document.querySelector('#exercise').ariaPressed === wanted, pressed);
  }
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'record');
});

onPage('a recording of demand is replayed by the planner', async (page) => {
  await turn(page, 'exercise');
  await turn(page, 'record');
  await page.waitForTimeout(4000);
  assert.match(await page.textContent('#recording'), /^Recording: [\d,]+ requests\.$/);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#record')]);
  assert.match(download.suggestedFilename(), /^wavepool-demand-.*\.json$/);
  const file = await download.path();
  const acquires = JSON.parse(readFileSync(file)).ops.filter(([, , samples]) => samples > 0);
  assert.ok(acquires.length > 500 && acquires.some(([, , samples]) => [600, 1500, 350, 3000].includes(samples)), `${acquires.length} requests`);
  const { status, stdout, stderr } = spawnSync(process.env['CARGO'] ?? 'cargo', ['xtask', 'plan', '--trace', file], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^default mix +hit rate [\d.]+ %/m);
  assert.match(stdout, /^with optimizer +hit rate [\d.]+ %/m);
  assert.match(stdout, /BufferPool::builder\(\)/);
});

/** What the developer tools would draw in tracks of ours: user timings with their extension data. */
async function tracks(page, act) {
  const finish = await recordEvents(browser, ['blink.user_timing', '__metadata']);
  await act();
  const entries = [];
  for (const { cat, name, ph, args } of await finish()) {
    // A measure is a pair of begin and end; a mark stands alone, with its data one level down.
    if (!cat?.includes('blink.user_timing') || ph === 'e') continue;
    const detail = JSON.parse(args?.detail ?? args?.data?.detail ?? 'null');
    if (detail?.devtools) entries.push({ name, ...detail.devtools });
  }
  return entries;
}

onPage('control steps, plans and alerts are tracks in the developer tools, when they are asked for', async (page) => {
  const entries = await tracks(page, async () => {
    await press(page, 'tone');
    await turn(page, 'exercise');
    await page.evaluate(() => window.wavepoolDemo.fault('leak-one'));
    await page.waitForTimeout(3000);
    // The configured mix stays for some seconds, and a plan comes only after that.
    await page.waitForFunction(() => /Applied \d+ s ago\.$/.test(document.querySelector('#plan-when').textContent), null, { timeout: 20_000 });
    await stop(page);
    await page.waitForTimeout(500);
  });
  const of = (track) => entries.filter((entry) => entry.track === track);
  assert.ok(of('Control steps').length > 100, `${of('Control steps').length} control steps`);
  assert.ok(entries.every(({ dataType, trackGroup }) => dataType === 'marker' || (dataType === 'track-entry' && trackGroup === 'Wavepool')));
  assert.ok(of('Sizing plans').some(({ properties }) => /samples|classes/.test(properties[0][1])), 'no plan was drawn');
  assert.ok(of('Alerts').some(({ name }) => name === 'leaked raised'), 'no alert was drawn');
  assert.ok(entries.some(({ dataType, name }) => dataType === 'marker' && name === 'leaked raised'));
  assert.equal(await page.evaluate(() => performance.getEntriesByType('measure').length), 0);
}, { address: `${url}${url.includes('?') ? '&' : '?'}tracks` });

onPage('nothing is drawn in the developer tools unasked', async (page) => {
  const entries = await tracks(page, async () => {
    await press(page, 'tone');
    await page.waitForTimeout(1000);
    await stop(page);
  });
  assert.deepEqual(entries, []);
});

describe('layout', { concurrency: true }, () => {
  for (const [width, colorScheme] of [[360, 'light'], [1440, 'dark']]) {
    onPage(`nothing jumps and nothing overflows at ${width} px while classes are learned`, async (page) => {
      await press(page, 'tone');
      await turn(page, 'exercise');
      await page.waitForTimeout(2000);
      const moved = await page.evaluate(async () => {
        let sum = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) sum += entry.value;
        }).observe({ type: 'layout-shift' });
        await new Promise((resume) => setTimeout(resume, 6000));
        return sum;
      });
      assert.ok(moved < 0.005, `layout shift ${moved}`);
      const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
      assert.ok(await fits());
      // The longest words that a table of figures can show.
      await page.evaluate(() => {
        for (const cell of document.querySelectorAll('#alerts td.num:nth-child(2)')) cell.textContent = 'not measured';
      });
      assert.ok(await fits());
      assert.equal(await state(page), 'running');
      assert.equal((await stop(page)).leaked, 0);
    }, { viewport: { width, height: 900 }, colorScheme });
  }
});

onPage('memory pressure that the person sets takes idle memory back, and the plan says why', async (page) => {
  await press(page, 'tone');
  await page.waitForFunction(() => window.wavepoolDemo.memory()?.peak > 0);
  const before = await page.evaluate(() => {
    // A later plan may take the place of the one that answers.
    const steps = document.querySelector('#plan-steps');
    new MutationObserver(() => (window.plansSeen += steps.textContent)).observe(steps, { childList: true, subtree: true, characterData: true });
    window.plansSeen = '';
    return window.wavepoolDemo.memory();
  });
  await page.selectOption('#pressure', 'critical');
  await page.waitForFunction((held) => window.wavepoolDemo.memory().held < 0.7 * held, before.held, { timeout: 10_000 });
  await page.waitForFunction(() => /memory is wanted back/.test(window.plansSeen), null, { timeout: 10_000 });
  const last = await stop(page);
  assert.ok(last.windows > 0);
});
