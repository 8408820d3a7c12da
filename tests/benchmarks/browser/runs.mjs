// One implementation, measured once: offline over a known number of quanta, or in real time.
import { readFile, writeFile } from 'node:fs/promises';
import { isolation, serve } from '../../../web/lib/package/consumers.mjs';
import { quantile } from '../boundary/rows.mjs';
import { chromium, openPage, trace } from './cdp.mjs';
import { quantum, window } from './format.mjs';
import { workletThread } from './trace.mjs';

/** Quanta in which an implementation settles: compiled, its views made. */
const warm = 2048;
/** Bytes are the heap's growth over so many quanta, few enough that nothing is collected meanwhile. */
const stretch = 64;
const stretches = 15;

/** Serves the repository to a browser of its own. */
export async function laboratory() {
  await writeTrippedWorklet();
  const server = await serve('.', isolation);
  const browser = await chromium(process.env['CHROMIUM'] || '/usr/bin/chromium');
  return {
    offline: (name, options) => onPage(browser, server, (page) => offline(browser, page, name, options)),
    realTime: (name, options) => onPage(browser, server, (page) => realTime(browser, page, name, options)),
    copies: () => onPage(browser, server, (page) => page.evaluate('bench.copies()')),
    async close() {
      await browser.close();
      server.close();
    },
  };
}

/** The shipped worklet with the mistake that the check is there for. */
async function writeTrippedWorklet() {
  const shipped = await readFile('web/lib/dist/worklet.js', 'utf8');
  const tripped = shipped.replace(/\.set\((\w+), ?(\w+)\)/g, '.set($1.subarray(0), $2)');
  if (tripped === shipped) throw new Error('the worklet has no copy to put a subarray into');
  await writeFile('target/boundary/worklet_with_subarray.js', tripped);
}

async function onPage(browser, server, work) {
  const page = await openPage(browser, `${server.url}tests/benchmarks/browser/page.html`);
  try {
    while (!(await page.evaluate('document.body.dataset.ready'))) await new Promise((resume) => setTimeout(resume, 20));
    return await work(page);
  } finally {
    await page.close();
  }
}

async function offline(browser, page, name, { quanta, sampling = false }) {
  await page.evaluate(`bench.prepare(${JSON.stringify({ name, quanta, warm })})`);
  const growths = { worklet: [], everywhere: [] };
  let at = warm;
  for (let before = await held(page); growths.worklet.length < stretches; ) {
    await page.evaluate(`bench.advance(${(at += stretch)})`);
    const after = await held(page);
    for (const [where, bytes] of Object.entries(growths)) bytes.push((after[where] - before[where]) / stretch);
    before = after;
  }
  const median = (bytes) => quantile(bytes.sort((a, b) => a - b), 0.5);
  const stop = await observed(browser, page, sampling);
  const end = quanta - stretch;
  await page.evaluate(`bench.advance(${end})`);
  const seen = await stop();
  const result = await page.evaluate('bench.finish()');
  const due = Math.floor((quanta * quantum) / window);
  // An implementation without a consumer delivers nothing.
  refuse(name, result, result.windows === 0 || result.windows === due ? null : `${result.windows} of ${due} windows arrived`);
  return {
    ...result,
    ...seen,
    bytes_per_quantum: median(growths.worklet),
    bytes_everywhere_per_quantum: median(growths.everywhere),
    sampled_bytes_per_quantum: seen.sampled === null ? null : seen.sampled / (end - at),
  };
}

/** Bytes of the worklet's JavaScript heap; and with the workers' heaps and the memory of all arrays. */
async function held(page) {
  const worklet = await page.worklet('Runtime.getHeapUsage');
  const all = [worklet, ...(await page.workers('Runtime.getHeapUsage'))];
  return {
    worklet: worklet.usedSize,
    everywhere: all.reduce((sum, { usedSize, backingStorageSize }) => sum + usedSize + backingStorageSize, 0),
  };
}

async function realTime(browser, page, name, { seconds, sampling = false, stressed = false }) {
  await page.evaluate(`bench.prepare(${JSON.stringify({ name, stressed })})`);
  const stop = await observed(browser, page, sampling);
  await new Promise((resume) => setTimeout(resume, seconds * 1000));
  const seen = await stop();
  const result = await page.evaluate('bench.finish()');
  // Under stress a consumer may come too late, which is no mistake of the one measured.
  if (!stressed) refuse(name, result, null);
  return { ...result, ...seen, sampled_bytes_per_quantum: seen.sampled === null ? null : seen.sampled / seen.calls };
}

/** A run whose windows are not right measures something else. */
function refuse(name, { wrong, leaked }, why) {
  if (wrong > 0) why = `${wrong} windows were wrong`;
  if (leaked > 0) why = `${leaked} buffers leaked`;
  if (why) throw new Error(`${name}: void, ${why}`);
}

/** Traces, and samples allocations if asked to, until the answer is called. */
async function observed(browser, page, sampling) {
  const traced = await trace(browser);
  if (sampling) {
    await page.worklet('HeapProfiler.enable');
    await page.worklet('HeapProfiler.startSampling', {
      samplingInterval: 128,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    });
  }
  await page.evaluate(`bench.mark('from')`);
  return async () => {
    await page.evaluate(`bench.mark('to')`);
    const profile = sampling ? (await page.worklet('HeapProfiler.stopSampling')).profile : null;
    return { sampled: profile && sizeOf(profile.head), ...workletThread(await traced(), ['from', 'to']) };
  };
}

const sizeOf = (node) => node.selfSize + node.children.reduce((sum, child) => sum + sizeOf(child), 0);
