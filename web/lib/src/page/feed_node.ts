import { WavepoolError } from '../shared/errors.ts';
import { openOutlet, ringState, type FeedOutlet } from '../consumer/feed_outlet.ts';
import { whenContextCloses } from './lifetime.ts';
import {
  FEED_PROCESSOR,
  RING,
  ringBytes,
  type FeedFormat,
  type FeedLane,
  type FeedOptions,
  type FeedState,
  type FeedTicket,
  type FromFeed,
  type FromWriterControl,
  type ToFeed,
  type ToWriterControl,
} from '../shared/feed_protocol.ts';
import { TICKET_MS } from '../shared/protocol.ts';
import { workletNode } from './worklet_file.ts';

/** The page's side of a feed. The pool refers to it until it is closed; it does not refer to the user's `Feed`. */
export class FeedNode {
  readonly node: AudioWorkletNode;
  readonly format: FeedFormat;
  readonly ended: Promise<void>;
  readonly closed: Promise<void>;
  isClosed = false;
  onUnderrun: (underruns: number) => void = () => {};
  onFault: (message: string) => void = () => {};
  private readonly ring: Int32Array | null;
  private readonly lock = `wavepool ${crypto.randomUUID()}`;
  /** The port to a writer on another thread. */
  private readonly control: MessagePort;
  private readonly reported: (state: FeedState) => void;
  private readonly stopWatching: () => void;
  private ticket: FeedTicket | null;
  /** The outlet of a writer on this thread. */
  private outlet: FeedOutlet | null = null;
  private state: FeedState = { underruns: 0, lateFrames: 0, bufferedFrames: 0 };
  private settleEnded: () => void = () => {};
  private settleClosed: () => void = () => {};
  private isEnded = false;
  private isForgotten = false;
  private writerEnded = false;
  /** Closes the feed, unless its ticket is opened before. */
  private lapse: ReturnType<typeof setTimeout> | undefined;

  /** `reported` is called with each new state. */
  constructor(context: BaseAudioContext, format: FeedFormat, shared: boolean, reported: (state: FeedState) => void) {
    this.format = format;
    this.reported = reported;
    this.closed = new Promise((settle) => (this.settleClosed = settle));
    this.ended = new Promise((settle) => (this.settleEnded = settle));
    const ring = shared ? openRing(ringBytes(format)) : null;
    this.ring = ring && new Int32Array(ring, 0, RING.cells);
    this.node = workletNode(context, FEED_PROCESSOR, {
      numberOfInputs: 0,
      numberOfOutputs: 1,
      outputChannelCount: [format.channels],
      processorOptions: { format, ring } satisfies FeedOptions,
    });
    const { port1, port2 } = new MessageChannel();
    this.control = port1;
    this.ticket = this.makeTicket(ring, port2);
    this.control.onmessage = ({ data }: MessageEvent<FromWriterControl>) => {
      clearTimeout(this.lapse);
      if (data === 'opened') this.watchWriter();
      else if (data === 'ended') this.writerEnded = true;
    };
    this.node.port.onmessage = ({ data }: MessageEvent<FromFeed>) => this.receive(data);
    this.node.onprocessorerror = () => this.fail('The worklet of this feed failed. Open another feed.');
    this.stopWatching = whenContextCloses(context, () => this.fail('The audio context was closed, and this feed with it.'));
  }

  /** Returns the ticket for another thread, which lapses after {@link TICKET_MS}. */
  handOver(): FeedTicket {
    const ticket = this.takeTicket();
    this.lapse = setTimeout(() => this.fail('The ticket of this feed was not opened within ten seconds. Open another feed.'), TICKET_MS);
    return ticket;
  }

  private takeTicket(): FeedTicket {
    if (this.isClosed) throw new WavepoolError('closed', 'This feed was closed. Open another one.');
    const { ticket } = this;
    if (ticket === null) throw new WavepoolError('tap-taken', 'This feed is written here, or was handed over. Write it there, or open another one.');
    this.ticket = null;
    return ticket;
  }

  /** Opens the outlet for a writer on this thread, once. */
  openOutlet(): FeedOutlet {
    const { format, lane } = this.takeTicket();
    this.outlet = openOutlet(lane, format);
    return this.outlet;
  }

  /** The present state in shared mode, the last reported one in transfer mode. */
  get figures(): FeedState {
    if (this.ring) return ringState(this.ring, this.format);
    return this.outlet ? this.outlet.state() : this.state;
  }

  /** Called after the `Feed` was collected as garbage. */
  forget(): void {
    this.isForgotten = true;
    // If the ticket was not used, there is no writer.
    if (this.ticket !== null || this.isEnded) this.close();
  }

  /** Ends the processor, the writer and its loop, on whichever thread it runs. Safe to call twice. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.lapse);
    this.stopWatching();
    this.node.disconnect();
    this.say({ kind: 'close' });
    this.node.port.close();
    this.control.postMessage('closed' satisfies ToWriterControl);
    this.control.close();
    for (const port of this.ticket?.ports ?? []) port.close();
    this.outlet?.close();
    this.settleEnded();
    this.settleClosed();
  }

  private makeTicket(ring: SharedArrayBuffer | null, control: MessagePort): FeedTicket {
    const { format, lock } = this;
    let lane: FeedLane;
    if (ring) lane = { mode: 'shared', ring };
    else {
      const { port1, port2 } = new MessageChannel();
      this.say({ kind: 'port', port: port1 }, [port1]);
      lane = { mode: 'transfer', port: port2 };
    }
    return { format, lane, lock, control, ports: lane.mode === 'transfer' ? [control, lane.port] : [control] };
  }

  private receive(message: FromFeed): void {
    if (message.kind === 'ended') {
      this.isEnded = true;
      this.settleEnded();
      if (this.isForgotten) this.close();
      return;
    }
    const { state } = message;
    const underrun = state.underruns > this.state.underruns;
    this.state = state;
    this.reported(state);
    if (underrun) this.onUnderrun(state.underruns);
  }

  /** Requests the lock of the writer's thread, which the page gets when that thread dies, or after the feed was closed. */
  private watchWriter(): void {
    void navigator.locks.request(this.lock, () => {
      if (this.isClosed || this.writerEnded) return;
      // Blocks that it has written are still played.
      this.say({ kind: 'end' });
      void this.ended.then(() => this.close());
      this.onFault('The thread that wrote this feed is gone. Open another feed.');
    });
  }

  private fail(message: string): void {
    if (this.isClosed) return;
    this.close();
    this.onFault(message);
  }

  private say(message: ToFeed, transfer: Transferable[] = []): void {
    this.node.port.postMessage(message, transfer);
  }
}

function openRing(bytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(bytes);
  } catch (thrown) {
    throw new WavepoolError('too-large', `There is no memory for the ${bytes} bytes of this feed. Ask for fewer channels, shorter blocks or less latency.`, thrown);
  }
}
