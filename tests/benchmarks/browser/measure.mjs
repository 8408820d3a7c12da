// `cargo xtask bench browser`: windows from the audio thread to a worker, ours beside the other ways, in Chromium.
//   node measure.mjs SECONDS [--json FILE] [--record]
//
// The same work for each: stereo in, windows of 2048 frames to a worker that looks at every sample. A run is void unless
// all windows arrived and all were right. `case` names the implementation, `value` is its figure, `baseline` that of an
// empty worklet in the same run, ratio = baseline ÷ value. Everything is about the worklet's thread unless the case
// says otherwise:
//
// | bench | where from |
// |---|---|
// | `collections` | a thousand quanta of an OfflineAudioContext for each of SECONDS; `… sampled`: with V8's sampling on; `… real time` |
// | `bytes_per_quantum` | the same: the growth of V8's heap, the arrays made and what messages copy; `… V8 heap` and `… arrays and messages` are its parts, `… everywhere` has the workers' too, `… sampled` and `… real time sampled` are V8's own estimate |
// | `callback_us_*`, `delivery_us_*`, `underruns` | SECONDS of real time, in interleaved rounds; `… stressed`: while the page collects hard and a worker keeps a core busy |
// | `copies_per_window` | ours, shared: see `copies.mjs` |
// | `unit_bytes` | what a view, an array (its samples apart) and a message with its buffer's way back weigh |
// | `size_bytes` | the files of the package, raw and compressed |
//
// `stress …`: eight windows of 2048 through Rust per quantum under the same stress; interleaved runs, whose median is told.
import { readFile, readdir } from 'node:fs/promises';
import { brotliCompressSync } from 'node:zlib';
import { quantile, print, record, row, write } from '../boundary/rows.mjs';
import { laboratory } from './runs.mjs';
import { figuresOf } from './trace.mjs';

const [seconds, ...options] = process.argv.slice(2);
const json = options.includes('--json') ? options[options.indexOf('--json') + 1] : null;
const realSeconds = Number(seconds);
const quanta = Math.max(6, realSeconds) * 1000;
const implementations = [
  'baseline',
  'ours-shared',
  'ours-transfer',
  'wasm-bindgen-vec',
  'wasm-bindgen-mut-slice',
  'ringbuf.js',
  'free-queue',
  'post-message',
  'post-message transferred',
];
const stressed = ['stress ours', 'stress wasm-bindgen-vec'];
/** Interleaved: whatever happens on the machine meanwhile hits all of them. */
const rounds = 3;
const stressSeconds = Math.min(10, realSeconds);

const rows = [];
const voids = [];
const started = Date.now();
const steps = implementations.length * (3 + rounds + 1) + 2 + stressed.length * rounds;
let step = 0;

const lab = await laboratory();

/** Runs, and says which of how many it is. A run that was void, because the machine was too busy, is done again; should it stay so, its figures are left empty. */
async function run(what, work) {
  const time = new Date(Date.now() - started).toISOString().slice(14, 19);
  console.error(`[${++step}/${steps}, ${time}] ${what}`);
  for (let left = 2; ; left--) {
    try {
      return await work();
    } catch (error) {
      console.error(`  void: ${error.message.split('\n')[0]}`);
      if (left > 0) continue;
      voids.push(what);
      return null;
    }
  }
}

/** Makes rows of each implementation's figures and of the empty worklet's, the first. */
function tell(names, figures, kinds) {
  for (const [bench, unit, of, suffix = ''] of kinds) {
    const value = (figure) => (figure ? of(figure) : null);
    for (const name of names) {
      if (figures[name] && value(figures[name]) === null) continue;
      rows.push(row(bench, name + suffix, unit, value(figures[name]), name === names[0] ? null : value(figures[names[0]])));
    }
  }
  if (json) write(json, rows);
}

async function each(names, what, work) {
  const figures = {};
  for (const name of names) figures[name] = await run(`${name}, ${what}`, () => work(name));
  return figures;
}

const times = (suffix) => [
  ...['p50', 'p99', 'p999', 'max'].map((share) => [`callback_us_${share}`, 'us', (run) => run.callback_us[share], suffix]),
  ['delivery_us_p50', 'us', (run) => run.delivery_us?.p50 ?? null, suffix],
  ['delivery_us_max', 'us', (run) => run.delivery_us?.max ?? null, suffix],
  ['underruns', 'count', (run) => run.underruns, suffix],
];

/** So many interleaved runs of each. */
async function interleaved(names, what, work) {
  const runs = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    const figures = await each(names, `${what}, round ${round}`, work);
    for (const name of names) if (figures[name]) runs[name].push(figures[name]);
  }
  return runs;
}

try {
  const offline = await each(implementations, 'offline', async (name) => ({
    ...(await lab.offline(name, { quanta })),
    made_bytes_per_quantum: await lab.made(name),
  }));
  tell(implementations, offline, [
    ['collections', 'count', (run) => run.collections],
    ['bytes_per_quantum', 'bytes', (run) => run.bytes_per_quantum + run.made_bytes_per_quantum],
    ['bytes_per_quantum', 'bytes', (run) => run.bytes_per_quantum, ' V8 heap'],
    ['bytes_per_quantum', 'bytes', (run) => run.made_bytes_per_quantum, ' arrays and messages'],
    ['bytes_per_quantum', 'bytes', (run) => run.bytes_everywhere_per_quantum, ' everywhere'],
  ]);

  tell(implementations, await each(implementations, 'offline, sampled', (name) => lab.offline(name, { quanta, sampling: true })), [
    ['collections', 'count', (run) => run.collections, ' sampled'],
    ['bytes_per_quantum', 'bytes', (run) => run.sampled_bytes_per_quantum, ' sampled'],
  ]);

  const real = await interleaved(implementations, 'real time', (name) => lab.realTime(name, { seconds: realSeconds / rounds }));
  const together = Object.fromEntries(implementations.map((name) => [name, real[name].length > 0 ? figuresOf(real[name]) : null]));
  tell(implementations, together, [['collections', 'count', (run) => run.collections, ' real time'], ...times('')]);

  // Only bytes are told of these, so they may run side by side.
  const sampled = Promise.all(implementations.map((name) => run(`${name}, real time, sampled`, () => lab.sampledRealTime(name, { seconds: realSeconds }))));
  const sampledFigures = Object.fromEntries((await sampled).map((figure, i) => [implementations[i], figure]));
  tell(implementations, sampledFigures, [['bytes_per_quantum', 'bytes', (run) => run.sampled_bytes_per_quantum, ' real time sampled']]);

  const under = await each(implementations, 'stressed', (name) => lab.realTime(name, { seconds: stressSeconds, stressed: true }));
  tell(implementations, under, [['collections', 'count', (run) => run.collections, ' stressed'], ...times(' stressed')]);

  const runs = await interleaved(stressed, 'eight windows a quantum', (name) => lab.realTime(name, { seconds: stressSeconds, stressed: true }));
  const median = (of) => (all) => quantile(all.map(of).sort((a, b) => a - b), 0.5);
  for (const [bench, unit, of] of [['collections', 'count', (run) => run.collections], ...times('')].filter(([bench]) => !bench.startsWith('delivery'))) {
    for (const name of stressed) rows.push(row(bench, name, unit, runs[name].length > 0 ? median(of)(runs[name]) : null));
  }

  rows.push(row('copies_per_window', 'ours-shared', 'count', await run('copies', lab.copies)));
  const weigh = async (kind) => (await lab.offline(`cost ${kind}`, { quanta: 6000 })).bytes_per_quantum / 8;
  const costs = await run('unit costs', async () => {
    const nothing = await weigh('nothing');
    const costs = [];
    for (const kind of ['view', 'array', 'message']) costs.push([kind, (await weigh(kind)) - nothing]);
    return costs;
  });
  for (const [kind, bytes] of costs ?? []) rows.push(row('unit_bytes', kind, 'bytes', bytes));

  for (const name of (await readdir('web/lib/dist')).filter((name) => /\.(js|wasm)$/.test(name))) {
    const bytes = await readFile(`web/lib/dist/${name}`);
    rows.push(row('size_bytes', `${name} raw`, 'bytes', bytes.length), row('size_bytes', `${name} brotli`, 'bytes', brotliCompressSync(bytes).length));
  }
} finally {
  await lab.close();
}
print(rows);
if (json) write(json, rows);
if (options.includes('--record')) record(rows, 'browser', { browser: lab.version, seconds: realSeconds });
if (voids.length > 0) {
  console.error(`Void, and left empty: ${voids.join('; ')}. The machine was too busy; run it again when nothing else does.`);
  process.exitCode = 1;
}
