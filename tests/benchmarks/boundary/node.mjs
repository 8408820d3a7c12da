// `cargo xtask bench boundary`: samples to Rust and back, in Node. Started with --expose-gc.
//   node --expose-gc node.mjs MODULE_DIRECTORY [--json FILE] [--record]
//
// Rows: `round_trip` (a round's mean, so that what a shape's garbage costs is in it; the median of the rounds),
// `round_trip_p999` and `round_trip_max` (single calls, the clock's own time and garbage in them), `collections` in all
// rounds, `bytes` of JavaScript heap and array memory per round trip.
// `value` is ours, `baseline` the shape's that the case names.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { shortcomings } from './limits.mjs';
import { print, quantile, record, row, write } from './rows.mjs';
import { shapes } from './shapes.mjs';

const [directory, ...options] = process.argv.slice(2);
const glue = await import(pathToFileURL(resolve(directory, 'shapes.js')).href);
const exports = glue.initSync({ module: await readFile(join(directory, 'shapes_bg.wasm')) });

const sizes = [128, 256, 512, 1024, 2048, 4096];
/** Rounds in which the shapes take turns, so that a busy machine hurts all of them alike. */
const rounds = 9;
const callsPerRound = 40_000;
const singles = 20_000;

let collections = 0;
new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({ entryTypes: ['gc'] });
/** Collections are told of in a turn of their own. */
const turn = () => new Promise((resume) => setTimeout(resume, 5));

function check(name, work, samples) {
  const expected = samples.map((sample) => -sample);
  const result = work(samples);
  for (let i = 0; i < expected.length; i++) assert.equal(result[i], expected[i], `${name}, sample ${i}`);
  // Shapes that work in place have changed the samples.
  if (result === samples) work(samples);
}

/** One round: mean time of a call, and what was collected meanwhile. */
async function round(run, samples) {
  const { work } = run;
  await turn();
  const before = collections;
  const start = performance.now();
  for (let call = 0; call < callsPerRound; call++) work(samples);
  run.means.push(((performance.now() - start) * 1e6) / callsPerRound);
  await turn();
  run.collections += collections - before;
}

function single(work, samples) {
  const times = new Float64Array(singles);
  for (let i = 0; i < singles; i++) {
    const start = performance.now();
    work(samples);
    times[i] = (performance.now() - start) * 1e6;
  }
  return times.sort();
}

/** Bytes per call, over few calls; the median of attempts, because something may be collected in one of them. */
function bytes(work, samples) {
  const calls = 100;
  const held = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const of = (repeated) => {
    global.gc();
    const before = held();
    for (let i = 0; i < calls; i++) repeated(samples);
    return (held() - before) / calls;
  };
  const nothing = () => {};
  const attempts = Array.from({ length: 9 }, () => of(work) - of(nothing));
  return Math.max(0, quantile(attempts.sort((a, b) => a - b), 0.5));
}

const rows = [];
for (const size of sizes) {
  const samples = Float32Array.from({ length: size }, (_, i) => Math.fround(Math.sin(i)));
  const runs = Object.entries(shapes(glue, exports)).map(([name, work]) => ({ name, work, means: [], collections: 0 }));
  for (const { name, work } of runs) {
    check(name, work, samples);
    for (let i = 0; i < 5000; i++) work(samples);
  }
  for (let i = 0; i < rounds; i++) for (const run of runs) await round(run, samples);
  for (const run of runs) {
    run.median = quantile(run.means.sort((a, b) => a - b), 0.5);
    run.times = single(run.work, samples);
    run.bytes = bytes(run.work, samples);
    check(run.name, run.work, samples);
  }
  const [ours, ...others] = runs;
  const against = (bench, unit, figure) => {
    for (const other of others) rows.push(row(bench, `${other.name} ${size}`, unit, figure(ours), figure(other)));
  };
  against('round_trip', 'ns', (run) => run.median);
  against('round_trip_p999', 'ns', (run) => quantile(run.times, 0.999));
  against('round_trip_max', 'ns', (run) => run.times.at(-1));
  against('collections', 'count', (run) => run.collections);
  against('bytes', 'bytes', (run) => run.bytes);
}
print(rows);
if (options.includes('--json')) write(options[options.indexOf('--json') + 1], rows);
if (options.includes('--record')) record(rows, 'boundary', { node: process.version });
const found = shortcomings(rows);
if (found.length > 0) {
  console.error(found.join('\n'));
  process.exitCode = 1;
}
