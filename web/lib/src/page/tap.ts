import type { Block } from '../consumer/block.ts';
import type { CloseReason } from './lifetime.ts';
import type { TapTicket } from '../shared/protocol.ts';
import type { StreamFigures } from '../generated/snapshot.ts';
import type { TapSession } from './tap_session.ts';

/** Closes taps that were collected as garbage. */
const forgotten = new FinalizationRegistry<TapSession>((session) => session.forget());

/**
 * Captures the output of a node in windows for JavaScript: on this thread, or in a worker that gets the tap's ticket.
 *
 * A tap stays open until it, its pool or its context is closed. A tap that is collected as garbage is closed too, unless it was handed
 * over; the browser decides when that happens, so close your taps.
 *
 * @example
 * ```ts
 * const tap = await wavepool.tap(source, { window: 2048, hop: 512, channels: 2 });
 * for await (const block of tap.blocks()) {
 *   console.log(block.firstFrame, block.channel(0)[0], block.channel(1)[0]);
 * }
 * ```
 */
export class Tap {
  /**
   * Settles when the tap was closed, with the reason. When its context is closed, or an `OfflineAudioContext` has rendered
   * everything, the tap is closed: a loop that reads it gets the queued windows, and ends.
   */
  readonly closed: Promise<CloseReason>;
  private readonly session: TapSession;
  private onFaultCallback: (message: string) => void = () => {};

  /** @internal */
  constructor(session: TapSession) {
    this.session = session;
    this.closed = session.closed;
    const self = new WeakRef(this);
    session.onFault = (message) => self.deref()?.onFaultCallback(message);
    forgotten.register(this, session, this);
  }

  /**
   * Called if the audio side fails: no window follows, and the tap should be closed. Also called when the worker that reads the tap dies:
   * its windows are reclaimed, and the tap is closed.
   */
  set onFault(callback: (message: string) => void) {
    this.onFaultCallback = callback;
  }

  /**
   * The windows, read on this thread, until the tap is closed. Each block is valid until the next one is requested, unless it was kept; the
   * close of the tap does not end that.
   *
   * @throws {@link WavepoolError} `tap-taken` when the tap was handed over, or another loop reads it.
   */
  async *blocks(): AsyncGenerator<Block, void, undefined> {
    yield* (await this.session.here()).blocks();
  }

  /**
   * Calls `read` with each window, on this thread; settles when the tap is closed. The block is valid until `read` returns, unless it was
   * kept.
   *
   * @throws {@link WavepoolError} `tap-taken` when the tap was handed over, or another loop reads it.
   */
  async forEach(read: (block: Block) => void): Promise<void> {
    await (await this.session.here()).forEach(read);
  }

  /**
   * Lets another thread read the tap, permanently. Post the ticket with its ports, and open it there, within ten seconds.
   *
   * @example
   * ```ts
   * const ticket = tap.handOver();
   * worker.postMessage(ticket, ticket.ports);
   * // In the worker: const reader = await openTap(ticket);
   * ```
   * @throws {@link WavepoolError} `tap-taken` when it is read here, or was handed over before.
   */
  handOver(): TapTicket {
    const ticket = this.session.handOver();
    // Another thread reads it, also after this object was collected.
    forgotten.unregister(this);
    return ticket;
  }

  /**
   * Ends the stream, and the loop that reads it after its body has run: the current block and kept ones stay valid until they are
   * released. Resolves with the stream's final figures. Safe to call twice, and in the loop itself.
   *
   * @example
   * ```ts
   * const figures = await tap.close();
   * console.log(figures.windows);
   * ```
   */
  close(): Promise<StreamFigures> {
    return this.session.end('closed');
  }

  /** For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close().catch(() => undefined);
    await this.closed;
  }
}
