import { chooseMode, type ModeChoice, type ModeRequest } from './mode.ts';
import { invalid, optionsObject, trueOrFalse } from './options.ts';
import type { WasmSource } from './wasm_source.ts';

export interface WavepoolOptions {
  /** Default `auto`: shared memory where the page is cross-origin isolated, transferred buffers elsewhere. */
  readonly mode?: ModeRequest;
  /** The address of the worklet file, if a bundler moved it. */
  readonly workletUrl?: string | URL;
  /** The WebAssembly module, if it is not beside the script: see {@link WasmSource}. */
  readonly wasm?: WasmSource;
  /** A name under which this browser stores the pool's sizing profile, for the next start. Default: it is not stored. */
  readonly remember?: string;
  /** Draws control steps, sizing plans and alerts in the Performance panel of Chromium's developer tools. Default: false. */
  readonly devtoolsTracks?: boolean;
}

/**
 * Checks all options, and chooses the mode.
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

/** Throws `bad-option` for anything but an address, unless it was left out. */
export function checkUrl(name: string, given: unknown): void {
  if (given === undefined || typeof given === 'string' || given instanceof URL) return;
  throw invalid(name, 'a string or a URL', given);
}
