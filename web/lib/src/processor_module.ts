import { WavepoolError, messageOf } from './errors.ts';
import type { ProcessorExports } from './processor_protocol.ts';
import { compileSource, type WasmSource } from './wasm_source.ts';

/** Modules kept by address or content; the one that was added first goes when there are more. */
const MOST_KEPT = 32;

export interface ProcessorModule {
  readonly module: WebAssembly.Module;
  /** The same wherever the module is used: the worklet keeps instances under it, as it gets a copy of the module each time. */
  readonly key: string;
  readonly parameters: readonly { readonly name: string; readonly value: number }[];
}

const bySource = new Map<string, Promise<ProcessorModule>>();
const byModule = new WeakMap<WebAssembly.Module, ProcessorModule>();

/**
 * The module, compiled and read once for an address or for the same bytes: each reading needs a memory, of which a browser has
 * few, and only processors of the same module can use one another's memory.
 *
 * @throws {@link WavepoolError} `wasm-unavailable`, `bad-option`, `out-of-memory`
 */
export async function processorModule(source: WasmSource): Promise<ProcessorModule> {
  if (source instanceof WebAssembly.Module) return read(source);
  const name = await nameOf(source);
  if (name === null) return read(await compileSource(source));
  let found = bySource.get(name);
  if (!found) {
    found = compileSource(source).then(read);
    bySource.set(name, found);
    found.catch(() => bySource.delete(name));
    if (bySource.size > MOST_KEPT) bySource.delete(bySource.keys().next().value!);
  }
  return found;
}

/** What stands for the source: an address, or a hash of the bytes; null if nothing does. */
async function nameOf(source: WasmSource): Promise<string | null> {
  try {
    if (typeof source === 'string' || source instanceof URL) return new URL(source, document.baseURI).href;
    if (source instanceof Response) return source.url || null;
    return hexadecimal(new Uint8Array(await crypto.subtle.digest('SHA-256', source as BufferSource)));
  } catch {
    // What is no source at all is refused where it is compiled.
    return null;
  }
}

function read(module: WebAssembly.Module): ProcessorModule {
  let found = byModule.get(module);
  if (!found) {
    found = { module, key: hexadecimal(crypto.getRandomValues(new Uint8Array(16))), parameters: parametersOf(module) };
    byModule.set(module, found);
  }
  return found;
}

/** What the module says of its parameters. Instantiated here for that alone: it is small, and nothing runs. */
function parametersOf(module: WebAssembly.Module): ProcessorModule['parameters'] {
  const isProcessor = WebAssembly.Module.exports(module).some(({ name }) => name === 'processor_open');
  const [needs] = WebAssembly.Module.imports(module);
  if (!isProcessor || needs) {
    const why = needs ? `it wants "${needs.name}", which a worklet does not have; build it without wavepool's default features` : 'it was not made by export_processor!';
    throw new WavepoolError('bad-option', `The WebAssembly module is no processor: ${why}.`);
  }
  const exports = instantiate(module);
  return Array.from({ length: exports.processor_parameters() }, (_, i) => {
    const name = new Uint8Array(exports.memory.buffer, exports.processor_parameter_name(i), exports.processor_parameter_name_bytes(i));
    return { name: new TextDecoder().decode(name), value: exports.processor_parameter_default(i) };
  });
}

function instantiate(module: WebAssembly.Module): ProcessorExports {
  try {
    return new WebAssembly.Instance(module, {}).exports as unknown as ProcessorExports;
  } catch (thrown) {
    throw new WavepoolError(
      'out-of-memory',
      `The browser has no WebAssembly memory left for this module (${messageOf(thrown)}). Each open processor has one; Chromium allows about 127 ` +
        'in all. Close processors that are not needed, then try again.',
      thrown,
    );
  }
}

function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
