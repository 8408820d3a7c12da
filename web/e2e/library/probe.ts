/** What the audio thread of a context does, as a page sees it. */
import type { Probed } from './probe_worklet.ts';
import file from './probe_worklet.ts?worker&url';

const QUANTUM = 128;

/** Load it before anything of the library's. */
export class Probe {
  private readonly node: AudioWorkletNode;

  private constructor(node: AudioWorkletNode) {
    this.node = node;
  }

  static async load(context: BaseAudioContext): Promise<Probe> {
    await context.audioWorklet.addModule(file);
    const node = new AudioWorkletNode(context, 'probe');
    node.connect(context.destination);
    return new Probe(node);
  }

  look(): Promise<Probed> {
    return new Promise((resolve) => {
      this.node.port.onmessage = ({ data }: MessageEvent<Probed>) => resolve(data);
      this.node.port.postMessage(null);
    });
  }

  /** Processors that the audio thread calls in each quantum, on average over a tenth of a second. */
  async called(): Promise<number> {
    const before = await this.look();
    await new Promise((resume) => setTimeout(resume, 100));
    const after = await this.look();
    return Math.round((QUANTUM * (after.calls - before.calls)) / (after.frame - before.frame));
  }
}
