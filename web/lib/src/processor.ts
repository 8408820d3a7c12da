import { workletFile } from './assets.ts';
import { WavepoolError } from './errors.ts';
import { PROCESSOR, PROCESSOR_PARAMETERS, type FromProcessor, type ProcessorExports, type ProcessorOptions } from './processor_protocol.ts';
import { compileSource, type WasmSource } from './wasm_source.ts';
import { addWorklet } from './worklet_file.ts';

export interface ProcessorConfig {
  /** A module that `wavepool::export_processor!` made. */
  readonly wasm: WasmSource;
  /** Channels in and out; 2 unless said otherwise. */
  readonly channels?: number;
  /** Where the worklet file is served, if a bundler moved it. */
  readonly workletUrl?: string | URL;
}

/** A processor written in Rust, as an audio node. */
export class Processor {
  /** Connect it like any other. */
  readonly node: AudioWorkletNode;
  /** By the names that the processor gave them. */
  readonly parameters: ReadonlyMap<string, AudioParam>;
  /** Called once if the processor panics; the node is silent from then on, and others go on. */
  onFault: (message: string) => void = () => {};

  /** @internal */
  constructor(node: AudioWorkletNode, parameters: ReadonlyMap<string, AudioParam>) {
    this.node = node;
    this.parameters = parameters;
    const fault = (message: string): void => this.onFault(message);
    node.port.onmessage = (event: MessageEvent<FromProcessor>) => fault(event.data.fault);
    node.onprocessorerror = () => fault('the processor could not be started');
  }

  /** Ends it: it is disconnected, and its memory goes with its thread's next collection. */
  close(): void {
    this.node.disconnect();
    this.node.port.postMessage(null);
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
 * @throws {@link WavepoolError} `wasm-unavailable`, `bad-option` for a module that is no processor, `worklet-failed`.
 */
export async function openProcessor(context: BaseAudioContext, config: ProcessorConfig): Promise<Processor> {
  const channels = config.channels ?? 2;
  const [module] = await Promise.all([compileSource(config.wasm), addWorklet(context, config.workletUrl ?? workletFile)]);
  const found = parametersOf(module);
  const options: ProcessorOptions = { module, channels };
  const node = new AudioWorkletNode(context, PROCESSOR, {
    channelCount: channels,
    channelCountMode: 'explicit',
    outputChannelCount: [channels],
    parameterData: Object.fromEntries(found.map(({ value }, i) => [PROCESSOR_PARAMETERS[i]!, value])),
    processorOptions: options,
  });
  const parameters = new Map(found.map(({ name }, i) => [name, node.parameters.get(PROCESSOR_PARAMETERS[i]!)!]));
  return new Processor(node, parameters);
}

/** What the module says of its parameters. Instantiated here for that alone: it is small, and nothing runs. */
function parametersOf(module: WebAssembly.Module): { name: string; value: number }[] {
  const isProcessor = WebAssembly.Module.exports(module).some(({ name }) => name === 'processor_open');
  const [needs] = WebAssembly.Module.imports(module);
  if (!isProcessor || needs) {
    const why = needs ? `it wants "${needs.name}", which a worklet does not have; build it without wavepool's default features` : 'it was not made by export_processor!';
    throw new WavepoolError('bad-option', `The WebAssembly module is no processor: ${why}.`);
  }
  const exports = new WebAssembly.Instance(module, {}).exports as unknown as ProcessorExports;
  return Array.from({ length: exports.processor_parameters() }, (_, i) => {
    const name = new Uint8Array(exports.memory.buffer, exports.processor_parameter_name(i), exports.processor_parameter_name_bytes(i));
    return { name: new TextDecoder().decode(name), value: exports.processor_parameter_default(i) };
  });
}
