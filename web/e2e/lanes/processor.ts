/** Publishes on the audio thread, in each quantum to every lane, and marks in the trace when. */
import { instantiateBare } from '../../lib/src/shared/instance.ts';
import { FLOOD, LANES_PROCESSOR, QUANTUM, type LanesDone, type LanesOptions } from './protocol.ts';

class LanesProcessor extends AudioWorkletProcessor {
  private readonly publish: (quantum: number, flood: number) => number;
  private readonly words: Int32Array;
  private readonly quanta: number;
  private quantum = 0;
  private dropped = 0;

  constructor(options: { processorOptions: LanesOptions }) {
    super();
    const { module, memory, words, quanta } = options.processorOptions;
    this.publish = instantiateBare(module, memory)['lanes_publish'] as typeof this.publish;
    this.words = words;
    this.quanta = quanta;
  }

  process(): boolean {
    if (this.quantum === this.quanta) {
      this.port.postMessage({ dropped: this.dropped } satisfies LanesDone);
      return false;
    }
    this.quantum += 1;
    console.timeStamp(`quantum ${this.quantum}`);
    Atomics.store(this.words, QUANTUM, this.quantum);
    this.dropped += this.publish(this.quantum, FLOOD);
    return true;
  }
}

registerProcessor(LANES_PROCESSOR, LanesProcessor);
