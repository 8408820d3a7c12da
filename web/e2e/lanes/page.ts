/** The product as it ships, a tone and its analysis included; beside it a worklet that publishes to every lane. */
import { Wavepool } from '../../lib/src/index.ts';
import { compile } from '../../lib/src/page/wasm_source.ts';
import lanesWasm from './wasm/wavepool_bg.wasm?url';
import { LANES_PROCESSOR, type LanesDone, type LanesOptions } from './protocol.ts';
import processorFile from './processor.ts?worker&url';

const SETTLE_MS = 1000;
/** After the last quantum: what is still under way arrives, or never does. */
const PATIENCE_MS = 1000;

/** Everything but what is measured; what `prepare` gives measures for so many seconds. */
async function prepare(): Promise<(seconds: number) => Promise<{ quanta: number; dropped: number }>> {
  const module = await compile('shared', lanesWasm);
  const pool = await Wavepool.create({ mode: 'shared', wasm: module });
  const context = new AudioContext();
  const tone = new OscillatorNode(context, { frequency: 220 });
  tone.start();
  await pool.tuner(tone, { window: 4096, hop: 1024, channels: 1 });
  await context.audioWorklet.addModule(processorFile);

  const words = new Int32Array(new SharedArrayBuffer(8));
  const floor = new Worker(new URL('./floor.ts', import.meta.url), { type: 'module', name: 'floor' });
  floor.postMessage(words);
  await pause(SETTLE_MS);
  return (seconds) => run({ pool, context, module, words, floor }, seconds);
}

interface Stage {
  readonly pool: Wavepool;
  readonly context: AudioContext;
  readonly module: WebAssembly.Module;
  readonly words: Int32Array;
  readonly floor: Worker;
}

async function run({ pool, context, module, words, floor }: Stage, seconds: number): Promise<{ quanta: number; dropped: number }> {
  const quanta = Math.round((seconds * context.sampleRate) / 128);
  const options: LanesOptions = { module, memory: memoryOf(pool), words, quanta };
  const node = new AudioWorkletNode(context, LANES_PROCESSOR, { processorOptions: options });
  const done = new Promise<LanesDone>((resolve, reject) => {
    node.port.onmessage = (event: MessageEvent<LanesDone>) => resolve(event.data);
    node.onprocessorerror = () => reject(new Error('the measuring worklet failed'));
  });
  node.connect(context.destination);
  const { dropped } = await done;
  await pause(PATIENCE_MS);
  floor.terminate();
  await pool.close();
  return { quanta, dropped };
}

/** The one thing of the pool that a page has no use for. */
function memoryOf(pool: Wavepool): WebAssembly.Memory {
  const { memory } = pool['wasm'];
  if (memory === null) throw new Error('the pool does not run on shared memory');
  return memory;
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}

Object.assign(window, { lanes: { prepare } });
