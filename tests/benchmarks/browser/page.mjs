// The page of the benchmark: builds one implementation's graph, runs it offline or in real time, and tells what arrived.
import { RingBuffer } from '/node_modules/ringbuf.js/dist/index.mjs';
import { cells, channels, lane, period, proof, quantum, sampleRate, slots, window as windowFrames } from './format.mjs';
import { memory as freeQueueMemory } from './free_queue.mjs';

const module = await WebAssembly.compileStreaming(fetch('/target/boundary/shapes_bg.wasm'));
/** Frames that wait for the consumer at most. */
const waiting = slots * windowFrames;
/** Quanta between two rests of an offline context: the consumer catches up, as it does in real time. */
const stride = 64;

const posted = (transferred) => {
  const { port1, port2 } = new MessageChannel();
  return node('Poster', { transferred }, { kind: 'messages', port: port2 }, port1);
};
const shape = (name) => {
  const memory = lane();
  return node('Shape', { module, shape: name, memory }, { kind: 'lane', memory });
};
const ringbuf = () => {
  const memory = RingBuffer.getStorageForCapacity(waiting * channels, Float32Array);
  return node('RingbufJs', { memory }, { kind: 'ringbuf', memory });
};
const freeQueue = () => {
  const memory = freeQueueMemory(channels, waiting);
  return node('FreeQueueWriter', { memory }, { kind: 'freeQueue', memory });
};
const cost = (kind) => node('Cost', { kind }, null);
/** The page sends every buffer back; a rest waits until all of them are. */
const messageCost = () => {
  const counts = new Int32Array(new SharedArrayBuffer(8));
  return {
    // Enough for two times as many quanta as there are between two rests.
    ...node('MessageCost', { blocks: 16 * stride, counts: counts.buffer }, null),
    heard: (port) => (port.onmessage = ({ data }) => port.postMessage(data, [data])),
    settled: () => Atomics.load(counts, 0) === Atomics.load(counts, 1),
  };
};

/** Ours, as a page uses it: the tap is handed over to the worker. `workletUrl` is for the check that must trip. */
const ours = (mode, workletUrl) => ({
  async open() {
    const { Wavepool } = await import('/web/lib/dist/index.js');
    wavepool = await Wavepool.create({ mode, ...(workletUrl && { workletUrl }) });
    wavepool.onSnapshot(({ streams }) => (home = streams[0]?.windows ?? 0));
    const tap = await wavepool.tap(source, { window: windowFrames, hop: windowFrames, channels });
    const ticket = tap.handOver();
    await worker({ kind: 'ours', ticket }, ticket.ports);
  },
  /** Blocks take a way home, and only so many are on it. */
  returned: mode === 'transfer',
  async close() {
    return (await wavepool.close()).leaked;
  },
});

/** Each makes the audio side between `source` and the destination. */
const implementations = {
  baseline: node('Baseline', {}, null),
  'ours-shared': () => ours('shared'),
  'ours-transfer': () => ours('transfer'),
  'ours-shared with subarray': () => ours('shared', '/target/boundary/worklet_with_subarray.js'),
  'wasm-bindgen-vec': () => shape('wasm-bindgen-vec'),
  'wasm-bindgen-mut-slice': () => shape('wasm-bindgen-mut-slice'),
  'ringbuf.js': ringbuf,
  'free-queue': freeQueue,
  'post-message': () => posted(false),
  'post-message transferred': () => posted(true),
  'stress ours': node('Stress', { module, shape: 'ours' }, null),
  'stress wasm-bindgen-vec': node('Stress', { module, shape: 'wasm-bindgen-vec' }, null),
  'cost nothing': () => cost('nothing'),
  'cost view': () => cost('view'),
  'cost message': messageCost,
  'cost array': () => cost('array'),
};

function node(processor, processorOptions, consumer, port = null) {
  return { processor, processorOptions, consumer, port };
}

const counts = new Int32Array(new SharedArrayBuffer(12));
/** Bytes that the worklet's thread has made, if that is counted. */
const made = new Int32Array(new SharedArrayBuffer(4));
const workers = [];
/** Windows whose buffers are home again. */
let home = 0;
let context, implementation, offline, rendered, source, stressTimer, wavepool;

async function worker(message, transfer = []) {
  const started = new Worker(new URL('./consumer.mjs', import.meta.url), { type: 'module', name: `benchmark ${message.kind}` });
  workers.push(started);
  const ready = new Promise((resolve, reject) => {
    started.onmessage = resolve;
    started.onerror = (event) => reject(new Error(event.message));
  });
  started.postMessage({ ...message, counts: counts.buffer }, transfer);
  await ready;
}

/** Stereo whose every sample is known. */
function knownSource() {
  const buffer = new AudioBuffer({ numberOfChannels: channels, length: period, sampleRate });
  const ramp = Float32Array.from({ length: period }, (_, i) => i);
  buffer.copyToChannel(ramp, 0);
  buffer.copyToChannel(ramp.map((sample) => -sample), 1);
  return new AudioBufferSourceNode(context, { buffer, loop: true });
}

const yieldTurn = () => new Promise((resume) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = resume;
  port2.postMessage(null);
});

const windowsOf = (quanta) => Math.floor((quanta * quantum) / windowFrames);

/** Waits until every window of the frames rendered so far has been looked at. */
const drained = (quanta) =>
  until(() => Atomics.load(counts, cells.windows) >= windowsOf(quanta), () => `${counts[cells.windows]} of ${windowsOf(quanta)} windows were delivered`);

async function until(done, trouble) {
  const start = performance.now();
  while (!done()) {
    if (performance.now() - start > 5000) throw new Error(trouble());
    await yieldTurn();
  }
}

/** Suspends after `quanta`; resolves when it rests there. */
const restAt = (quanta) => context.suspend((quanta * quantum) / sampleRate);

globalThis.bench = {
  /** Makes the graph and lets it run for `warm` quanta (offline) or a second. */
  async prepare({ name, quanta, warm, stressed, counting }) {
    implementation = implementations[name];
    if (!implementation) throw new Error(`there is no implementation ${name}`);
    if (typeof implementation === 'function') implementation = implementation();
    offline = quanta ?? 0;
    context = offline
      ? new OfflineAudioContext({ numberOfChannels: 1, length: offline * quantum, sampleRate })
      : new AudioContext({ sampleRate });
    if (counting) await this.count();
    source = knownSource();
    await (implementation.open ? implementation.open() : this.connect());
    if (stressed) await this.stress();
    source.start();
    if (!offline) return new Promise((resume) => setTimeout(resume, 1000));
    this.at = stride;
    const resting = restAt(stride);
    rendered = context.startRendering();
    await resting;
    await this.advance(warm);
  },

  async connect() {
    const { processor, processorOptions, consumer, port } = implementation;
    await context.audioWorklet.addModule(new URL('./worklets.mjs', import.meta.url));
    if (consumer) await worker(consumer, consumer.port ? [consumer.port] : []);
    const options = { channelCount: channels, channelCountMode: 'explicit', processorOptions };
    const audio = new AudioWorkletNode(context, processor, options);
    audio.onprocessorerror = () => (counts[cells.wrong] += 1);
    if (port) {
      // The processor says that it has it: an offline context does not wait for messages.
      const taken = new Promise((resolve) => (audio.port.onmessage = resolve));
      audio.port.postMessage(port, [port]);
      await taken;
    }
    implementation.heard?.(audio.port);
    source.connect(audio).connect(context.destination);
  },

  /** Offline: to `until` quanta, resting every few so that the consumer keeps up. */
  async advance(until) {
    while (this.at < until) {
      this.at = Math.min(this.at + stride, until);
      const resting = restAt(this.at);
      await context.resume();
      await resting;
      await this.rest();
    }
  },

  /** Until every window rendered so far was delivered. */
  async rest() {
    if (implementation.open || implementation.consumer) await drained(this.at);
    if (implementation.settled) await until(() => implementation.settled(), () => 'messages did not come back');
    // Three strides are twelve blocks: twenty-four there are, and seven may wait to go home.
    if (implementation.returned && (this.at / stride) % 3 === 0) {
      await until(() => home >= windowsOf(this.at), () => `${home} of ${windowsOf(this.at)} buffers came back`);
    }
  },

  mark(text) {
    console.timeStamp(text);
  },

  /** From here on what the worklet's thread makes is counted. */
  async count() {
    await context.audioWorklet.addModule(new URL('./made.mjs', import.meta.url));
    new AudioWorkletNode(context, 'Made', { processorOptions: { made: made.buffer } }).connect(context.destination);
  },

  /** Bytes of arrays and of what messages copied, so far. */
  made() {
    return Atomics.load(made, 0);
  },

  /** Quanta so far, in real time. */
  quanta() {
    return (context.currentTime * sampleRate) / quantum;
  },

  /** The page collects hard, and a worker keeps a core busy. */
  async stress() {
    await worker({ kind: 'busy' });
    let kept = [];
    stressTimer = setInterval(() => {
      kept = Array.from({ length: 50_000 }, (_, i) => ({ i, was: kept[i] === undefined }));
    }, 4);
  },

  /** Copies of each sample on its way to a worker, in shared mode. */
  async copies() {
    const { Wavepool } = await import('/web/lib/dist/index.js');
    context = new AudioContext({ sampleRate });
    const found = new Int32Array(new SharedArrayBuffer(16));
    await context.audioWorklet.addModule(new URL('./copies.mjs', import.meta.url));
    new AudioWorkletNode(context, 'Watch', { processorOptions: { counts: found.buffer } }).connect(context.destination);
    wavepool = await Wavepool.create({ mode: 'shared' });
    source = knownSource();
    source.start();
    const tap = await wavepool.tap(source, { window: windowFrames, hop: windowFrames, channels });
    const ticket = tap.handOver();
    await worker({ kind: 'proof', ticket, proofCounts: found.buffer }, ticket.ports);
    const pause = () => new Promise((resume) => setTimeout(resume, 1000));
    // Both counts of one quantum: the next is some milliseconds away.
    const counted = () => {
      for (;;) {
        const quanta = Atomics.load(found, proof.quanta);
        const samples = found[proof.samples];
        if (Atomics.load(found, proof.quanta) === quanta) return { quanta, samples };
      }
    };
    await pause();
    const from = counted();
    await pause();
    const to = counted();
    await tap.close();
    await wavepool.close();
    await context.close();
    if (found[proof.seen] !== 1) throw new Error('what the worker wrote was not seen where the window had been copied to');
    return (to.samples - from.samples) / ((to.quanta - from.quanta) * quantum * channels);
  },

  /** Ends everything; what was delivered. */
  async finish() {
    clearInterval(stressTimer);
    const underruns = context.playbackStats?.underrunEvents ?? null;
    if (offline) {
      await context.resume();
      await rendered;
      this.at = offline;
      await this.rest();
    }
    const leaked = implementation.close ? await implementation.close() : 0;
    if (!offline) await context.close();
    Atomics.store(counts, cells.stop, 1);
    await new Promise((resume) => setTimeout(resume, 50));
    for (const one of workers) one.terminate();
    return { windows: counts[cells.windows], wrong: counts[cells.wrong], leaked, underruns };
  },
};

document.body.dataset.ready = 'yes';
