/** Messages and names that page and worklet share for processors written in Rust. */
import { build } from './build.ts';
import type { PanicNote } from '../generated/exports.ts';

/** The name under which the worklet file registers the processor. */
export const PROCESSOR = `wavepool-processor ${build}`;

/** The worklet file declares as many parameters as a processor can have, because it is loaded before the processor is known. */
export const PROCESSOR_PARAMETERS: readonly string[] = Array.from({ length: 16 }, (_, i) => `parameter${i}`);

export interface ProcessorOptions {
  readonly module: WebAssembly.Module;
  /** Identifies the module, because the worklet gets a copy. */
  readonly key: string;
  readonly channels: number;
}

/** A failure, or that the processor is closed and its instance can serve another one. */
export type FromProcessor = { readonly fault: string } | { readonly ended: true };

/** The exports of `export_processor!`: numbers in, numbers out. */
export interface ProcessorExports extends PanicNote {
  readonly memory: WebAssembly.Memory;
  /** 0 if refused. */
  processor_open(sampleRate: number, channels: number): number;
  /** Frees the processor, so that another one can be opened. Modules of version 0.1.0 do not have this export. */
  processor_close?(processor: number): void;
  /** Makes the block, with this number of frames; 0 if that fails. */
  processor_resize(processor: number, frames: number): number;
  /** Address of a channel of the block. */
  processor_channel(processor: number, channel: number): number;
  processor_set(processor: number, parameter: number, value: number): void;
  /** Processes the block in place. */
  processor_process(processor: number): number;
  processor_parameters(): number;
  processor_parameter_name(parameter: number): number;
  processor_parameter_name_bytes(parameter: number): number;
  processor_parameter_default(parameter: number): number;
}
