// What the pool spares JavaScript's collector: the same sound through the tuner, and through one that is written without a pool.
//   node web/e2e/compare.mjs [--url http://127.0.0.1:4173/] [--seconds 10] [--input FILE] [--out FILE]
// Without --url only the unpooled way runs. Fails unless the pool spares a tenth of the bytes, the story's target.
import { writeFileSync } from 'node:fs';
import { mainNote, spared } from './checks.mjs';
import { Failure, launch, main, openPage, options, play, press, stop } from './browser.mjs';
import { served } from './served.mjs';
import { record } from './trace.mjs';
import { watchWorkletHeap } from './worklet_heap.mjs';

const usage = 'node web/e2e/compare.mjs [--url URL] [--seconds N] [--input FILE] [--out FILE]';
/** Set-up and compiling make garbage once; they are not in the figures. */
const settleMs = 2000;

await main(async () => {
  const { url, seconds, input, out } = options({ url: '', seconds: '10', input: '', out: '' }, usage);
  const duration = Number(seconds);
  if (!(duration > 0 && duration <= 600)) throw new Failure(`--seconds is ${seconds}; use a number above 0, at most 600.`);
  const runs = url ? [await pooled(url, duration, input)] : [];
  runs.push(await unpooled(duration, input));
  if (out) writeFileSync(out, `${JSON.stringify(runs, null, 2)}\n`);
  console.log(table(runs));
  if (runs.length < 2) return;
  const { reduction, found } = spared(...runs);
  console.log(`${reduction.toFixed(1)} % fewer bytes on the audio thread`);
  if (found.length > 0) throw new Failure(found.join('\n'));
});

/** Opens a page, has it play, measures its audio thread for so many seconds; `look` gives what the page has counted so far. */
async function measure(address, duration, { ready, start, look, end }) {
  // Chromium collects idle heaps of its own accord, which would say nothing of either way.
  const browser = await launch(['--js-flags=--no-memory-reducer']);
  try {
    const { page, errors } = await openPage(browser, address, { ready });
    const heapBytes = await watchWorkletHeap(page);
    await start(page);
    await page.waitForTimeout(settleMs);
    const [heap, before] = [await heapBytes(), await look(page)];
    const finish = await record(browser);
    await page.waitForTimeout(duration * 1000);
    const [heapAfter, after] = [await heapBytes(), await look(page)];
    const { gc, callback_us: times, trace_note: note } = await finish();
    await end(page);
    if (errors.length > 0) throw new Failure(`The page reported: ${errors.join(' ')}`);
    if (gc === null || heap === null) throw new Failure(note ?? 'The browser does not tell how large the heap of the audio thread is.');
    return {
      note: mainNote(after.notes),
      windows: after.windows - before.windows,
      minor_collections: gc.minor,
      major_collections: gc.major,
      heap_bytes: heapAfter - heap + gc.freed_bytes,
      content_bytes: after.content_bytes - before.content_bytes,
      callback_us: times,
    };
  } finally {
    await browser.close();
  }
}

async function pooled(url, duration, input) {
  let mode = '';
  const run = await measure(url, duration, {
    ready: 'wavepoolDemo',
    start: (page) => (input ? play(page, input) : press(page, 'tone')),
    look: async (page) => {
      const report = await page.evaluate(() => window.wavepoolDemo.report());
      mode = report.mode;
      return { notes: report.notes, windows: report.windows, content_bytes: report.objects.content_bytes };
    },
    end: stop,
  });
  return { way: `pooled, ${mode}`, ...run };
}

async function unpooled(duration, input) {
  const server = await served('unpooled');
  try {
    const run = await measure(server.url, duration, {
      ready: 'unpooled',
      async start(page) {
        if (input) await page.setInputFiles('#file-input', input);
        await page.evaluate(() => window.unpooled.play());
      },
      look: async (page) => {
        const { notes, windows, windowBytes } = await page.evaluate(() => window.unpooled.result());
        return { notes, windows, content_bytes: windows * windowBytes };
      },
      end: (page) => page.evaluate(() => window.unpooled.stop()),
    });
    return { way: 'unpooled', ...run };
  } finally {
    await server.close();
  }
}

function table(runs) {
  const rows = [
    ['', ({ way }) => way],
    ['note', ({ note }) => note],
    ['windows', ({ windows }) => windows],
    ['collections', ({ minor_collections: minor, major_collections: major }) => `${minor} minor, ${major} major`],
    ['bytes of objects', ({ heap_bytes: bytes }) => bytes],
    ['bytes of arrays', ({ content_bytes: bytes }) => bytes],
    ['callback', ({ callback_us: { p50, p999, max } }) => `p50 ${p50}, p99.9 ${p999}, max ${max} us`],
  ];
  return rows.map(([name, of]) => name.padEnd(18) + runs.map((run) => String(of(run)).padEnd(62)).join('').trimEnd()).join('\n');
}
