import type { Leave } from '../shared/protocol.ts';
import { NoSuchChannelError, StaleLeaseError } from '../shared/refusal.ts';
import type { WindowSource } from './window_source.ts';

/** The most time that the last blocks of a stream take to arrive. */
const LAST_BLOCKS_MS = 200;
/** Lease numbers stay small integers. */
const MOST_LEASE = 0x3fff_ffff;

interface LeasedBlock {
  readonly block: ArrayBuffer;
  readonly firstFrame: number;
  readonly frames: number;
  readonly channels: readonly Float32Array[];
}

/**
 * Transfer mode: windows arrive in blocks from the worklet. A released block is sent to the host, which reads its header and returns it
 * to the worklet.
 */
export class TransferWindows implements WindowSource {
  closed = false;
  ended = false;
  /** Leased blocks belong to this thread: no other thread waits for them after the headers were sent. */
  readonly held = false;
  taken = 0;
  released = 0;
  private readonly windows: MessagePort;
  private readonly host: MessagePort;
  private readonly headerBytes: number;
  private readonly channels: number;
  /** Bytes of one channel of a block. */
  private readonly channelBytes: number;
  private readonly arrived: ArrayBuffer[] = [];
  private readonly leased = new Map<number, LeasedBlock>();
  private last = 0;
  private wake: () => void = () => {};
  private readonly lastBlock: Promise<void>;
  private left: Promise<void> | null = null;
  /** After `leave`: queued blocks are sent to the host. */
  private discarding = false;

  constructor(windows: MessagePort, host: MessagePort, headerBytes: number, channels: number, frames: number) {
    this.windows = windows;
    this.host = host;
    this.headerBytes = headerBytes;
    this.channels = channels;
    this.channelBytes = frames * Float32Array.BYTES_PER_ELEMENT;
    this.lastBlock = new Promise((end) => {
      windows.onmessage = ({ data: block }: MessageEvent<ArrayBuffer | null>) => {
        if (block === null) end();
        else if (this.discarding) this.sendOn(block);
        else this.arrived.push(block);
        this.wake();
      };
    });
  }

  take(): number {
    const block = this.arrived.shift();
    if (block === undefined) return 0;
    this.taken = (this.taken + 1) >>> 0;
    this.last = (this.last % MOST_LEASE) + 1;
    const [firstFrame, length] = new BigUint64Array(block, 0, 2);
    const frames = Number(length);
    this.leased.set(this.last, {
      block,
      firstFrame: Number(firstFrame),
      frames,
      channels: Array.from({ length: this.channels }, (_, i) => new Float32Array(block, this.headerBytes + i * this.channelBytes, frames)),
    });
    return this.last;
  }

  firstFrame(lease: number): number {
    return this.find(lease).firstFrame;
  }

  frames(lease: number): number {
    return this.find(lease).frames;
  }

  channel(lease: number, channel: number): Float32Array {
    const { channels } = this.find(lease);
    // A name of an array's property is no channel.
    const view = Number.isInteger(channel) ? channels[channel] : undefined;
    if (view === undefined) throw new NoSuchChannelError(channel, this.channels);
    return view;
  }

  release(lease: number): void {
    const { block } = this.find(lease);
    this.leased.delete(lease);
    this.released = (this.released + 1) >>> 0;
    this.sendOn(block);
  }

  arrival(): Promise<void> {
    if (this.arrived.length > 0) return Promise.resolve();
    return new Promise((wake) => (this.wake = wake));
  }

  leave(how: Leave): Promise<void> {
    if (how !== 'finish') this.discard();
    if (how === 'revoke') {
      this.closed = true;
      for (const lease of [...this.leased.keys()]) this.release(lease);
    }
    this.left ??= this.part();
    return this.left;
  }

  private discard(): void {
    this.discarding = true;
    for (const block of this.arrived.splice(0)) this.sendOn(block);
  }

  /**
   * Blocks that are queued or leased stay on this thread and can still be read. The host gets their headers, with counts and events, and
   * no blocks from then on.
   */
  private async part(): Promise<void> {
    // A worklet that died sends no final message.
    await Promise.race([this.lastBlock, new Promise((resume) => setTimeout(resume, LAST_BLOCKS_MS))]);
    const here = [...this.arrived, ...[...this.leased.values()].map(({ block }) => block)];
    for (const block of here) this.host.postMessage(block.slice(0, this.headerBytes));
    this.host.postMessage(null);
    this.windows.close();
    this.ended = true;
    this.wake();
  }

  private sendOn(block: ArrayBuffer): void {
    if (!this.ended) this.host.postMessage(block, [block]);
  }

  private find(lease: number): LeasedBlock {
    const held = this.leased.get(lease);
    if (held === undefined) throw new StaleLeaseError(lease);
    return held;
  }
}
