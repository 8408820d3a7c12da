// The main job without a window: a sound file through the page, the page's own report, the audio thread's trace.
//   node web/e2e/headless.mjs --url http://127.0.0.1:4173/ [--seconds 10] [--input FILE] [--out report.json] [--check] [--turns]
import { writeFileSync } from 'node:fs';
import { broken, lateBySleep, mainNote, worstHeldPerPeak } from './checks.mjs';
import { Failure, firstLine, launch, main, openPage, options, play, press, stop } from './browser.mjs';
import { record } from './trace.mjs';

const usage = 'node web/e2e/headless.mjs --url URL [--seconds N] [--input FILE] [--out FILE] [--fault leak-one] [--check] [--turns] [--note NAME]';

/** Streams of odd windows that `--turns` opens and closes beside the main one: from one second to the other, window, hop. */
const turns = [
  { from: 0.45, to: 0.55, window: 3000, hop: 750 },
  { from: 0.6, to: 0.7, window: 1103, hop: 441 },
];
const sampleMs = 500;

await main(async () => {
  const { url, seconds, input, out, fault, check, turns: inTurn, note } = options(
    { url: undefined, seconds: '10', input: '', out: '', fault: '', check: false, turns: false, note: '' },
    usage,
  );
  const duration = Number(seconds);
  if (!(duration > 0 && duration <= 600)) throw new Failure(`--seconds is ${seconds}; use a number above 0, at most 600.`);
  if (fault && fault !== 'leak-one') throw new Failure(`There is no fault ${fault}. Use leak-one.`);

  const browser = await launch(check ? ['--js-flags=--no-memory-reducer'] : []);
  let report;
  let series = [];
  try {
    const { page, errors } = await openPage(browser, url);
    const finish = await record(browser);
    // Without a file the page's own tone is the sound.
    if (input) await play(page, input);
    else await press(page, 'tone');
    if (fault) await page.evaluate((name) => window.wavepoolDemo.fault(name), fault);
    series = await watch(page, duration, inTurn ? turns : []);
    const last = await stop(page);
    const trace = await finish();
    if (errors.length > 0) throw new Failure(`The page reported: ${errors.join(' ')}`);
    if (last.windows === 0) throw new Failure(`No window was analysed in ${seconds} s.`);
    report = { ...last, ...trace, held_per_peak_max: worstHeldPerPeak(series) };
  } finally {
    await browser.close();
  }

  try {
    if (out) writeFileSync(out, `${JSON.stringify(report, null, 2)}\n`);
  } catch (error) {
    throw new Failure(`The report could not be written: ${firstLine(error)}`);
  }
  console.log(summary(report));
  if (check) {
    const found = broken(report, series, { note: note || null, alone: !inTurn });
    if (found.length > 0) throw new Failure(`The run broke ${found.length === 1 ? 'a bound' : `${found.length} bounds`}:\n  ${found.join('\n  ')}`);
    console.log('check       every bound holds');
  }
});

/** Waits for so many seconds, opens and closes streams meanwhile, and samples what the pool holds. */
async function watch(page, duration, streams) {
  const series = [];
  const begin = performance.now();
  const now = () => (performance.now() - begin) / 1000;
  const coming = streams.map((stream) => ({ ...stream, from: stream.from * duration, to: stream.to * duration }));
  let [opened, closed, current] = [0, null, null];
  while (now() < duration) {
    await page.waitForTimeout(Math.min(sampleMs, Math.max(0, (duration - now()) * 1000)));
    if (current === null && coming.length > 0 && now() >= coming[0].from) {
      current = coming.shift();
      await page.evaluate(({ window: frames, hop }) => window.wavepoolDemo.openBeside(frames, hop), current);
    } else if (current !== null && now() >= current.to) {
      await page.evaluate(() => window.wavepoolDemo.closeBeside());
      [current, closed] = [null, now()];
    }
    opened = current === null ? 0 : Math.max(opened, current.from);
    const memory = await page.evaluate(() => window.wavepoolDemo.memory());
    const seconds = now();
    if (memory) series.push({ seconds, ...memory, youngest: seconds - opened, closed: closed === null ? null : seconds - closed });
  }
  return series;
}

function summary(report) {
  const { pool, bus, tally, callback_us: times, gc } = report;
  const rate = (value) => (value === null ? 'not measured' : `${value.toFixed(value === 100 ? 0 : 2)} %`);
  const figure = (value) => value ?? 'not measured';
  const lane = (name) => `${name} ${bus[name].delivered}/${bus[name].published}, ${bus[name].dropped} dropped, ${bus[name].late} late`;
  const rows = [
    ['mode', `${report.mode} (${report.mode_reason})`],
    ['sound', `${report.source}, ${report.sample_rate} Hz, frames a quantum: ${figure(report.quantum_frames)}`],
    ['note', mainNote(report.notes)],
    ['windows', `${report.windows} of ${report.quanta} quanta, ${report.skipped_windows} skipped, ${report.interrupted_windows} interrupted, bytes copied for each: ${figure(report.bytes_copied_per_window)}`],
    ['pool', `hit rate ${rate(pool.hit_rate_percentage)}, after the first second ${rate(report.steady?.hit_rate_percentage ?? null)}, ${pool.leased} in use, ${report.leaked} leaked`],
    ['bus', ['critical', 'high', 'normal'].map(lane).join('; ')],
    ['memory', `${pool.bytes_held} bytes held at the end, from the 20th second of each stream on at most ${report.held_per_peak_max?.toFixed(2) ?? 'an unmeasured number of'} times the peak of use`],
    ['waits', report.dispatch_gaps.filter(({ late }) => late > 0).map(({ activity, late, deliveries, max_ms, late_events }) => `${activity} ${late}/${deliveries} late, at most ${max_ms.toFixed(1)} ms, ${late_events} events`).join('; ') || 'none late'],
    ['floor', `${lateBySleep(report)} of the late events waited because the machine woke the control worker late`],
    ['events', `${tally.allocation_events} allocations published of ${tally.allocations_counted}, ${tally.recycling_events} recyclings published of ${tally.recyclings_counted}`],
    ['callback', times ? `p50 ${times.p50} us, p99 ${times.p99} us, p99.9 ${times.p999} us, max ${times.max} us in ${times.count} calls` : 'not measured'],
    ['collections', gc ? `${gc.minor} minor, ${gc.major} major on the audio thread` : 'not measured'],
    ['underruns', String(figure(report.underruns))],
  ];
  if (report.trace_note) rows.push(['trace', report.trace_note]);
  return rows.map(([name, value]) => `${name.padEnd(12)}${value}`).join('\n');
}
