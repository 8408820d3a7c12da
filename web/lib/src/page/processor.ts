import { workletFile } from './assets.ts';
import { countEnding, fewAreEnding } from './ending_processors.ts';
import { optionsObject, wholeNumber } from './options.ts';
import { processorModule } from './processor_module.ts';
import { PROCESSOR, PROCESSOR_PARAMETERS, type FromProcessor, type ProcessorOptions } from '../shared/processor_protocol.ts';
import type { WasmSource } from './wasm_source.ts';
import { checkUrl } from './wavepool_options.ts';
import { addWorklet, workletNode } from './worklet_file.ts';

/** The most channels of a block of the pool: `MAX_CHANNELS` of the crate. */
const MOST_CHANNELS = 16;

export interface ProcessorConfig {
  /** A module that `wavepool::export_processor!` has made. An address is fetched once, however many processors are opened. */
  readonly wasm: WasmSource;
  /** Number of input and output channels, 1 to 16. Default: 2. */
  readonly channels?: number;
  /** The address of the worklet file, if a bundler moved it. */
  readonly workletUrl?: string | URL;
}

/** A processor written in Rust, as an audio node. */
export class Processor {
  /** The audio node: connect it like any other. */
  readonly node: AudioWorkletNode;
  /** The parameters by name. */
  readonly parameters: ReadonlyMap<string, AudioParam>;
  /** Called once if the processor panics; the node is silent from then on, and other nodes are not affected. */
  onFault: (message: string) => void = () => {};
  private readonly ended: Promise<void>;

  /** @internal */
  constructor(node: AudioWorkletNode, parameters: ReadonlyMap<string, AudioParam>) {
    this.node = node;
    this.parameters = parameters;
    const fault = (message: string): void => this.onFault(message);
    this.ended = new Promise((resolve) => {
      node.port.onmessage = ({ data }: MessageEvent<FromProcessor>) => {
        if ('fault' in data) return fault(data.fault);
        node.port.close();
        resolve();
      };
    });
    node.onprocessorerror = () => fault('the processor could not be started');
  }

  /** Disconnects and ends it; the next processor of the same module reuses its memory. Safe to call twice. */
  close(): void {
    this.node.disconnect();
    this.node.port.postMessage(null);
    countEnding(this.node.context, this.ended);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a processor written in Rust. Its module has a memory of its own, so it runs on every page.
 *
 * @example
 * ```ts
 * const lowPass = await openProcessor(context, { wasm: '/low_pass.wasm' });
 * lowPass.parameters.get('frequency')?.linearRampToValueAtTime(200, context.currentTime + 1);
 * source.connect(lowPass.node).connect(context.destination);
 * ```
 * @throws {@link WavepoolError} `wasm-unavailable`, `worklet-failed`; `bad-option` for a module that is not a processor, and for invalid
 * options; `out-of-memory` when the browser has no memory for the module; `context-closed`.
 */
export async function openProcessor(context: BaseAudioContext, config: ProcessorConfig): Promise<Processor> {
  optionsObject('context', 'an AudioContext or an OfflineAudioContext', context);
  const { wasm, channels = 2, workletUrl = workletFile } = optionsObject('processor options', 'an object with `wasm`', config);
  wholeNumber('processor option channels', channels, 1, MOST_CHANNELS);
  checkUrl('processor option workletUrl', workletUrl);
  const [{ module, key, parameters: found }] = await Promise.all([processorModule(wasm), addWorklet(context, workletUrl)]);
  await fewAreEnding(context);
  const node = workletNode(context, PROCESSOR, {
    channelCount: channels,
    channelCountMode: 'explicit',
    outputChannelCount: [channels],
    parameterData: Object.fromEntries(found.map(({ value }, i) => [PROCESSOR_PARAMETERS[i]!, value])),
    processorOptions: { module, key, channels } satisfies ProcessorOptions,
  });
  const parameters = new Map(found.map(({ name }, i) => [name, node.parameters.get(PROCESSOR_PARAMETERS[i]!)!]));
  return new Processor(node, parameters);
}
