import { wasmUrls } from './assets.ts';
import { WavepoolError, messageOf } from './errors.ts';
import type { Mode } from './mode.ts';

/**
 * Where the WebAssembly module comes from: an address, a fetched response, bytes, or a module that is compiled already.
 * It must be the build of the mode, so name the mode too: `wavepool/shared.wasm` or `wavepool/transfer.wasm`.
 */
export type WasmSource = string | URL | Response | BufferSource | WebAssembly.Module;

/** Compiled here and handed over: compiling in the worklet would cost an audible dropout. */
export async function compile(mode: Mode, source: WasmSource = wasmUrls[mode]): Promise<WebAssembly.Module> {
  const module = await compileSource(source);
  const isShared = WebAssembly.Module.imports(module).some(({ kind }) => kind === 'memory');
  if (isShared !== (mode === 'shared')) {
    throw new WavepoolError(
      'bad-option',
      `The WebAssembly module given is the ${isShared ? 'shared' : 'transfer'} build, and this page runs in ${mode} mode. ` +
        `Give "wavepool/${mode}.wasm", or leave the option out.`,
    );
  }
  return module;
}

/** Compiles, or says why not and what to do. */
export async function compileSource(source: WasmSource): Promise<WebAssembly.Module> {
  if (typeof WebAssembly !== 'object') {
    throw new WavepoolError('no-webassembly', 'This browser has no WebAssembly. Use a browser from 2021 or later.');
  }
  if (source instanceof WebAssembly.Module) return source;
  const fetched = typeof source === 'string' || source instanceof URL;
  const from = fetched ? `from ${String(source)}` : 'from what the option `wasm` gives';
  try {
    if (fetched) return await WebAssembly.compileStreaming(fetch(source));
    if (source instanceof Response) return await WebAssembly.compileStreaming(source);
    return await WebAssembly.compile(source);
  } catch (thrown) {
    throw new WavepoolError(
      'wasm-unavailable',
      `The WebAssembly module could not be loaded ${from}: ${messageOf(thrown)}. ` +
        `Serve it as "application/wasm", and let the page's Content-Security-Policy allow 'wasm-unsafe-eval'.`,
      thrown,
    );
  }
}
