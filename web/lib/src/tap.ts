import { WavepoolError } from './errors.ts';
import type { HostWorker } from './host_worker.ts';
import type { ThreadMemory } from './instance.ts';
import { TAP_PROCESSOR, type FromTap, type StreamConfig, type TapOptions, type ToTap } from './protocol.ts';
import type { Snapshot } from './snapshot.ts';

/** A worklet in a context that was closed, or whose thread is gone, does not answer. */
const GOODBYE_MS = 500;
const READY_MS = 5000;

/** A node that listens to another one and hands its sound on in windows. */
export class Tap {
  /** Called once if the audio side fails; the node then stays silent and the tap should be closed. */
  onFault: (message: string) => void = () => {};
  private readonly source: AudioNode;
  private readonly node: AudioWorkletNode;
  private readonly host: HostWorker;
  private readonly stream: number;
  /** Settles when the tap was closed, by whomever. */
  readonly closed: Promise<void>;
  private settleClosed: () => void = () => {};
  private goodbye: (() => void) | null = null;
  /** What the worklet's instance was given in the shared memory. */
  private thread: ThreadMemory | null = null;
  /** The processor threw: its thread will not call it again. */
  private failed = false;
  private closing: Promise<Snapshot> | null = null;

  private constructor(source: AudioNode, node: AudioWorkletNode, host: HostWorker, stream: number) {
    this.source = source;
    this.node = node;
    this.host = host;
    this.stream = stream;
    this.closed = new Promise((settle) => (this.settleClosed = settle));
  }

  /** Opens the stream in the worker, then the node; resolves when the worklet runs. What fails half-way is closed again. */
  static async open(source: AudioNode, host: HostWorker, config: StreamConfig, wasm: TapWasm): Promise<Tap> {
    const lane = wasm.memory ? null : new MessageChannel();
    const { stream, address } = await host.request<'open'>(
      lane ? { kind: 'open', config, blocks: lane.port1 } : { kind: 'open', config },
      lane ? [lane.port1] : [],
    );
    let tap: Tap | null = null;
    try {
      const options: TapOptions = { module: wasm.module, memory: wasm.memory, address, config };
      const node = new AudioWorkletNode(source.context, TAP_PROCESSOR, {
        numberOfInputs: 1,
        numberOfOutputs: 1,
        outputChannelCount: [1],
        channelCount: config.channels,
        channelCountMode: 'explicit',
        channelInterpretation: 'speakers',
        processorOptions: options,
      });
      tap = new Tap(source, node, host, stream);
      await tap.ready();
      if (lane) tap.say({ kind: 'blocks', port: lane.port2 }, [lane.port2]);
      source.connect(node);
      // Silent, but connected: a node that leads nowhere is not run.
      node.connect(source.context.destination);
      return tap;
    } catch (thrown) {
      if (tap) await tap.close();
      else await host.request<'close'>({ kind: 'close', stream, answered: true, thread: null });
      throw thrown;
    }
  }

  /** Ends the stream; resolves with the last snapshot, in which every buffer has come home. Safe to call twice. */
  close(): Promise<Snapshot> {
    this.closing ??= this.end().finally(this.settleClosed);
    return this.closing;
  }

  private async end(): Promise<Snapshot> {
    disconnect(this.source, this.node);
    const answered = new Promise<boolean>((resolve) => {
      this.goodbye = () => resolve(true);
      // A context that is closed runs nothing any more; any other thread may only be late.
      setTimeout(() => resolve(this.source.context.state === 'closed' || this.failed), GOODBYE_MS);
    });
    this.say({ kind: 'close' });
    const closed = await answered;
    // Should it answer later, its memory can still be given back.
    if (!closed) this.goodbye = () => void this.closeStream(true);
    return JSON.parse(await this.closeStream(closed)) as Snapshot;
  }

  private async closeStream(answered: boolean): Promise<string> {
    if (answered) this.node.port.close();
    const request = { kind: 'close', stream: this.stream, answered, thread: this.thread } as const;
    const { snapshot } = await this.host.request<'close'>(request);
    return snapshot;
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
        else this.onFault(message.message);
      };
    });
  }

  private say(message: ToTap, transfer: Transferable[] = []): void {
    this.node.port.postMessage(message, transfer);
  }
}

/** What a tap's worklet instantiates. `memory` is `null` in transfer mode: the worklet gets its own. */
export interface TapWasm {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory | null;
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
