import { BlockReader } from '../consumer/block_reader.ts';
import { WavepoolError } from '../shared/errors.ts';
import type { CloseReason } from './lifetime.ts';
import type { Leave, TapTicket } from '../shared/protocol.ts';
import type { StreamFigures } from '../generated/snapshot.ts';
import type { StreamNode } from './stream_node.ts';

/**
 * The state of a tap: its audio side, and its reader or the ticket for one. See
 * `docs/decisions/0041-closing-a-tap-leaves-its-blocks-to-the-reader.md`. It does not refer to the {@link Tap}, so that an unreachable tap
 * is collected as garbage, and its session closed.
 */
export class TapSession {
  /** Settles when the tap was closed, with the reason. */
  readonly closed: Promise<CloseReason>;
  /** Settles when, after the close, the reader has released its last block. */
  readonly released: Promise<void>;
  onFault: (message: string) => void = () => {};
  private settleClosed: (reason: CloseReason) => void = () => {};
  private settleReleased: () => void = () => {};
  private readonly stream: StreamNode;
  /** Null after it was used, here or by another thread. */
  private ticket: TapTicket | null;
  private reader: Promise<BlockReader> | null = null;
  private closing: Promise<StreamFigures> | null = null;

  constructor(stream: StreamNode) {
    this.stream = stream;
    const { config, lane, participant } = stream;
    if (lane === null) throw new Error('a tap needs a stream for a reader');
    const { lock, port: control } = participant;
    const ports = lane.mode === 'transfer' ? [control, lane.windows, lane.host] : [control, lane.wake.port];
    this.ticket = { config, lane, lock, control, ports };
    this.closed = new Promise((settle) => (this.settleClosed = settle));
    this.released = new Promise((settle) => (this.settleReleased = settle));
    stream.onFault = (message) => this.onFault(message);
    stream.onContextClosed = () => this.closeQuietly('context-closed');
    participant.onLost = (leases) => {
      this.onFault(`the thread that read this tap is gone; ${leases} of its windows were taken back`);
      this.closeQuietly('reader-lost');
    };
  }

  /** Returns the ticket for another thread, once. */
  handOver(): TapTicket {
    return this.takeTicket('other');
  }

  private takeTicket(reader: 'page' | 'other'): TapTicket {
    const { ticket } = this;
    if (ticket === null) throw taken();
    this.ticket = null;
    this.stream.participant.invite(reader);
    return ticket;
  }

  /** Returns the reader on this thread. */
  here(): Promise<BlockReader> {
    if (this.ticket !== null) this.reader = BlockReader.open(this.takeTicket('page'));
    return this.reader ?? Promise.reject(taken());
  }

  /** Ends the audio side and, once it has delivered what it is to, the loop that reads. The first reason counts. */
  end(reason: CloseReason): Promise<StreamFigures> {
    this.closing ??= this.close(reason).finally(() => this.settleClosed(reason));
    return this.closing;
  }

  /** Closes the tap where a failure cannot be reported. */
  closeQuietly(reason: CloseReason): void {
    this.end(reason).catch(() => undefined);
  }

  /** Called after the tap was collected as garbage: queued windows are dropped, kept blocks stay valid. */
  forget(): void {
    this.end('closed')
      .catch(() => undefined)
      .then(() => this.leaveOnceMore('leave'));
  }

  /** Called when the pool is closed: blocks of the reader are revoked, too. */
  async revoke(): Promise<void> {
    await this.end('closed').catch(() => undefined);
    await this.leaveOnceMore('revoke');
  }

  private async close(reason: CloseReason): Promise<StreamFigures> {
    const { stream } = this;
    try {
      await stream.stop();
      // Blocks without a reader still have to reach the host, so that one is opened; a reader on this thread may still be opening.
      if (this.ticket !== null || this.reader !== null) await this.here().catch(() => undefined);
      // After the context has closed no window follows, so that the queued ones are all delivered.
      const leave = stream.config.flush || reason === 'context-closed' ? 'finish' : 'leave';
      await stream.participant.leave(leave, () => void this.giveBack());
      const { closed_stream: figures } = await stream.close();
      if (figures === null) throw new WavepoolError('host-failed', 'The control worker knows nothing of the stream that was closed.');
      return figures;
    } finally {
      if (stream.participant.stopped) this.settleReleased();
    }
  }

  private async leaveOnceMore(how: Leave): Promise<void> {
    const { participant } = this.stream;
    if (participant.stopped) return;
    await participant.leave(how, () => void this.giveBack());
    if (participant.stopped) await this.giveBack();
  }

  /** Called when the reader has stopped after the stream was closed: its memory is freed. */
  private async giveBack(): Promise<void> {
    // A control worker that has died frees nothing.
    await this.stream.close().catch(() => undefined);
    this.settleReleased();
  }
}

function taken(): WavepoolError {
  return new WavepoolError('tap-taken', 'This tap was handed over to another thread. Read it there, or open a second tap.');
}
