import { LatencyKeeper } from './feed_latency.ts';
import type { FeedFormat, FeedOptions, FeedState, FromFeed, ToFeed } from '../shared/feed_protocol.ts';
import { MessageSupply, RingSupply, type FeedSupply } from './feed_supply.ts';

/** Frames of a fade at missing blocks: too few to be noticed as a fade, enough to make no click. */
// See `docs/decisions/0038-feed-underruns-fade.md`.
const FADE_FRAMES = 64;
/** The time between two reports of changed counts to the page and the writer, if there was no underrun. */
const REPORT_SECONDS = 0.25;

/**
 * The processor of a feed. When a block is missing, the last sample is repeated and fades out to silence; the next block fades in, and
 * only after the fade out has ended, so that no underrun makes a step. Frames are dropped only during silence.
 */
export class FeedProcessor extends AudioWorkletProcessor {
  private readonly format: FeedFormat;
  /** Transfer mode: null until the port has arrived. */
  private supply: FeedSupply | null = null;
  /** Live feeds only. */
  private readonly keeper: LatencyKeeper | null;
  /** The last sample of each channel, before the fade; always finite. */
  private readonly last: Float32Array;
  /** Number of frames of the current block that were played. */
  private at = 0;
  /** The fade: 0 is silence, `FADE_FRAMES` the full amplitude. */
  private level = 0;
  private falling = false;
  /** Frames to drop at the next silence. */
  private excess = 0;
  private closed = false;
  private underruns = 0;
  private lateFrames = 0;
  /** Frames since the last report, and the counts in it. */
  private sinceReport = 0;
  private readonly reportFrames: number;
  private reportedUnderruns = 0;
  private reportedLate = 0;
  private reportedBuffered = 0;

  constructor(options: { processorOptions: FeedOptions }) {
    super();
    const { format, ring } = options.processorOptions;
    this.format = format;
    if (ring) this.supply = new RingSupply(ring, format);
    this.keeper = format.live ? new LatencyKeeper(format) : null;
    this.last = new Float32Array(format.channels);
    this.reportFrames = REPORT_SECONDS * format.sampleRate;
    this.port.onmessage = ({ data }: MessageEvent<ToFeed>) => this.receive(data);
  }

  process(_: Float32Array[][], outputs: Float32Array[][]): boolean {
    // The page has disconnected the node; false allows the browser to collect it.
    if (this.closed) return false;
    const supply = this.supply;
    if (supply === null) return true;
    // Read before the blocks: the writer stores its last block first, then that it has ended.
    const ended = supply.ended();
    const output = outputs[0]!;
    const frames = output[0]!.length;
    let frame = this.keeper === null ? 0 : this.keep(this.keeper, supply, output, frames, ended);
    while (frame < frames) frame = this.play(supply, output, frame, frames, ended);
    this.report(supply, frames);
    if (!ended || this.level > 0 || supply.waiting() > 0) return true;
    this.say({ kind: 'ended' });
    this.close();
    return false;
  }

  private receive(message: ToFeed): void {
    if (message.kind === 'port') this.supply = new MessageSupply(message.port, this.format);
    else if (message.kind === 'end') this.supply?.end();
    else this.close();
  }

  private close(): void {
    this.closed = true;
    this.supply?.close();
    this.port.close();
  }

  /** Live feeds, once a quantum: drops late frames; returns the frame at which the sound begins. */
  private keep(keeper: LatencyKeeper, supply: FeedSupply, output: Float32Array[], frames: number, ended: boolean): number {
    const buffered = this.buffered(supply);
    if (this.level === 0 && buffered === 0) keeper.rest();
    if (keeper.playing) {
      if (this.excess === 0 && !ended) this.excess = keeper.excess(buffered, frames);
      if (this.excess > 0 && this.level > 0) this.falling = true;
      else this.dropExcess(supply);
      return 0;
    }
    this.drop(supply, keeper.settle(buffered, frames));
    silence(output, 0, keeper.silent);
    return keeper.silent;
  }

  /** Plays up to the end of the block, of a fade, or of the quantum; returns the next frame. */
  private play(supply: FeedSupply, output: Float32Array[], frame: number, frames: number, ended: boolean): number {
    const block = this.falling ? null : supply.current();
    if (block !== null) return this.take(supply, block, output, frame, frames);
    if (this.level > 0) return this.fall(supply, output, frame, frames, ended);
    silence(output, frame, frames);
    return frames;
  }

  private take(supply: FeedSupply, block: readonly Float32Array[], output: Float32Array[], frame: number, frames: number): number {
    const length = this.format.frames;
    const count = Math.min(length - this.at, frames - frame);
    for (let channel = 0; channel < block.length; channel++) {
      const from = block[channel]!;
      const to = output[channel]!;
      let sample = 0;
      for (let i = 0; i < count; i++) {
        sample = from[this.at + i]!;
        // NaN and infinities would stay in the state of every filter that they reach.
        // See `docs/decisions/0031-infinite-and-nan-samples.md`.
        if (sample - sample !== 0) sample = 0;
        const level = this.level + i + 1;
        to[frame + i] = level < FADE_FRAMES ? (sample * level) / FADE_FRAMES : sample;
      }
      this.last[channel] = sample;
    }
    this.level = Math.min(this.level + count, FADE_FRAMES);
    this.advance(supply, count);
    return frame + count;
  }

  /** Fades out; late frames are dropped at the end. */
  private fall(supply: FeedSupply, output: Float32Array[], frame: number, frames: number, ended: boolean): number {
    if (!this.falling) {
      this.falling = true;
      if (!ended) this.underruns += 1;
    }
    const count = Math.min(this.level, frames - frame);
    for (let channel = 0; channel < output.length; channel++) {
      const to = output[channel]!;
      const last = this.last[channel]!;
      for (let i = 0; i < count; i++) to[frame + i] = (last * (this.level - i - 1)) / FADE_FRAMES;
    }
    this.level -= count;
    if (this.level > 0) return frame + count;
    this.falling = false;
    if (this.excess > 0) this.dropExcess(supply);
    else if (this.keeper !== null) {
      // A live feed that ran dry settles before it plays on, from the next quantum.
      this.keeper.rest();
      silence(output, frame + count, frames);
      return frames;
    }
    return frame + count;
  }

  private dropExcess(supply: FeedSupply): void {
    this.drop(supply, this.excess);
    this.excess = 0;
  }

  private drop(supply: FeedSupply, count: number): void {
    for (let left = count; left > 0 && supply.waiting() > 0; ) {
      const part = Math.min(left, this.format.frames - this.at);
      this.advance(supply, part);
      this.lateFrames += part;
      left -= part;
    }
  }

  private advance(supply: FeedSupply, count: number): void {
    this.at += count;
    if (this.at < this.format.frames) return;
    this.at = 0;
    supply.next();
  }

  private buffered(supply: FeedSupply): number {
    return supply.waiting() * this.format.frames - this.at;
  }

  /** Reports changed counts: at once at an underrun, which is audible anyway, and otherwise rarely, because a message is garbage. */
  private report(supply: FeedSupply, frames: number): void {
    this.sinceReport += frames;
    const { underruns, lateFrames } = this;
    const bufferedFrames = supply.reportsBuffered ? this.buffered(supply) : 0;
    if (underruns === this.reportedUnderruns && this.sinceReport < this.reportFrames) return;
    this.sinceReport = 0;
    if (underruns === this.reportedUnderruns && lateFrames === this.reportedLate && bufferedFrames === this.reportedBuffered) return;
    this.reportedUnderruns = underruns;
    this.reportedLate = lateFrames;
    this.reportedBuffered = bufferedFrames;
    const state: FeedState = { underruns, lateFrames, bufferedFrames };
    supply.report(state);
    this.say({ kind: 'state', state });
  }

  private say(message: FromFeed): void {
    this.port.postMessage(message);
  }
}

function silence(output: Float32Array[], from: number, to: number): void {
  for (let channel = 0; channel < output.length; channel++) output[channel]!.fill(0, from, to);
}
