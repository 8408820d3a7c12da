import { wasmUrls } from './assets.ts';
import { WavepoolError, messageOf } from '../shared/errors.ts';
import type { Mode } from './mode.ts';

/**
 * The source of a WebAssembly module: an address, a fetched response, bytes, or a compiled module. The pool's own module must be the build
 * of the mode, so set the mode too: `wavepool/shared.wasm` or `wavepool/transfer.wasm`.
 */
export type WasmSource = string | URL | Response | BufferSource | WebAssembly.Module;

/** A compiled module and its key, under which an audio thread keeps instances, because it gets a copy of the module each time. */
export interface KeyedModule {
  readonly module: WebAssembly.Module;
  readonly key: string;
}

/** The most modules that are kept by address or content; further ones replace the oldest. */
const MOST_KEPT = 32;

const bySource = new Map<string, Promise<KeyedModule>>();
const byModule = new WeakMap<WebAssembly.Module, KeyedModule>();

/**
 * Compiles the module, once for an address or for the same bytes: only instances of the same module can reuse each other's memory, of which
 * a browser has few. It is compiled on the page, because compiling on the audio thread would cause an audible dropout.
 *
 * @throws {@link WavepoolError} `no-webassembly`, `wasm-unavailable`
 */
export async function keyedModule(source: WasmSource): Promise<KeyedModule> {
  const name = await nameOf(source);
  if (name === null) return keyed(await compileSource(source));
  let found = bySource.get(name);
  if (!found) {
    found = compileSource(source).then(keyed);
    bySource.set(name, found);
    found.catch(() => bySource.delete(name));
    if (bySource.size > MOST_KEPT) bySource.delete(bySource.keys().next().value!);
  }
  return found;
}

/** A name for the source: its address, or a hash of its bytes; null if it has neither. */
async function nameOf(source: WasmSource): Promise<string | null> {
  try {
    if (typeof source === 'string' || source instanceof URL) return new URL(source, document.baseURI).href;
    if (source instanceof Response) return source.url || null;
    return hexadecimal(new Uint8Array(await crypto.subtle.digest('SHA-256', source as BufferSource)));
  } catch {
    // A compiled module has no bytes. Anything else that is no source is refused when it is compiled.
    return null;
  }
}

function keyed(module: WebAssembly.Module): KeyedModule {
  let found = byModule.get(module);
  if (!found) {
    found = { module, key: hexadecimal(crypto.getRandomValues(new Uint8Array(16))) };
    byModule.set(module, found);
  }
  return found;
}

function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Compiles the pool's own module, which must be the build of the mode. */
export async function compile(mode: Mode, source: WasmSource = wasmUrls[mode]): Promise<KeyedModule> {
  const found = await keyedModule(source);
  const isShared = WebAssembly.Module.imports(found.module).some(({ kind }) => kind === 'memory');
  if (isShared !== (mode === 'shared')) {
    throw new WavepoolError(
      'bad-option',
      `The WebAssembly module given is the ${isShared ? 'shared' : 'transfer'} build, and this page runs in ${mode} mode. ` +
        `Pass "wavepool/${mode}.wasm", or leave the option out.`,
    );
  }
  return found;
}

/** Compiles the source. Throws with the cause and what to do. */
async function compileSource(source: WasmSource): Promise<WebAssembly.Module> {
  if (typeof WebAssembly !== 'object') {
    throw new WavepoolError('no-webassembly', 'This browser has no WebAssembly. Use a browser from 2021 or later.');
  }
  if (source instanceof WebAssembly.Module) return source;
  const fetched = typeof source === 'string' || source instanceof URL;
  const from = fetched ? `from ${String(source)}` : 'from the value of the option `wasm`';
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
