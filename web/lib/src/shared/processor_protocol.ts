/** What page and worklet have to agree on about processors written in Rust. */
import { build } from './build.ts';
import type { PanicNote } from '../generated/exports.ts';

/** The name under which the worklet file registers them. */
export const PROCESSOR = `wavepool-processor ${build}`;

/** Parameters are declared when the worklet file is loaded, before it knows a processor: as many as one can have. */
export const PROCESSOR_PARAMETERS: readonly string[] = Array.from({ length: 16 }, (_, i) => `parameter${i}`);

export interface ProcessorOptions {
  readonly module: WebAssembly.Module;
  /** Stands for the module, of which the worklet gets a copy. */
  readonly key: string;
  readonly channels: number;
}

export interface FromProcessor {
  readonly fault: string;
}

/** What `export_processor!` exports: numbers in, numbers out. */
export interface ProcessorExports extends PanicNote {
  readonly memory: WebAssembly.Memory;
  /** 0 if refused. */
  processor_open(sampleRate: number, channels: number): number;
  /** Frees the processor and what it has, so that another one can be opened. Modules of version 0.1.0 do not have it. */
  processor_close?(processor: number): void;
  /** Takes a block of so many frames; 0 if there is none. */
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
