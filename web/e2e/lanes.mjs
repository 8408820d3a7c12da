// How late the handlers of each lane are called in the browser, shared mode, beside the machine's own floor of the same seconds.
//   node web/e2e/lanes.mjs [--record] [--seconds 60] [--out rows.json]
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { record, row } from '../../tests/benchmarks/boundary/rows.mjs';
import { Failure, launch, main, options } from './browser.mjs';
import { LANES, latencies, quantile } from './lanes/marks.mjs';
import { keepWorkersTogether } from './lanes/processors.mjs';
import { served } from './served.mjs';
import { recordEvents } from './trace.mjs';

const usage = 'node web/e2e/lanes.mjs [--seconds N] [--out FILE] [--record]';
/** The library's own sources, on a module whose JavaScript has one import more. */
const lanes = {
  // In place of both modes' modules: nothing else has to be built for this.
  resolve: { alias: [{ find: /^\.\.\/wasm\/(shared|transfer)\//, replacement: fileURLToPath(new URL('./lanes/wasm/', import.meta.url)) }] },
};
const QUANTILES = { p50: 0.5, p99: 0.99, 'p99.9': 0.999, max: 1 };
/** In microseconds: what the p99.9 (of Normal the slowest) may be on a machine with this floor. */
const LIMITS = {
  critical: ['p99.9', (floor) => floor + 200],
  high: ['p99.9', (floor) => Math.max(5_000, floor + 500)],
  normal: ['max', () => 100_000],
};

await main(async () => {
  const { seconds, out, record: keep } = options({ seconds: '60', out: '', record: false }, usage);
  const { marks, version } = await measure(Number(seconds));
  const rows = LANES.flatMap((lane) => rowsOf(lane, marks));
  // JSON has no infinity, and would make it empty, which reads “not measured”.
  if (out) writeFileSync(out, JSON.stringify(rows, (_, value) => (value === Infinity ? Number.MAX_VALUE : value)));
  if (keep) record(rows, 'events-browser', { browser: version });
  for (const { bench, case: name, value, unit, baseline } of rows) {
    const beside = baseline === null ? '' : `   beside ${baseline.toFixed(3)}`;
    console.log(`${bench.padEnd(18)} ${name.padEnd(28)} ${value.toFixed(3).padStart(12)} ${unit}${beside}`);
  }
  const missed = rows.flatMap(missedBy);
  if (missed.length > 0) throw new Failure(missed.join('; '));
});

async function measure(seconds) {
  const server = await served('lanes', lanes);
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.waitForFunction(() => 'lanes' in window);
    await page.evaluate(async () => void (window.measure = await window.lanes.prepare()));
    if (!(await keepWorkersTogether(browser))) console.log('The workers run where the system puts them: floors differ more.');
    const finish = await recordEvents(browser, ['devtools.timeline']);
    const { quanta, dropped } = await page.evaluate((seconds) => window.measure(seconds), seconds);
    const events = await finish();
    if (events === null) throw new Failure('The trace did not fit into its buffer: measure for a shorter time.');
    const marks = latencies(events.filter((event) => event.name === 'TimeStamp'), quanta);
    const lost = quanta - marks.critical.length;
    if (dropped === 0 && lost > 0) throw new Failure(`${lost} Critical events were lost uncounted.`);
    return { marks, version: `Chrome/${browser.version()}` };
  } finally {
    await browser.close();
    await server.close();
  }
}

function rowsOf(lane, marks) {
  return Object.entries(QUANTILES).flatMap(([name, share]) => {
    const value = quantile(marks[lane], marks.quanta, share);
    const floor = quantile(marks.floor, marks.quanta, share);
    const bench = `latency_${lane}`;
    return [row(bench, `browser ${name}`, 'us', value, floor), row(bench, `browser floor ${name}`, 'us', floor)];
  });
}

function missedBy({ bench, case: name, value, baseline }) {
  const [quantile, limit] = LIMITS[bench.replace('latency_', '')];
  if (name !== `browser ${quantile}` || value <= limit(baseline)) return [];
  return [`${bench} ${name}: ${value.toFixed(1)} us, limit ${limit(baseline).toFixed(1)} us`];
}
