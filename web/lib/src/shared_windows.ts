import { KeptViews } from './kept_views.ts';
import type { ReaderExports } from './reader_exports.ts';
import { refusalAt } from './refusal.ts';
import { doze, nap } from './nap.ts';
import type { WindowSource } from './window_source.ts';

/** Looks at the queue within one turn of a worker's. */
const LOOKS = 8;

/** Shared mode: windows are leased out of the memory that the audio thread filled. */
export class SharedWindows implements WindowSource {
  /** The reader must not be touched then: its memory may be somebody else's. */
  closed = false;
  private readonly exports: ReaderExports;
  private readonly reader: number;
  private readonly memory: WebAssembly.Memory;
  private readonly frames: number;
  private readonly views: KeptViews;
  private told = 0;
  /** A window leased while looking out for one. */
  private found = 0;

  constructor(exports: ReaderExports, reader: number, memory: WebAssembly.Memory, frames: number) {
    this.exports = exports;
    this.reader = reader;
    this.memory = memory;
    this.frames = frames;
    this.views = new KeptViews(memory);
  }

  take(): number {
    if (this.closed) return 0;
    const lease = this.found || this.exports.reader_take(this.reader);
    this.found = 0;
    return lease;
  }

  firstFrame(lease: number): number {
    const frame = this.exports.reader_first_frame(this.reader, lease);
    if (frame < 0) throw this.refused();
    return frame;
  }

  channel(lease: number, channel: number): Float32Array {
    // WebAssembly would cut 0.5 down to 0.
    const address = this.exports.reader_address(this.reader, lease, channel >>> 0 === channel ? channel : -1);
    if (address === 0) throw this.refused();
    const view = this.views.at(address, this.frames);
    if (this.views.made !== this.told) this.tell();
    return view;
  }

  release(lease: number): void {
    if (this.exports.reader_release(this.reader, lease) !== 0) throw this.refused();
  }

  /**
   * The worklet wakes nobody, which would be a system call: whoever waits looks again and again. A worker does so some times
   * before it gives up its turn, which would let the window wait as long again.
   */
  arrival(): Promise<void> {
    for (let looks = LOOKS; looks > 0 && doze(); looks--) {
      this.found = this.take();
      if (this.found !== 0) return Promise.resolve();
    }
    return nap();
  }

  /** What is still leased goes home with the reader, which the host takes back. */
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  private tell(): void {
    this.told = this.views.made;
    this.exports.reader_views(this.reader, this.told);
  }

  private refused(): Error {
    return refusalAt(this.memory, this.exports.reader_refusal(this.reader));
  }
}
