/** Processors written in Rust: every way in which their use begins and ends. The test serves `faulty.wasm`. */
import { openProcessor, type Mode, type Processor } from '../../lib/src/index.ts';
import { inTurn, type Lifetime } from './lifetimes.ts';
import { Probe } from './probe.ts';

const ABREAST = 4;
const wasm = new URL('faulty.wasm', location.href);
const QUANTUM = 128;

/** Opened, closed, closed twice, closed while opening, and trapped, in a context that goes on. */
export async function processors(_: Mode): Promise<Lifetime> {
  const context = new AudioContext();
  const probe = await Probe.load(context);
  const source = new ConstantSourceNode(context);
  source.start();
  const others: string[] = [];
  const open = async (): Promise<Processor> => {
    const processor = await openProcessor(context, { wasm, channels: 1 });
    processor.onFault = (message) => others.push(message);
    return processor;
  };
  const play = async (): Promise<Processor> => {
    const processor = await open();
    source.connect(processor.node).connect(context.destination);
    return processor;
  };
  const end = (processor: Processor): void => {
    try {
      source.disconnect(processor.node);
    } catch {
      // It was never connected.
    }
    processor.close();
  };
  const ways: (() => Promise<void>)[] = [
    async () => end(await open()),
    async () => end(await play()),
    async () => {
      const processor = await play();
      await pause(10);
      end(processor);
      end(processor);
    },
    async () => {
      const processor = await play();
      const fault = new Promise((resolve) => (processor.onFault = resolve));
      processor.parameters.get('fault')!.value = 1;
      await fault;
      end(processor);
    },
    async () => {
      const opening = Promise.all([open(), open()]);
      for (const processor of await opening) end(processor);
    },
    async () => {
      using processor = await open();
      processor.node.connect(context.destination);
    },
  ];
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, (number) => ways[number % ways.length]!()),
    count: async () => ({ called: await probe.called() }),
    end: async () => {
      const { instances } = await probe.look();
      await context.close();
      return { others, instances };
    },
  };
}

/** A context is closed, or has rendered, with processors in it, some of which were closed before. */
export async function processorsOfContextsThatClose(_: Mode): Promise<Lifetime> {
  const faults: string[] = [];
  const play = async (context: BaseAudioContext): Promise<Processor> => {
    const processor = await openProcessor(context, { wasm, channels: 1 });
    processor.onFault = (message) => faults.push(message);
    const source = new ConstantSourceNode(context);
    source.connect(processor.node).connect(context.destination);
    source.start();
    return processor;
  };
  const ways: (() => Promise<void>)[] = [
    async () => {
      const context = new OfflineAudioContext({ length: 8 * QUANTUM, sampleRate: 48_000 });
      await play(context);
      const rendered = await context.startRendering();
      if (rendered.getChannelData(0)[QUANTUM] !== 1) faults.push('no sound');
    },
    async () => {
      const context = new AudioContext();
      await play(context);
      await context.close();
    },
    async () => {
      const context = new AudioContext();
      const processor = await play(context);
      processor.close();
      await context.close();
      processor.close();
    },
  ];
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, (number) => ways[number % ways.length]!()),
    count: async () => ({}),
    end: async () => ({ faults }),
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
