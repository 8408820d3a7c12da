// `cargo xtask bench browser`: windows from the audio thread to a worker, ours beside the other ways, in Chromium.
//   node measure.mjs SECONDS [FILE]
//
// The same work for each: stereo in, windows of 2048 frames to a worker that looks at every sample. A run is void unless
// all windows arrived and all were right. `case` names the implementation, `value` is its figure, `baseline` that of an
// empty worklet in the same run, ratio = baseline ÷ value. Everything is about the worklet's thread unless the case
// says otherwise:
//
// | bench | where from |
// |---|---|
// | `collections`, `bytes_per_quantum` | 60,000 quanta of an OfflineAudioContext; `… sampled`: with V8's sampling on; `… real time` |
// | `callback_us_*`, `delivery_us_*`, `underruns` | real time |
// | `copies_per_window` | ours, shared: see `copies.mjs` |
// | `unit_bytes` | what a view, an array (its samples apart) and a message with its buffer's way back weigh |
//
// `stress …`: eight windows of 2048 through Rust per quantum, while the page collects hard and a worker keeps a core busy;
// interleaved runs, the median of which is told.
import { quantile, print, row, write } from '../boundary/rows.mjs';
import { laboratory } from './runs.mjs';

const [seconds, json] = process.argv.slice(2);
const quanta = 60_000;
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
const stressRounds = 3;

const rows = [];
const lab = await laboratory();

function tell(what) {
  console.error(`… ${what}`);
}

/** A run that was void, because the machine was too busy for all windows to arrive, is done again. */
async function valid(run) {
  for (let left = 2; ; left--) {
    try {
      return await run();
    } catch (error) {
      if (left === 0) throw error;
      tell(`again: ${error.message.split('\n')[0]}`);
    }
  }
}

/** Runs `names`, the empty worklet first; `figures` makes rows of each and of the empty one. */
async function beside(names, run, figures) {
  let empty = null;
  for (const name of names) {
    const figure = await valid(() => run(name));
    empty ??= figure;
    for (const [bench, unit, of, suffix = ''] of figures) {
      if (of(figure) === null) continue;
      rows.push(row(bench, name + suffix, unit, of(figure), figure === empty ? null : of(empty)));
    }
  }
}

const callbacks = ['p50', 'p99', 'p999', 'max'].map((share) => [`callback_us_${share}`, 'us', (run) => run.callback_us[share]]);

try {
  for (const sampling of [false, true]) {
    const suffix = sampling ? ' sampled' : '';
    const bytes = sampling ? 'sampled_bytes_per_quantum' : 'bytes_per_quantum';
    await beside(
      implementations,
      (name) => (tell(`${name}, offline${suffix}`), lab.offline(name, { quanta, sampling })),
      [
        ['collections', 'count', (run) => run.collections, suffix],
        ['bytes_per_quantum', 'bytes', (run) => run[bytes], suffix],
        ...(sampling ? [] : [['bytes_per_quantum', 'bytes', (run) => run.bytes_everywhere_per_quantum, ', workers and arrays too']]),
      ],
    );
    await beside(
      implementations,
      (name) => (tell(`${name}, real time${suffix}`), lab.realTime(name, { seconds: Number(seconds), sampling })),
      [
        ['collections', 'count', (run) => run.collections, ` real time${suffix}`],
        ...(sampling
          ? [['bytes_per_quantum', 'bytes', (run) => run.sampled_bytes_per_quantum, ' real time sampled']]
          : [
              ...callbacks,
              ['delivery_us_p50', 'us', (run) => run.delivery_us?.p50 ?? null],
              ['delivery_us_max', 'us', (run) => run.delivery_us?.max ?? null],
              ['underruns', 'count', (run) => run.underruns],
            ]),
      ],
    );
  }
  tell('copies');
  rows.push(row('copies_per_window', 'ours-shared', 'count', await valid(lab.copies)));

  tell('unit costs');
  const cost = async (kind) => (await valid(() => lab.offline(`cost ${kind}`, { quanta: 6000 }))).bytes_per_quantum / 8;
  const nothing = await cost('nothing');
  for (const kind of ['view', 'array', 'message']) rows.push(row('unit_bytes', kind, 'bytes', (await cost(kind)) - nothing));

  const runs = Object.fromEntries(stressed.map((name) => [name, []]));
  for (let round = 0; round < stressRounds; round++) {
    for (const name of stressed) {
      tell(`${name}, round ${round + 1}`);
      runs[name].push(await valid(() => lab.realTime(name, { seconds: Math.min(15, Number(seconds)), stressed: true })));
    }
  }
  for (const [bench, unit, of] of [['collections', 'count', (run) => run.collections], ...callbacks, ['underruns', 'count', (run) => run.underruns]]) {
    for (const name of stressed) rows.push(row(bench, name, unit, quantile(runs[name].map(of).sort((a, b) => a - b), 0.5)));
  }
} finally {
  await lab.close();
}
print(rows);
if (json) write(json, rows);
