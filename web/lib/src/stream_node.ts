import { WavepoolError } from './errors.ts';
import { Guest } from './guest.ts';
import type { HostWorker } from './host_worker.ts';
import type { ThreadMemory } from './instance.ts';
import {
  TAP_PROCESSOR,
  type BlockPorts,
  type ConsumerLane,
  type FromTap,
  type GuestWasm,
  type HostPorts,
  type StreamConfig,
  type TapOptions,
  type ToTap,
} from './protocol.ts';
import type { Snapshot } from './snapshot.ts';
import { workletNode } from './worklet_file.ts';

/** A worklet in a context that was closed, or whose thread is gone, does not answer. */
const GOODBYE_MS = 500;
const READY_MS = 5000;

/** The audio side of a tap or a tuner: the node that listens to another one, and its stream in the control worker. */
export class StreamNode {
  /** Called once if the audio side fails; the node then stays silent. */
  onFault: (message: string) => void = () => {};
  readonly config: StreamConfig;
  /** The way of the windows to a JavaScript consumer; null if the stream has none. */
  readonly lane: ConsumerLane | null;
  /** That consumer's thread. */
  readonly guest: Guest;
  private readonly source: AudioNode;
  private readonly node: AudioWorkletNode;
  private readonly host: HostWorker;
  private readonly stream: number;
  private goodbye: (() => void) | null = null;
  /** The control worker is watched while this context runs. */
  private followed = false;
  /** The processor threw: its thread will not call it again. */
  private failed = false;
  private workletStopped = false;
  private workletTrapped = false;
  /** What the worklet was given in the shared memory, until that is given back. */
  private thread: ThreadMemory | null = null;

  private constructor(
    source: AudioNode,
    node: AudioWorkletNode,
    host: HostWorker,
    stream: number,
    config: StreamConfig,
    lane: ConsumerLane | null,
  ) {
    this.source = source;
    this.node = node;
    this.host = host;
    this.stream = stream;
    this.config = config;
    this.lane = lane;
    this.guest = new Guest(host, { stream });
  }

  /** Opens the stream in the worker, then the node; resolves when the worklet runs. What fails half-way is closed again. */
  static async open(source: AudioNode, host: HostWorker, config: StreamConfig, wasm: GuestWasm): Promise<StreamNode> {
    const { module, memory } = wasm;
    const ways = memory ? null : blockWays(config);
    const opened = await host.request<'open'>({ kind: 'open', config, ports: ways?.host ?? null }, portsOf(ways?.host));
    const { stream, reader, headerBytes } = opened;
    let lane: ConsumerLane | null = null;
    if (memory && reader !== 0) lane = { mode: 'shared', wasm: { module, memory }, reader };
    else if (ways?.consumer) lane = { mode: 'transfer', ...ways.consumer, headerBytes };
    let node: StreamNode | null = null;
    try {
      const options: TapOptions = { module, memory, stream, address: opened.tap, config };
      const worklet = workletNode(source.context, TAP_PROCESSOR, {
        numberOfInputs: 1,
        numberOfOutputs: 1,
        outputChannelCount: [1],
        channelCount: config.channels,
        channelCountMode: 'explicit',
        channelInterpretation: 'speakers',
        processorOptions: options,
      });
      node = new StreamNode(source, worklet, host, stream, config, lane);
      await node.ready();
      if (ways) node.say({ kind: 'blocks', ports: ways.worklet }, portsOf(ways.worklet));
      source.connect(worklet);
      // Silent, but connected: a node that leads nowhere is not run.
      worklet.connect(source.context.destination);
      host.watchdog.follow(source.context);
      node.followed = true;
      return node;
    } catch (thrown) {
      if (node) {
        await node.stop();
        await node.close();
      } else {
        const stopped = { workletStopped: true, consumerStopped: true, workletTrapped: false } as const;
        await host.request<'close'>({ kind: 'close', stream, ...stopped, threads: [] });
      }
      throw thrown;
    }
  }

  /** Ends the audio side; settles when its thread has answered, or is taken to be late. */
  async stop(): Promise<void> {
    disconnect(this.source, this.node);
    this.workletStopped = await new Promise<boolean>((resolve) => {
      this.goodbye = () => resolve(true);
      // A context that is closed runs nothing any more; any other thread may only be late.
      setTimeout(() => resolve(this.source.context.state === 'closed' || this.failed), GOODBYE_MS);
      this.say({ kind: 'close' });
    });
    if (this.workletStopped) return this.node.port.close();
    // Should it answer later, its memory can still be given back.
    this.goodbye = () => {
      this.workletStopped = true;
      this.node.port.close();
      void this.close();
    };
  }

  /** Closes the stream in the worker, as far as its threads have stopped; resolves with the snapshot after it. */
  async close(): Promise<Snapshot> {
    if (this.followed) this.host.watchdog.unfollow(this.source.context);
    this.followed = false;
    const { stream, workletStopped, workletTrapped, guest } = this;
    const threads = guest.takeThread();
    if (workletStopped && this.thread) {
      threads.push(this.thread);
      this.thread = null;
    }
    const request = { kind: 'close', stream, workletStopped, workletTrapped, consumerStopped: guest.stopped, threads } as const;
    const { snapshot } = await this.host.request<'close'>(request);
    return JSON.parse(snapshot) as Snapshot;
  }

  private ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = 'The audio worklet did not start within 5 seconds. Let the context run (`context.resume()` after a click), then try again.';
      setTimeout(() => reject(new WavepoolError('worklet-failed', late)), READY_MS);
      this.node.onprocessorerror = () => {
        this.failed = true;
        const message = 'The audio worklet could not start. Reload the page; if it stays, report the browser version.';
        reject(new WavepoolError('worklet-failed', message));
        this.onFault(message);
      };
      this.node.port.onmessage = (event: MessageEvent<FromTap>) => {
        const message = event.data;
        if (message.kind === 'ready') {
          this.thread = message.thread;
          resolve();
        } else if (message.kind === 'closed') this.goodbye?.();
        else {
          this.workletTrapped = true;
          this.onFault(message.message);
        }
      };
    });
  }

  private say(message: ToTap, transfer: Transferable[] = []): void {
    this.node.port.postMessage(message, transfer);
  }
}

/** Transfer mode: worklet and host exchange blocks; with a JavaScript consumer they pass through it on the way there. */
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

/** Each port once, as a transfer list wants it. */
function portsOf(ports: HostPorts | BlockPorts | undefined): MessagePort[] {
  const given: (MessagePort | null)[] = ports ? Object.values(ports) : [];
  return [...new Set(given)].filter((port) => port !== null);
}

/** The page may have disconnected them already, which is no reason to stop here. */
function disconnect(source: AudioNode, node: AudioWorkletNode): void {
  try {
    source.disconnect(node);
  } catch {
    // They were not connected.
  }
  node.disconnect();
}
