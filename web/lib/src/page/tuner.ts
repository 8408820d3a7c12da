import type { CloseReason } from './lifetime.ts';
import type { Snapshot } from '../generated/snapshot.ts';
import type { StreamNode } from './stream_node.ts';

/** Measures level and pitch of a node's output in the control worker, which reports them in snapshots. */
export class Tuner {
  /** Settles when the tuner was closed, with the reason. It is also closed when its context is. */
  readonly closed: Promise<CloseReason>;
  private settleClosed: (reason: CloseReason) => void = () => {};
  private readonly stream: StreamNode;
  private closing: Promise<Snapshot> | null = null;

  /** @internal */
  constructor(stream: StreamNode) {
    this.stream = stream;
    this.closed = new Promise((settle) => (this.settleClosed = settle));
    stream.onContextClosed = () => this.closeQuietly('context-closed');
  }

  /** Called once if the audio side fails; the node then stays silent and the tuner should be closed. */
  set onFault(callback: (message: string) => void) {
    this.stream.onFault = callback;
  }

  /**
   * Ends the stream; resolves with the last snapshot, which `onSnapshot` gets too, and in which every buffer was released. Safe to call
   * twice.
   */
  close(): Promise<Snapshot> {
    return this.end('closed');
  }

  /** For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.closeQuietly('closed');
    await this.closed;
  }

  private closeQuietly(reason: CloseReason): void {
    this.end(reason).catch(() => undefined);
  }

  /** @internal The first reason counts. */
  end(reason: CloseReason): Promise<Snapshot> {
    this.closing ??= this.stream
      .stop()
      .then(() => this.stream.close())
      .finally(() => this.settleClosed(reason));
    return this.closing;
  }
}
