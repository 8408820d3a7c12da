/** The addresses of the other files, for a page that Vite builds from the sources. The npm package has `package/assets.ts` instead. */
import sharedWasm from '../../wasm/shared/wavepool_bg.wasm?url';
import transferWasm from '../../wasm/transfer/wavepool_bg.wasm?url';
import worklet from '../worklet/worklet.ts?worker&url';

export const wasmUrls: Readonly<Record<'shared' | 'transfer', string | URL>> = { shared: sharedWasm, transfer: transferWasm };
export const workletFile: string | URL = worklet;

/** Starts the control worker. */
export function controlWorker(): Worker {
  return new Worker(new URL('../control/worker.ts', import.meta.url), { type: 'module', name: 'wavepool control' });
}
