import { chooseMode, type ModeChoice, type ModeRequest } from './mode.ts';
import { invalid, optionsObject, trueOrFalse } from './options.ts';
import type { WasmSource } from './wasm_source.ts';

export interface WavepoolOptions {
  /** Default `auto`: shared memory where the page is cross-origin isolated, transferred buffers elsewhere. */
  readonly mode?: ModeRequest;
  /** Where the worklet file is served, if a bundler moved it. */
  readonly workletUrl?: string | URL;
  /** The WebAssembly module, if it is not to be fetched from beside the script: see {@link WasmSource}. */
  readonly wasm?: WasmSource;
  /** A name under which this browser keeps what the pool learned, so that the next start begins with it. Default: not kept. */
  readonly remember?: string;
  /** Draws control steps, sizing plans and alerts in the Performance panel of Chromium's developer tools. Default: no. */
  readonly devtoolsTracks?: boolean;
}

/**
 * The transport that the options lead to, once all of them can be.
 *
 * @throws {@link WavepoolError} `bad-option` with the option's name and value; `not-isolated`.
 */
export function checkOptions(options: WavepoolOptions): ModeChoice {
  const { mode, workletUrl, remember, devtoolsTracks } = optionsObject('options', 'an object', options);
  checkUrl('workletUrl', workletUrl);
  if (remember !== undefined && typeof remember !== 'string') throw invalid('remember', 'a string', remember);
  trueOrFalse('devtoolsTracks', devtoolsTracks, false);
  return chooseMode(mode === undefined ? 'auto' : mode);
}

/** Throws `bad-option` for what is neither left out nor an address. */
export function checkUrl(name: string, given: unknown): void {
  if (given === undefined || typeof given === 'string' || given instanceof URL) return;
  throw invalid(name, 'a string or a URL', given);
}
