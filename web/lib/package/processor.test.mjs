// A crate whose whole code is its DSP, in the shipped worklet file. WAVEPOOL_PROCESSOR is its module, WAVEPOOL_NATIVE what
// the same crate made natively (`examples/low_pass/examples/render.rs`), WAVEPOOL_FAULTY one that panics on request.
import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch } from '../../e2e/browser.mjs';
import { serve } from './consumers.mjs';

const wasm = `/${process.env['WAVEPOOL_PROCESSOR']}`;
const faultyWasm = `/${process.env['WAVEPOOL_FAULTY']}`;
/** The package as it was built, and a copy of another build, whose processors call an export that no module has. */
const folders = ['/web/lib/dist', '/target/npm/other_build'];
const bytes = await readFile(process.env['WAVEPOOL_NATIVE']);
const native = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const length = native.length / 2;
let browser, server, page;

before(async () => {
  await cp(`.${folders[0]}`, `.${folders[1]}`, { recursive: true });
  for (const name of ['index.js', 'worklet.js']) {
    const file = `.${folders[1]}/${name}`;
    const shipped = await readFile(file, 'utf8');
    const other = shipped.replaceAll(/(\d+\.\d+\.\d+)-[0-9a-f]{8}/g, '$1-00000000').replaceAll('.processor_process(', '.processor_other(');
    assert.notEqual(other, shipped);
    await writeFile(file, other);
  }
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
async function received({ wasm, length, turn = true }) {
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
  const { defaults, faults, output, input, loudness } = await page.evaluate(received, { wasm, length });
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
  const { output } = await page.evaluate(received, { wasm, length, turn: false });
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
  assert.match(messages[0], /^bad-option: .*is no processor: it imports/);
  assert.match(messages[1], /^bad-option: .*was not made by export_processor!/);
});

test('a processor that cannot start says why', async () => {
  const fault = await page.evaluate(async (wasm) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const context = new OfflineAudioContext({ numberOfChannels: 2, length: 4800, sampleRate: 8000 });
    const faulty = await openProcessor(context, { wasm });
    const reported = new Promise((resolve) => (faulty.onFault = resolve));
    faulty.node.connect(context.destination);
    await context.startRendering();
    return Promise.race([reported, new Promise((resolve) => setTimeout(resolve, 5000, 'nothing'))]);
  }, faultyWasm);
  assert.match(fault, /^the processor could not be started: panicked at .*made to fail at 8000 Hz/s);
});

test('channels of a processor are 1 to 16: every other value is refused with its name, the value and the limits', async () => {
  const messages = await page.evaluate(async (wasm) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const context = new OfflineAudioContext({ length: 128, sampleRate: 48_000 });
    const values = [0, -1, 17, 32, 33, 1.5, NaN, Infinity, 2 ** 32 + 1, '2', null, {}];
    return Promise.all(values.map((channels) => openProcessor(context, { wasm, channels }).then(() => 'opened', ({ code, message }) => `${code}: ${message}`)));
  }, wasm);
  for (const message of messages) assert.match(message, /^bad-option: Invalid processor option channels: must be a whole number from 1 to 16 \(got .+\)\.$/);
  const counts = await page.evaluate(async (wasm) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const context = new OfflineAudioContext({ length: 128, sampleRate: 48_000 });
    return Promise.all([1, 16].map((channels) => openProcessor(context, { wasm, channels }).then(({ node }) => node.channelCount)));
  }, wasm);
  assert.deepEqual(counts, [1, 16]);
});

test('unhandled rejections: opening a processor fails once with a typed error, whatever of it fails', async () => {
  const seen = await page.evaluate(async (wasm) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const unhandled = [];
    window.addEventListener('unhandledrejection', ({ reason }) => unhandled.push(String(reason)));
    const contexts = { 'no worklet': () => ({}), 'a worklet': () => new OfflineAudioContext({ length: 128, sampleRate: 48_000 }) };
    const modules = { 'no module': '/nothing.wasm', 'no address': 'http://[', 'no bytes': new Uint8Array(3), nothing: undefined, module: wasm };
    const files = { 'no file': '/nothing.js', file: undefined };
    const codes = {};
    for (const [c, context] of Object.entries(contexts)) {
      for (const [m, wasm] of Object.entries(modules)) {
        for (const [f, workletUrl] of Object.entries(files)) {
          if (c === 'a worklet' && m === 'module' && f === 'file') continue;
          codes[`${c}, ${m}, ${f}`] = await openProcessor(context(), { wasm, workletUrl }).then(() => 'opened', ({ code }) => code);
        }
      }
    }
    await new Promise((resume) => setTimeout(resume, 500));
    return { unhandled, codes };
  }, wasm);
  assert.deepEqual(seen.unhandled, []);
  for (const [which, code] of Object.entries(seen.codes)) {
    assert.ok(['no-audio-worklet', 'wasm-unavailable', 'worklet-failed'].includes(code), `${which}: ${code}`);
  }
});

test('memory growth in a processor: it plays on, every frame', async () => {
  const seen = await page.evaluate(async (wasm) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const quantum = 128;
    const context = new OfflineAudioContext({ numberOfChannels: 1, length: 200 * quantum, sampleRate: 48_000 });
    const source = new ConstantSourceNode(context);
    const processor = await openProcessor(context, { wasm, channels: 1 });
    const faults = [];
    processor.onFault = (message) => faults.push(message);
    source.connect(processor.node).connect(context.destination);
    processor.parameters.get('fault').setValueAtTime(2, (100 * quantum) / 48_000);
    source.start();
    const rendered = await context.startRendering();
    return { faults, loud: rendered.getChannelData(0).reduce((sum, sample) => sum + (sample === 1), 0) / quantum };
  }, faultyWasm);
  assert.deepEqual(seen, { faults: [], loud: 200 });
});

for (const renderSizeHint of [64, 1000, 4096, 5000, 8192, 20_000]) {
  test(`a render quantum of ${renderSizeHint} frames is processed whole`, async () => {
    const seen = await page.evaluate(async ({ wasm, renderSizeHint }) => {
      const { openProcessor } = await import('/web/lib/dist/index.js');
      const length = 3 * renderSizeHint;
      const context = new OfflineAudioContext({ numberOfChannels: 2, length, sampleRate: 48_000, renderSizeHint });
      const noise = new AudioBuffer({ numberOfChannels: 2, length, sampleRate: 48_000 });
      for (const channel of [0, 1]) noise.getChannelData(channel).forEach((_, i, samples) => (samples[i] = (channel + 1) * (i + 1)));
      const source = new AudioBufferSourceNode(context, { buffer: noise });
      const processor = await openProcessor(context, { wasm });
      const faults = [];
      processor.onFault = (message) => faults.push(message);
      source.connect(processor.node).connect(context.destination);
      source.start();
      const rendered = await context.startRendering();
      const wrong = [0, 1].map((channel) => rendered.getChannelData(channel).findIndex((sample, i) => sample !== (channel + 1) * (i + 1)));
      return { faults, wrong, quantum: context.renderQuantumSize };
    }, { wasm: faultyWasm, renderSizeHint });
    // Where the browser does not know the option, the quantum stays as it was.
    assert.ok([renderSizeHint, 128, undefined].includes(seen.quantum), `${seen.quantum}`);
    assert.deepEqual([seen.faults, seen.wrong], [[], [-1, -1]]);
  });
}

test('two builds of the package on one context: each runs its own worklet code', async () => {
  const seen = await page.evaluate(async ({ wasm, folders }) => {
    const quantum = 128;
    const context = new OfflineAudioContext({ numberOfChannels: 2, length: 10 * quantum, sampleRate: 48_000 });
    const source = new ConstantSourceNode(context);
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    const faults = [];
    for (const [input, folder] of folders.entries()) {
      const { openProcessor } = await import(`${folder}/index.js`);
      const processor = await openProcessor(context, { wasm, channels: 1 });
      processor.onFault = (message) => faults.push(`${input}: ${message}`);
      source.connect(processor.node).connect(merger, 0, input);
    }
    merger.connect(context.destination);
    source.start();
    const rendered = await context.startRendering();
    await new Promise((resume) => setTimeout(resume, 200));
    return { faults, received: [0, 1].map((channel) => rendered.getChannelData(channel)[0]) };
  }, { wasm: faultyWasm, folders });
  // The other build calls an export that no module has.
  assert.deepEqual(seen.received, [1, 0]);
  assert.equal(seen.faults.length, 1);
  assert.match(seen.faults[0], /^1: .*processor_other is not a function/);
});

test('two builds of the package on one context: taps and feeds of both', async () => {
  const seen = await page.evaluate(async (folders) => {
    const context = new AudioContext();
    const builds = [];
    for (const folder of folders) {
      const { Wavepool } = await import(`${folder}/index.js`);
      const wavepool = await Wavepool.create();
      const feed = await wavepool.feed(context, { channels: 1, frames: 512 });
      const tap = await wavepool.tap(feed.node, { window: 256, hop: 256, channels: 1 });
      builds.push({ wavepool, feed, tap, level: builds.length + 1 });
    }
    return Promise.all(builds.map(async ({ wavepool, feed, tap, level }) => {
      const writing = (async () => {
        for await (const block of feed.blocks()) block.channel(0).fill(level);
      })();
      let received = 0;
      for await (const block of tap.blocks()) if ((received = block.channel(0)[255]) === level) break;
      feed.close();
      await writing;
      await tap.close();
      return { received, ...(await wavepool.close()) };
    }));
  }, folders);
  assert.deepEqual(seen, [{ received: 1, leaked: 0 }, { received: 2, leaked: 0 }]);
});

test('a worklet file of another build is refused, and the error says so', async () => {
  const refused = await page.evaluate(async ({ wasm, folders: [, other] }) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const context = new OfflineAudioContext({ length: 128, sampleRate: 48_000 });
    return openProcessor(context, { wasm, workletUrl: `${other}/worklet.js` }).then(() => 'opened', ({ code, message }) => `${code}: ${message}`);
  }, { wasm: faultyWasm, folders });
  assert.match(refused, /^worklet-failed: The worklet file that was loaded has no "wavepool-processor .*another version/);
});

for (const source of ['an address', 'bytes', 'a module']) {
  test(`memories of closed processors are used again: 300 quick rounds from ${source}`, async () => {
    const seen = await page.evaluate(async ({ wasm, source }) => {
      const { openProcessor, Wavepool } = await import('/web/lib/dist/index.js');
      const context = new AudioContext();
      await context.suspend();
      const bytes = await (await fetch(wasm)).arrayBuffer();
      const module = await WebAssembly.compile(bytes);
      const given = { 'an address': () => wasm, bytes: () => bytes.slice(0), 'a module': () => module }[source];
      const faults = [];
      for (let round = 0; round < 300; round++) {
        const processor = await openProcessor(context, { wasm: given() });
        processor.onFault = (message) => faults.push(message);
        processor.close();
      }
      const last = await openProcessor(context, { wasm: given(), channels: 1 });
      last.onFault = (message) => faults.push(message);
      const analyser = new AnalyserNode(context);
      const tone = new ConstantSourceNode(context);
      tone.connect(last.node).connect(analyser);
      tone.start();
      await context.resume();
      const samples = new Float32Array(128);
      const mayStop = performance.now() + 5000;
      while (samples[127] !== 1 && performance.now() < mayStop) {
        await new Promise((resume) => setTimeout(resume, 20));
        analyser.getFloatTimeDomainData(samples);
      }
      const wavepool = await Wavepool.create();
      const { leaked } = await wavepool.close();
      await context.close();
      return { faults, received: samples[127], leaked };
    }, { wasm: faultyWasm, source });
    assert.deepEqual(seen, { faults: [], received: 1, leaked: 0 });
  });
}

test('one processor panics, in Rust: its message is reported, it is silent from then on, and the other plays on', async () => {
  const seen = await page.evaluate(async (wasm) => {
    const { openProcessor } = await import('/web/lib/dist/index.js');
    const quantum = 128;
    const context = new OfflineAudioContext({ numberOfChannels: 2, length: 200 * quantum, sampleRate: 48_000 });
    const source = new ConstantSourceNode(context);
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    const [one, other] = await Promise.all([0, 1].map(() => openProcessor(context, { wasm, channels: 1 })));
    const faults = [];
    const reported = new Promise((resolve) => (one.onFault = resolve));
    other.onFault = (message) => faults.push(message);
    [one, other].forEach((processor, input) => source.connect(processor.node).connect(merger, 0, input));
    merger.connect(context.destination);
    one.parameters.get('fault').setValueAtTime(1, (100 * quantum) / 48_000);
    source.start();
    const rendered = await context.startRendering();
    const loudFrames = (channel) => rendered.getChannelData(channel).reduce((sum, sample) => sum + (sample === 1), 0) / quantum;
    return { message: await reported, faults, loud: [loudFrames(0), loudFrames(1)] };
  }, faultyWasm);
  assert.match(seen.message, /panicked at .*lib\.rs:\d+:\d+:\nmade to fail with 128 samples of scratch/);
  assert.deepEqual([seen.faults, seen.loud], [[], [100, 200]]);
});
