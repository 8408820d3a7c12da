import type { Snapshot } from './snapshot.ts';
import type { StreamNode } from './stream_node.ts';

/** Level and pitch of what a node plays, measured by the control worker and told in snapshots. */
export class Tuner {
  /** Settles when the tuner was closed, by whomever. */
  readonly closed: Promise<void>;
  private settleClosed: () => void = () => {};
  private readonly stream: StreamNode;
  private closing: Promise<Snapshot> | null = null;

  /** @internal */
  constructor(stream: StreamNode) {
    this.stream = stream;
    this.closed = new Promise((settle) => (this.settleClosed = settle));
  }

  /** Called once if the audio side fails; the node then stays silent and the tuner should be closed. */
  set onFault(callback: (message: string) => void) {
    this.stream.onFault = callback;
  }

  /**
   * Ends the stream; resolves with the last snapshot, which `onSnapshot` has had too and in which every buffer has come
   * home. Safe to call twice.
   */
  close(): Promise<Snapshot> {
    this.closing ??= this.end().finally(this.settleClosed);
    return this.closing;
  }

  private async end(): Promise<Snapshot> {
    await this.stream.stop();
    return this.stream.close();
  }
}
