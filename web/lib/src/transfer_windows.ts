import { NoSuchChannelError, StaleLeaseError } from './refusal.ts';
import type { WindowSource } from './window_source.ts';

/** How long the last blocks of a stream may be on their way. */
const LAST_BLOCKS_MS = 200;
/** Lease numbers stay small integers. */
const MOST_LEASE = 0x3fff_ffff;

interface Held {
  readonly block: ArrayBuffer;
  readonly firstFrame: number;
  readonly channels: readonly Float32Array[];
}

/**
 * Transfer mode: windows arrive in blocks from the worklet. A released block goes on to the host, which reads its header
 * and sends it back to the worklet.
 */
export class TransferWindows implements WindowSource {
  closed = false;
  private readonly windows: MessagePort;
  private readonly host: MessagePort;
  private readonly headerBytes: number;
  private readonly channels: number;
  private readonly frames: number;
  private readonly arrived: ArrayBuffer[] = [];
  private readonly held = new Map<number, Held>();
  private last = 0;
  private wake: () => void = () => {};
  private readonly ended: Promise<void>;

  constructor(windows: MessagePort, host: MessagePort, headerBytes: number, channels: number, frames: number) {
    this.windows = windows;
    this.host = host;
    this.headerBytes = headerBytes;
    this.channels = channels;
    this.frames = frames;
    this.ended = new Promise((end) => {
      windows.onmessage = ({ data: block }: MessageEvent<ArrayBuffer | null>) => {
        if (block === null) end();
        else if (this.closed) this.sendOn(block);
        else this.arrived.push(block);
        this.wake();
      };
    });
  }

  take(): number {
    const block = this.arrived.shift();
    if (block === undefined) return 0;
    this.last = (this.last % MOST_LEASE) + 1;
    const bytes = this.frames * Float32Array.BYTES_PER_ELEMENT;
    this.held.set(this.last, {
      block,
      firstFrame: Number(new BigUint64Array(block, 0, 1)[0]),
      channels: Array.from({ length: this.channels }, (_, i) => new Float32Array(block, this.headerBytes + i * bytes, this.frames)),
    });
    return this.last;
  }

  firstFrame(lease: number): number {
    return this.find(lease).firstFrame;
  }

  channel(lease: number, channel: number): Float32Array {
    const view = this.find(lease).channels[channel];
    if (view === undefined) throw new NoSuchChannelError(channel, this.channels);
    return view;
  }

  release(lease: number): void {
    const { block } = this.find(lease);
    this.held.delete(lease);
    this.sendOn(block);
  }

  arrival(): Promise<void> {
    if (this.arrived.length > 0) return Promise.resolve();
    return new Promise((wake) => (this.wake = wake));
  }

  async close(): Promise<void> {
    this.closed = true;
    this.wake();
    for (const block of this.arrived.splice(0)) this.sendOn(block);
    for (const { block } of this.held.values()) this.sendOn(block);
    this.held.clear();
    // A worklet that died sends no end.
    await Promise.race([this.ended, new Promise((resume) => setTimeout(resume, LAST_BLOCKS_MS))]);
    this.host.postMessage(null);
    this.windows.close();
  }

  private sendOn(block: ArrayBuffer): void {
    this.host.postMessage(block, [block]);
  }

  private find(lease: number): Held {
    const held = this.held.get(lease);
    if (held === undefined) throw new StaleLeaseError(lease);
    return held;
  }
}
