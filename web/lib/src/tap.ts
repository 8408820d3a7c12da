import { WavepoolError } from './errors.ts';
import type { HostWorker } from './host_worker.ts';
import { TAP_PROCESSOR, type FromTap, type StreamConfig, type TapOptions, type ToTap } from './protocol.ts';
import type { Snapshot } from './snapshot.ts';

/** A worklet in a context that was closed, or whose thread is gone, does not answer. */
const GOODBYE_MS = 500;

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
  private closing: Promise<Snapshot> | null = null;

  private constructor(source: AudioNode, node: AudioWorkletNode, host: HostWorker, stream: number) {
    this.source = source;
    this.node = node;
    this.host = host;
    this.stream = stream;
    this.closed = new Promise((settle) => (this.settleClosed = settle));
  }

  /** Opens the stream in the worker, then the node; resolves when the worklet runs. */
  static async open(source: AudioNode, host: HostWorker, config: StreamConfig, wasm: TapWasm): Promise<Tap> {
    const lane = wasm.memory ? null : new MessageChannel();
    const { stream, address } = await host.request<'open'>(
      lane ? { kind: 'open', config, blocks: lane.port1 } : { kind: 'open', config },
      lane ? [lane.port1] : [],
    );
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
    const tap = new Tap(source, node, host, stream);
    try {
      await tap.ready();
    } catch (thrown) {
      await tap.close();
      throw thrown;
    }
    if (lane) tap.say({ kind: 'blocks', port: lane.port2 }, [lane.port2]);
    source.connect(node);
    // Silent, but connected: a node that leads nowhere is not run.
    node.connect(source.context.destination);
    return tap;
  }

  /** Ends the stream; resolves with the last snapshot, in which every buffer has come home. Safe to call twice. */
  close(): Promise<Snapshot> {
    this.closing ??= this.end().finally(this.settleClosed);
    return this.closing;
  }

  private async end(): Promise<Snapshot> {
    const answered = new Promise<void>((resolve) => {
      this.goodbye = resolve;
      setTimeout(resolve, GOODBYE_MS);
    });
    this.say({ kind: 'close' });
    await answered;
    this.source.disconnect(this.node);
    this.node.disconnect();
    this.node.port.close();
    const { snapshot } = await this.host.request<'close'>({ kind: 'close', stream: this.stream });
    return JSON.parse(snapshot) as Snapshot;
  }

  private ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.node.onprocessorerror = () => {
        const message = 'The audio worklet could not start. Reload the page; if it stays, report the browser version.';
        reject(new WavepoolError('worklet-failed', message));
        this.onFault(message);
      };
      this.node.port.onmessage = (event: MessageEvent<FromTap>) => {
        const message = event.data;
        if (message.kind === 'ready') resolve();
        else if (message.kind === 'closed') this.goodbye?.();
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
