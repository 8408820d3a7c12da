import { KeptViews } from '../shared/kept_views.ts';
import { sleepBriefly, mayBlock, yieldAndSleep } from './brief_sleep.ts';
import type { Leave } from '../shared/protocol.ts';
import type { ReaderExports } from '../generated/exports.ts';
import { refusalAt } from '../shared/refusal.ts';
import { Sleeper, type WakeLane } from '../shared/wake.ts';
import type { WindowSource } from './window_source.ts';

/** How often a worker polls the queue within one turn of its event loop. */
const POLLS = 8;

/** Shared mode: windows are leased in the memory into which the audio thread has copied them. */
export class SharedWindows implements WindowSource {
  /** The reader is not called any more: another object may have its memory. */
  closed = false;
  /** `leave` was called. The audio side has stopped by then, so that the queue only gets shorter. */
  ended = false;
  taken = 0;
  released = 0;
  private readonly exports: ReaderExports;
  private readonly reader: number;
  private readonly memory: WebAssembly.Memory;
  private readonly views: KeptViews;
  private readonly sleeper: Sleeper;
  private readonly left: Promise<void>;
  private settleLeft: () => void = () => {};
  /** After `leave`: queued windows are dropped. */
  private discarding = false;
  private reported = 0;
  /** A window that was leased while waiting for one. */
  private found = 0;

  constructor(exports: ReaderExports, reader: number, memory: WebAssembly.Memory, wake: WakeLane) {
    this.exports = exports;
    this.reader = reader;
    this.memory = memory;
    this.views = new KeptViews(memory);
    this.sleeper = new Sleeper(wake);
    this.left = new Promise((settle) => (this.settleLeft = settle));
  }

  get held(): boolean {
    return this.ended && !this.closed;
  }

  take(): number {
    if (this.closed || this.discarding) return 0;
    const lease = this.found || this.next();
    this.found = 0;
    if (lease === 0 && this.ended) {
      this.discarding = true;
      this.closeWhenEmpty();
    }
    return lease;
  }

  firstFrame(lease: number): number {
    const frame = this.exports.reader_first_frame(this.reader, lease);
    if (frame < 0) throw this.refused();
    return frame;
  }

  frames(lease: number): number {
    return this.exports.reader_frames(this.reader, lease);
  }

  channel(lease: number, channel: number): Float32Array {
    // WebAssembly would truncate 0.5 to 0.
    const address = this.exports.reader_address(this.reader, lease, channel >>> 0 === channel ? channel : -1);
    if (address === 0) throw this.refused();
    const view = this.views.at(address, this.frames(lease));
    if (this.views.made !== this.reported) this.report();
    return view;
  }

  release(lease: number): void {
    if (this.exports.reader_release(this.reader, lease) !== 0) throw this.refused();
    this.released = (this.released + 1) >>> 0;
    // A loop that has leased as many windows as possible waits for a release, not for a window.
    this.sleeper.wake();
    this.closeWhenEmpty();
  }

  /**
   * The worklet wakes no thread, because that is a system call. A worker polls several times before it returns to its event loop,
   * which would delay the window as long again. A page is woken by the control worker, which polls for it.
   */
  async arrival(): Promise<void> {
    if (mayBlock) {
      for (let polls = POLLS; polls > 0 && sleepBriefly(); polls--) {
        this.found = this.take();
        if (this.found !== 0) return;
      }
      return yieldAndSleep();
    }
    const woken = this.sleeper.sleep();
    if (this.exports.reader_is_full(this.reader) !== 0) return woken;
    this.sleeper.arm(this.taken);
    this.found = this.take();
    if (this.found === 0) return woken;
    this.sleeper.disarm();
  }

  leave(how: Leave): Promise<void> {
    this.ended = true;
    if (how === 'finish') this.found = this.take();
    else this.discard();
    if (how === 'revoke') this.close();
    this.sleeper.wake();
    this.closeWhenEmpty();
    return this.left;
  }

  /** Releases the queued windows. The loop ends, because no thread fills the queue any more. */
  private discard(): void {
    if (this.closed) return;
    for (let lease = this.take(); lease !== 0; lease = this.take()) this.exports.reader_release(this.reader, lease);
    this.discarding = true;
  }

  private next(): number {
    const lease = this.exports.reader_take(this.reader);
    if (lease !== 0) this.taken = (this.taken + 1) >>> 0;
    return lease;
  }

  private closeWhenEmpty(): void {
    if (this.ended && this.discarding && !this.closed && this.exports.reader_live(this.reader) === 0) this.close();
  }

  /** The host reclaims windows that are still leased together with the reader. */
  private close(): void {
    if (this.closed) return;
    this.closed = true;
    this.exports.reader_leave(this.reader);
    this.sleeper.close();
    this.settleLeft();
  }

  private report(): void {
    this.reported = this.views.made;
    this.exports.reader_views(this.reader, this.reported);
  }

  private refused(): Error {
    return refusalAt(this.memory, this.exports.reader_refusal(this.reader));
  }
}
