import type { Block } from './block.ts';
import { BlockReader } from './block_reader.ts';
import { WavepoolError } from './errors.ts';
import type { TapTicket } from './protocol.ts';
import type { StreamFigures } from './snapshot.ts';
import type { StreamNode } from './stream_node.ts';

/**
 * Listens to a node and cuts its sound into windows for JavaScript: here, or in a worker that the tap is handed over to.
 *
 * @example
 * ```ts
 * const tap = await wavepool.tap(node, { window: 2048, hop: 512, channels: 2 });
 * for await (const block of tap.blocks()) {
 *   draw(block.firstFrame, block.channel(0), block.channel(1));
 * }
 * ```
 */
export class Tap {
  /** Settles when the tap was closed, by whomever. */
  readonly closed: Promise<void>;
  private settleClosed: () => void = () => {};
  private readonly stream: StreamNode;
  /** Not yet with its consumer. */
  private ticket: TapTicket | null;
  private reader: Promise<BlockReader> | null = null;
  private closing: Promise<StreamFigures> | null = null;

  /** @internal */
  constructor(stream: StreamNode) {
    this.stream = stream;
    const { config, lane, guest } = stream;
    if (lane === null) throw new Error('a tap needs a stream for a reader');
    const { lock, port: control } = guest;
    const ports = lane.mode === 'transfer' ? [control, lane.windows, lane.host] : [control];
    this.ticket = { config, lane, lock, control, ports };
    guest.onLost = (leases) => {
      this.stream.onFault(`the thread that read this tap is gone; ${leases} of its windows were taken back`);
      void this.close();
    };
    this.closed = new Promise((settle) => (this.settleClosed = settle));
  }

  /**
   * Called if the audio side fails: the node then stays silent, and the tap should be closed. Also when the worker that
   * reads the tap dies: what it held is taken back, and the tap closed.
   */
  set onFault(callback: (message: string) => void) {
    this.stream.onFault = callback;
  }

  /**
   * The windows as they come, read on this thread, until the tap is closed. Each block is valid until the next is asked
   * for, unless kept.
   *
   * @throws {@link WavepoolError} `tap-taken` when the tap was handed over, or another loop reads it.
   */
  async *blocks(): AsyncGenerator<Block, void, undefined> {
    yield* (await this.here()).blocks();
  }

  /**
   * Calls `read` with each window as it comes, on this thread; settles when the tap is closed. The block is valid until
   * `read` returns, unless kept.
   *
   * @throws {@link WavepoolError} `tap-taken` when the tap was handed over, or another loop reads it.
   */
  async forEach(read: (block: Block) => void): Promise<void> {
    await (await this.here()).forEach(read);
  }

  /**
   * Gives the windows to another thread, for good. Post the ticket with its ports, and open it there.
   *
   * @example
   * ```ts
   * const ticket = tap.handOver();
   * worker.postMessage(ticket, [...ticket.ports]);
   * // In the worker: const reader = await openTap(ticket);
   * ```
   * @throws {@link WavepoolError} `tap-taken` when it is read here, or was handed over before.
   */
  handOver(): TapTicket {
    const { ticket } = this;
    if (ticket === null) throw taken();
    this.ticket = null;
    this.stream.guest.invite();
    return ticket;
  }

  /** Ends the stream and every loop that reads it; resolves with its final figures. Safe to call twice. */
  close(): Promise<StreamFigures> {
    this.closing ??= this.end().finally(this.settleClosed);
    return this.closing;
  }

  /** For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private here(): Promise<BlockReader> {
    if (this.ticket !== null) this.reader = BlockReader.open(this.handOver());
    return this.reader ?? Promise.reject(taken());
  }

  private async end(): Promise<StreamFigures> {
    await this.stream.stop();
    // Blocks that nobody reads are still on their way to the host.
    if (this.ticket !== null) await this.here();
    // Should it go only later, what it held is given back then.
    await this.stream.guest.leave(() => void this.stream.close());
    const { closed_stream: figures } = await this.stream.close();
    if (figures === null) throw new WavepoolError('host-failed', 'The control worker knows nothing of the stream that was closed.');
    return figures;
  }
}

function taken(): WavepoolError {
  return new WavepoolError('tap-taken', 'This tap was handed over to another thread. Read it there, or open a second tap.');
}
