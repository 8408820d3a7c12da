export { WavepoolError, type WavepoolErrorCode } from './errors.ts';
export type { Mode, ModeRequest } from './mode.ts';
export type * from './snapshot.ts';
export type { WasmSource } from './wasm_source.ts';
export { Wavepool, type TapConfig, type WavepoolOptions } from './wavepool.ts';
export type { Tap } from './tap.ts';
