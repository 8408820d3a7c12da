// The tuner without a pool, for comparison: the sounds, windows and pitch detector of the product's page.
import { analysis } from '../../app/src/session.ts';
import { openFile, openTone } from '../../app/src/sources.ts';
import wasm from './wasm/wavepool_bg.wasm?url';
import processorFile from './processor.mjs?worker&url';

const A4 = 69;
const { window: frames, hop } = analysis;

let context, source, worker;

/** Plays the chosen file, or a tone, into the tuner. */
async function play() {
  context = new AudioContext();
  const module = await WebAssembly.compileStreaming(fetch(wasm));
  await context.audioWorklet.addModule(processorFile);
  const setup = { module, window: frames, hop };
  const node = new AudioWorkletNode(context, 'unpooled-tuner', { processorOptions: setup, channelCount: 1, channelCountMode: 'explicit', numberOfOutputs: 0 });
  worker = new Worker(new URL('./worker.mjs', import.meta.url), { type: 'module', name: 'unpooled tuner' });
  const { port1, port2 } = new MessageChannel();
  node.port.postMessage(port1, [port1]);
  worker.postMessage({ ...setup, sampleRate: context.sampleRate, port: port2 }, [port2]);

  const [file] = document.querySelector('#file-input').files;
  source = file ? await openFile(context, file, frames) : openTone(context, A4);
  source.node.connect(node);
  source.start(() => undefined);
}

/** What was found so far. */
function result() {
  const answer = new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
  worker.postMessage(null);
  return answer;
}

async function stop() {
  source.release();
  worker.terminate();
  await context.close();
}

Object.assign(window, { unpooled: { play, result, stop } });
