/**
 * The files beside the package's script. Bundlers know this pattern, `new URL` with the name as it stands, and take the
 * files along; without a bundler they are found where the package is served.
 */
// See `docs/decisions/0044-npm-package-ships-built-files.md`.
export const wasmUrls: Readonly<Record<'shared' | 'transfer', string | URL>> = {
  shared: new URL('./shared.wasm', import.meta.url),
  transfer: new URL('./transfer.wasm', import.meta.url),
};
export const workletFile: string | URL = new URL('./worklet.js', import.meta.url);

/** Starts the control worker. */
export function controlWorker(): Worker {
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'wavepool control' });
}
