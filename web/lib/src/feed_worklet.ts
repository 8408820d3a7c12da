import type { FeedOptions, FromFeed, ToFeed } from './feed_protocol.ts';
import { MessageSupply, RingSupply, type FeedSupply } from './feed_supply.ts';

/** Frames in which sound comes and goes where blocks are missing: short enough to be no effect, long enough not to click. */
const FADE_FRAMES = 64;

/**
 * The audio side of a feed. When a block is missing the last sample is held while it fades out, then there is silence; what
 * comes after fades in, and only once the fade out is over: so no underrun makes a step.
 */
export class FeedProcessor extends AudioWorkletProcessor {
  /** Transfer mode: null until the port has come. */
  private supply: FeedSupply | null = null;
  /** The last sample of each channel, before the fade. */
  private readonly last: Float32Array;
  /** Frames into the block at hand. */
  private at = 0;
  /** 0 is silent, `FADE_FRAMES` is all there. */
  private level = 0;
  private falling = false;
  private underruns = 0;

  constructor(options: { processorOptions: FeedOptions }) {
    super();
    const { format, ring } = options.processorOptions;
    if (ring) this.supply = new RingSupply(ring, format);
    this.port.onmessage = ({ data }: MessageEvent<ToFeed>) => (this.supply = new MessageSupply(data.port, format));
    this.last = new Float32Array(format.channels);
  }

  process(_: Float32Array[][], outputs: Float32Array[][]): boolean {
    const output = outputs[0]!;
    const frames = output[0]!.length;
    const supply = this.supply;
    if (supply === null) return true;
    for (let frame = 0; frame < frames; frame++) this.play(supply, output, frame);
    if (this.level > 0 || supply.current() !== null || !supply.ended()) return true;
    this.say({ kind: 'ended' });
    return false;
  }

  private play(supply: FeedSupply, output: Float32Array[], frame: number): void {
    const block = this.falling ? null : supply.current();
    if (block === null) this.fall(supply);
    else this.take(supply, block);
    const gain = this.level / FADE_FRAMES;
    for (let channel = 0; channel < output.length; channel++) output[channel]![frame] = this.last[channel]! * gain;
  }

  private take(supply: FeedSupply, block: readonly Float32Array[]): void {
    if (this.level < FADE_FRAMES) this.level += 1;
    for (let channel = 0; channel < block.length; channel++) this.last[channel] = block[channel]![this.at]!;
    this.at += 1;
    if (this.at < block[0]!.length) return;
    this.at = 0;
    supply.next();
  }

  private fall(supply: FeedSupply): void {
    if (!this.falling && this.level > 0) {
      this.falling = true;
      // A message is garbage, but here the sound is broken already.
      if (!supply.ended()) this.say({ kind: 'underrun', underruns: ++this.underruns });
    }
    if (this.level > 0) this.level -= 1;
    if (this.level === 0) this.falling = false;
  }

  private say(message: FromFeed): void {
    this.port.postMessage(message);
  }
}
