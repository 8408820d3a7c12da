// A crate whose whole code is its DSP, in the shipped worklet file. WAVEPOOL_PROCESSOR is its module, WAVEPOOL_NATIVE what
// the same crate made natively (`examples/low_pass/examples/render.rs`), WAVEPOOL_FAULTY one that panics when it is told to.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch } from '../../e2e/browser.mjs';
import { serve } from './consumers.mjs';

const wasm = `/${process.env['WAVEPOOL_PROCESSOR']}`;
const bytes = await readFile(process.env['WAVEPOOL_NATIVE']);
const native = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const length = native.length / 2;
let browser, server, page;

before(async () => {
  server = await serve('.');
  browser = await launch();
  page = await browser.newPage();
  await page.goto(`${server.url}web/lib/package/blank.html`);
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** The noise that `render.rs` makes, through the filter; `turned` at quantum 100, as there. */
async function heard({ wasm, length, turn = true }) {
  const { openProcessor } = await import('/web/lib/dist/index.js');
  const context = new OfflineAudioContext({ numberOfChannels: 2, length, sampleRate: 48_000 });
  const noise = new AudioBuffer({ numberOfChannels: 2, length, sampleRate: 48_000 });
  const input = [noise.getChannelData(0), noise.getChannelData(1)];
  let seed = 1;
  for (let i = 0; i < length; i++) {
    for (const channel of input) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      channel[i] = (seed >>> 8) / 2 ** 23 - 1;
    }
  }
  const source = new AudioBufferSourceNode(context, { buffer: noise });
  const filter = await openProcessor(context, { wasm, channels: 2 });
  const faults = [];
  filter.onFault = (message) => faults.push(message);
  const frequency = filter.parameters.get('frequency');
  const defaults = [...filter.parameters].map(([name, { value }]) => [name, value]);
  if (turn) frequency.setValueAtTime(250, (100 * 128) / 48_000);
  source.connect(filter.node).connect(context.destination);
  source.start();
  const rendered = await context.startRendering();
  const output = [rendered.getChannelData(0), rendered.getChannelData(1)];
  const loudness = (samples) => Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
  return { defaults, faults, output: output.map((channel) => [...channel]), input: loudness(input[0]), loudness: loudness(output[0]) };
}

test('the browser hears what Rust makes natively, sample by sample', async () => {
  const { defaults, faults, output, input, loudness } = await page.evaluate(heard, { wasm, length });
  assert.deepEqual(faults, []);
  assert.deepEqual(defaults.map(([name]) => name), ['frequency', 'q', 'mix']);
  assert.ok(defaults[0][1] === 1000 && Math.abs(defaults[1][1] - 0.707) < 1e-6 && defaults[2][1] === 1);
  // White noise through a narrow low-pass is much quieter.
  assert.ok(loudness > 0.01 && loudness < 0.3 * input, `${loudness} of ${input}`);
  for (const [channel, samples] of output.entries()) {
    for (let i = 0; i < length; i++) {
      const difference = Math.abs(samples[i] - native[channel * length + i]);
      assert.ok(difference < 1e-6, `channel ${channel}, sample ${i}: ${difference} apart`);
    }
  }
});

test('the comparison notices a parameter that is not turned', async () => {
  const { output } = await page.evaluate(heard, { wasm, length, turn: false });
  const apart = output[0].findIndex((sample, i) => Math.abs(sample - native[i]) >= 1e-6);
  assert.ok(apart >= 100 * 128 && apart < 101 * 128, `first difference at ${apart}`);
});

test('a module that is no processor is refused with the reason', async () => {
  const messages = await page.evaluate(async () => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const context = new OfflineAudioContext({ length: 128, sampleRate: 48_000 });
    const attempt = (wasm) => openProcessor(context, { wasm }).then(() => 'opened', ({ code, message }) => `${code}: ${message}`);
    return [await attempt('/web/lib/dist/transfer.wasm'), await attempt(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]))];
  });
  assert.match(messages[0], /^bad-option: .*is no processor: it wants/);
  assert.match(messages[1], /^bad-option: .*was not made by export_processor!/);
});

test('a processor that cannot start says so', async () => {
  const fault = await page.evaluate(async (wasm) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const context = new OfflineAudioContext({ numberOfChannels: 2, length: 4800, sampleRate: 48_000 });
    // More channels than the pool has for one block.
    const filter = await openProcessor(context, { wasm, channels: 32 });
    const told = new Promise((resolve) => (filter.onFault = resolve));
    filter.node.connect(context.destination);
    await context.startRendering();
    return Promise.race([told, new Promise((resolve) => setTimeout(resolve, 5000, 'nothing'))]);
  }, wasm);
  assert.equal(fault, 'the processor could not be started');
});

test('one processor panics, in Rust: its words are told, it is silent from then on, and the other plays on', async () => {
  const seen = await page.evaluate(async (wasm) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const quantum = 128;
    const context = new OfflineAudioContext({ numberOfChannels: 2, length: 200 * quantum, sampleRate: 48_000 });
    const source = new ConstantSourceNode(context);
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    const [one, other] = await Promise.all([0, 1].map(() => openProcessor(context, { wasm, channels: 1 })));
    const faults = [];
    const told = new Promise((resolve) => (one.onFault = resolve));
    other.onFault = (message) => faults.push(message);
    [one, other].forEach((processor, input) => source.connect(processor.node).connect(merger, 0, input));
    merger.connect(context.destination);
    one.parameters.get('fault').setValueAtTime(1, (100 * quantum) / 48_000);
    source.start();
    const rendered = await context.startRendering();
    const loudFrames = (channel) => rendered.getChannelData(channel).reduce((sum, sample) => sum + (sample === 1), 0) / quantum;
    return { message: await told, faults, loud: [loudFrames(0), loudFrames(1)] };
  }, `/${process.env['WAVEPOOL_FAULTY']}`);
  assert.match(seen.message, /panicked at .*lib\.rs:\d+:\d+:\ntold to fail with 128 samples of scratch/);
  assert.deepEqual([seen.faults, seen.loud], [[], [100, 200]]);
});
