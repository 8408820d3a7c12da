// One implementation, measured once: offline over a known number of quanta, or in real time.
import { readFile, writeFile } from 'node:fs/promises';
import { isolation, serve } from '../../../web/lib/package/consumers.mjs';
import { quantile } from '../boundary/rows.mjs';
import { chromium, openPage, trace } from './cdp.mjs';
import { quantum, window } from './format.mjs';
import { figuresOf, workletThread } from './trace.mjs';

/** Quanta in which an implementation settles: compiled, its views made. */
const warm = 2048;
/** Bytes are the heap's growth over so many quanta: sixteen windows, few enough that in most of them nothing is collected. */
// See `docs/decisions/0048-garbage-from-heap-growth.md`.
const stretch = 256;
const stretches = 9;
/** Quanta at the end of a run for which nobody waits. */
const tail = 64;

/** Serves the repository to a browser of its own. */
export async function laboratory() {
  await writeTrippedWorklet();
  const server = await serve('.', isolation);
  const browser = await chromium(process.env['CHROMIUM'] || '/usr/bin/chromium');
  return {
    version: browser.version,
    offline: (name, options) => onPage(browser, server, (page) => offline(browser, page, name, options)),
    made: (name) => onPage(browser, server, (page) => made(page, name)),
    realTime: (name, options) => onPage(browser, server, (page) => realTime(browser, page, name, options)),
    sampledRealTime: (name, options) => onPage(browser, server, (page) => sampledRealTime(page, name, options)),
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

const prepare = (page, options) => page.evaluate(`bench.prepare(${JSON.stringify(options)})`);

async function offline(browser, page, name, { quanta, sampling = false }) {
  await prepare(page, { name, quanta, warm });
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
  const end = quanta - tail;
  await page.evaluate(`bench.advance(${end})`);
  const { sampled, ...seen } = await stop();
  const result = await page.evaluate('bench.finish()');
  const due = Math.floor((quanta * quantum) / window);
  // An implementation without a consumer delivers nothing.
  refuse(name, result, result.windows === 0 || result.windows === due ? null : `${result.windows} of ${due} windows arrived`);
  return {
    ...figuresOf([{ ...seen, underruns: null }]),
    bytes_per_quantum: median(growths.worklet),
    bytes_everywhere_per_quantum: median(growths.everywhere),
    sampled_bytes_per_quantum: sampled === null ? null : sampled / (end - at),
  };
}

/** Bytes per quantum of the arrays that the thread makes and of what its messages copy: counted where it asks for them, see `made.mjs`. */
async function made(page, name) {
  const quanta = warm + 1024;
  await prepare(page, { name, quanta: quanta + tail, warm, counting: true });
  const before = await page.evaluate('bench.made()');
  await page.evaluate(`bench.advance(${quanta})`);
  const after = await page.evaluate('bench.made()');
  await page.evaluate('bench.finish()');
  return (after - before) / (quanta - warm);
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

const pause = (seconds) => new Promise((resume) => setTimeout(resume, seconds * 1000));

async function realTime(browser, page, name, { seconds, stressed = false }) {
  await prepare(page, { name, stressed });
  const stop = await observed(browser, page, false);
  await pause(seconds);
  const run = await stop();
  const result = await page.evaluate('bench.finish()');
  // Under stress a consumer may come too late, which is no mistake of the one measured.
  if (!stressed) refuse(name, result, null);
  run.underruns = result.underruns;
  return stressed ? figuresOf([run]) : run;
}

async function sampledRealTime(page, name, { seconds }) {
  await prepare(page, { name });
  const from = await page.evaluate('bench.quanta()');
  await startSampling(page);
  await pause(seconds);
  const bytes = await stopSampling(page);
  const to = await page.evaluate('bench.quanta()');
  refuse(name, await page.evaluate('bench.finish()'), null);
  return { sampled_bytes_per_quantum: bytes / (to - from) };
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
  if (sampling) await startSampling(page);
  await page.evaluate(`bench.mark('from')`);
  return async () => {
    await page.evaluate(`bench.mark('to')`);
    const sampled = sampling ? await stopSampling(page) : null;
    return { sampled, ...workletThread(await traced(), ['from', 'to']) };
  };
}

async function startSampling(page) {
  await page.worklet('HeapProfiler.enable');
  const collected = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true };
  await page.worklet('HeapProfiler.startSampling', { samplingInterval: 128, ...collected });
}

/** Bytes allocated meanwhile, as V8 estimates. */
async function stopSampling(page) {
  const { profile } = await page.worklet('HeapProfiler.stopSampling');
  return sizeOf(profile.head);
}

const sizeOf = (node) => node.selfSize + node.children.reduce((sum, child) => sum + sizeOf(child), 0);
