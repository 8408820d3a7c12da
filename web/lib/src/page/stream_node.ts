import { WavepoolError } from '../shared/errors.ts';
import { Participant } from './participant.ts';
import type { HostWorker } from './host_worker.ts';
import { contextClosed, whenContextCloses, whileContextRuns } from './lifetime.ts';
import {
  BLOCKS_PER_RETURN,
  TAP_PROCESSOR,
  blocksInFlight,
  THREAD_END,
  type BlockPorts,
  type ConsumerLane,
  type FromTap,
  type ParticipantWasm,
  type HostPorts,
  type Progress,
  type StreamConfig,
  type TapOptions,
  type ThreadEnd,
  type ToTap,
} from '../shared/protocol.ts';
import { OfflinePacer, type Paced } from './offline_pacer.ts';
import type { Snapshot } from '../generated/snapshot.ts';
import { newWakeLanes } from '../shared/wake.ts';
import { workletNode } from './worklet_file.ts';

/** The most time to wait for a worklet's final message: it sends none if its context was closed, or its thread is gone. */
const FINAL_MESSAGE_MS = 500;
const READY_MS = 5000;
/** The most time that an offline context waits for blocks in transit: after that, some thread is gone. */
const CATCH_UP_MS = 2000;

/** The audio side of a tap or a tuner: the node that another one is connected to, and its stream in the control worker. */
export class StreamNode implements Paced {
  /** Called once if the audio side fails; the node then stays silent. */
  onFault: (message: string) => void = () => {};
  /** Called once if the context closes while this is open. */
  onContextClosed: () => void = () => {};
  readonly config: StreamConfig;
  /** How a JavaScript consumer gets the windows; null if the stream has none. */
  readonly lane: ConsumerLane | null;
  /** Frames for which the queue, or the blocks that circulate, have room, divided by two: the other half is a reserve. */
  readonly framesAhead: number;
  /** The consumer's thread. */
  readonly participant: Participant;
  private readonly source: AudioNode;
  private readonly node: AudioWorkletNode;
  private readonly host: HostWorker;
  private readonly stream: number;
  private readonly unwatch: () => void;
  private reported: (progress: Progress | null) => void = () => {};
  private stopping = false;
  private readonly shared: boolean;
  /** Transfer mode: number of blocks that circulate. */
  private readonly blocks: number;
  private readonly windowsAhead: number;
  private onFinalMessage: (() => void) | null = null;
  /** The control worker is watched while this context runs. */
  private followed = false;
  /** The processor threw; its thread does not call it again. */
  private failed = false;
  private worklet: ThreadEnd = THREAD_END.running;
  /** The instance has trapped and is not called again: its memory may be inconsistent. */
  private trapped = false;

  private constructor(
    source: AudioNode,
    node: AudioWorkletNode,
    host: HostWorker,
    stream: number,
    config: StreamConfig,
    lane: ConsumerLane | null,
    queueWindows: number,
    shared: boolean,
  ) {
    this.shared = shared;
    this.source = source;
    this.node = node;
    this.host = host;
    this.stream = stream;
    this.config = config;
    this.lane = lane;
    this.blocks = blocksInFlight(config);
    this.windowsAhead = Math.floor((shared ? queueWindows : this.blocks - BLOCKS_PER_RETURN) / 2);
    this.framesAhead = this.windowsAhead * config.hop;
    this.participant = new Participant(host, { stream });
    this.unwatch = whenContextCloses(source.context, () => this.onContextClosed());
  }

  /** Opens the stream in the worker, then the node; resolves when the worklet runs. After a failure everything is closed again. */
  static async open(source: AudioNode, host: HostWorker, config: StreamConfig, wasm: ParticipantWasm, key: string): Promise<StreamNode> {
    const { module, memory } = wasm;
    const ways = memory ? null : blockWays(config);
    const [wake, waker] = memory && config.consumer === 'reader' ? newWakeLanes() : [null, null];
    const request = { kind: 'open', config, ports: ways?.host ?? null, wake: waker } as const;
    const opened = await host.request<'open'>(request, [...portsOf(ways?.host), ...(waker ? [waker.port] : [])], ({ stream }) => {
      closeUnused(host, stream).catch(() => undefined);
    });
    const { stream, reader, readerThread: thread, headerBytes } = opened;
    let lane: ConsumerLane | null = null;
    if (memory && wake && reader !== 0) lane = { mode: 'shared', wasm: { module, memory }, reader, thread, wake };
    else if (ways?.consumer) lane = { mode: 'transfer', ...ways.consumer, headerBytes };
    let node: StreamNode | null = null;
    try {
      if (source.context.state === 'closed') throw contextClosed();
      const options: TapOptions = { module, memory, key, stream, number: opened.tap, thread: opened.tapThread, config };
      const worklet = workletNode(source.context, TAP_PROCESSOR, {
        numberOfInputs: 1,
        numberOfOutputs: 1,
        outputChannelCount: [1],
        channelCount: config.channels,
        channelCountMode: 'explicit',
        channelInterpretation: 'speakers',
        processorOptions: options,
      });
      node = new StreamNode(source, worklet, host, stream, config, lane, opened.queueWindows, memory !== null);
      await whileContextRuns(source.context, node.ready());
      host.check();
      if (ways) node.say({ kind: 'blocks', ports: ways.worklet }, portsOf(ways.worklet));
      source.connect(worklet);
      // Its output is silent. A node that is not connected to a destination is not run.
      worklet.connect(source.context.destination);
      // If the control worker has died meanwhile, this stream was not among those that were closed.
      host.check();
      host.watchdog.follow(source.context);
      node.participant.onStuck = (stuckMs) =>
        host.onStuck(`The worker that reads the tap of stream ${stream} is stuck: it did not return to its event loop for ${Math.round(stuckMs)} ms.`, 'reader');
      if (lane) node.participant.follow(source.context);
      node.followed = true;
      OfflinePacer.add(source.context, node);
      return node;
    } catch (thrown) {
      const closing = node ? node.end() : closeUnused(host, stream);
      // The first error is reported.
      await closing.catch(() => undefined);
      throw thrown;
    }
  }

  /** Stops and closes the stream. */
  async end(): Promise<Snapshot> {
    await this.stop();
    return this.close();
  }

  /** Ends the audio side; settles when its thread has answered, or after {@link FINAL_MESSAGE_MS}. */
  async stop(): Promise<void> {
    this.unwatch();
    this.stopping = true;
    OfflinePacer.delete(this.source.context, this);
    this.reported(null);
    this.participant.giveUpCatchingUp();
    const answered = (): ThreadEnd => (this.trapped ? THREAD_END.gone : THREAD_END.left);
    this.worklet = await new Promise<ThreadEnd>((resolve) => {
      // The thread of a closed context is gone; any other thread may only be late.
      const timer = setTimeout(() => {
        const gone = this.source.context.state === 'closed' || this.failed;
        resolve(gone ? THREAD_END.gone : THREAD_END.running);
      }, FINAL_MESSAGE_MS);
      this.onFinalMessage = () => {
        clearTimeout(timer);
        resolve(answered());
      };
      this.say({ kind: 'close' });
    });
    // Not earlier: the input of a disconnected node is silence, which would get into the last windows.
    disconnect(this.source, this.node);
    if (this.worklet !== THREAD_END.running) return this.node.port.close();
    // If it answers later, its memory is freed then.
    this.onFinalMessage = () => {
      this.worklet = answered();
      this.node.port.close();
      // A control worker that has died frees nothing.
      this.close().catch(() => undefined);
    };
  }

  /**
   * Settles when the consumer has read every window so far, and in transfer mode enough blocks were returned, or all but those it keeps.
   * Settles at once if there is no reader, or the stream is being closed.
   */
  async catchUp(): Promise<void> {
    const giveUp = Date.now() + CATCH_UP_MS;
    for (;;) {
      const progress = await this.progress();
      if (progress === null) return;
      const released = this.lane === null ? progress.windows : await this.participant.catchUp(progress.windows);
      if (released === null || this.stopping) return;
      // One window more may begin than the frames that are rendered next fill.
      if (this.shared || this.blocks - progress.out > this.windowsAhead + 1) return;
      await this.host.request<'catchUp'>({ kind: 'catchUp', stream: this.stream });
      // Blocks in transit are returned soon; the others are kept by the consumer.
      if (progress.out <= progress.windows - released || Date.now() > giveUp) return;
    }
  }

  /** The progress of the audio side; `null` if it does not answer any more. */
  private async progress(): Promise<Progress | null> {
    if (this.stopping || this.failed) return null;
    // The host reads it from the shared memory, because a message is garbage on the audio thread.
    if (this.shared) return { ...(await this.host.request<'catchUp'>({ kind: 'catchUp', stream: this.stream })), out: 0 };
    return new Promise((resolve) => {
      this.reported = resolve;
      this.say({ kind: 'report' });
    });
  }

  /** Closes the stream in the worker, as far as its threads have stopped; resolves with the snapshot after it. */
  async close(): Promise<Snapshot> {
    if (this.followed) this.host.watchdog.unfollow(this.source.context);
    this.followed = false;
    this.participant.unfollow();
    const { stream, worklet, participant } = this;
    participant.dismiss();
    const { snapshot } = await this.host.request<'close'>({ kind: 'close', stream, worklet, consumer: participant.end });
    return JSON.parse(snapshot) as Snapshot;
  }

  private ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = 'The audio worklet did not start within 5 seconds. Let the context run (`context.resume()` after a click), then try again.';
      const timer = setTimeout(() => reject(new WavepoolError('worklet-failed', late)), READY_MS);
      this.node.onprocessorerror = () => {
        this.failed = true;
        const message = 'The audio worklet could not start. Reload the page; if it stays, report the browser version.';
        reject(new WavepoolError('worklet-failed', message));
        this.onFault(message);
      };
      this.node.port.onmessage = (event: MessageEvent<FromTap>) => {
        const message = event.data;
        if (message.kind === 'ready') {
          clearTimeout(timer);
          resolve();
        } else if (message.kind === 'progress') this.reported(message);
        else if (message.kind === 'closed') this.onFinalMessage?.();
        else {
          this.trapped = true;
          this.onFault(message.message);
        }
      };
    });
  }

  private say(message: ToTap, transfer: Transferable[] = []): void {
    this.node.port.postMessage(message, transfer);
  }
}

/** Closes a stream in the worker that no other thread uses yet. */
function closeUnused(host: HostWorker, stream: number): Promise<unknown> {
  const { gone } = THREAD_END;
  return host.request<'close'>({ kind: 'close', stream, worklet: gone, consumer: gone });
}

/** Transfer mode: the ports by which blocks circulate between worklet and host, by way of a JavaScript consumer if there is one. */
function blockWays(config: StreamConfig): {
  readonly host: HostPorts;
  readonly worklet: BlockPorts;
  readonly consumer: { readonly windows: MessagePort; readonly host: MessagePort } | null;
} {
  const direct = new MessageChannel();
  if (config.consumer === 'tuner') {
    return {
      host: { worklet: direct.port1, consumer: null },
      worklet: { windows: direct.port2, counts: direct.port2 },
      consumer: null,
    };
  }
  const windows = new MessageChannel();
  const read = new MessageChannel();
  return {
    host: { worklet: direct.port1, consumer: read.port1 },
    worklet: { windows: windows.port1, counts: direct.port2 },
    consumer: { windows: windows.port2, host: read.port2 },
  };
}

/** Each port once, as a transfer list requires. */
function portsOf(ports: HostPorts | BlockPorts | undefined): MessagePort[] {
  const given: (MessagePort | null)[] = ports ? Object.values(ports) : [];
  return [...new Set(given)].filter((port) => port !== null);
}

/** Disconnects the nodes, unless the page has done so already. */
function disconnect(source: AudioNode, node: AudioWorkletNode): void {
  try {
    source.disconnect(node);
  } catch {
    // They were not connected.
  }
  node.disconnect();
}
