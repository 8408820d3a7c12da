import { WavepoolError, messageOf } from '../shared/errors.ts';
import type { ProcessorExports } from '../shared/processor_protocol.ts';
import { keyedModule, type KeyedModule, type WasmSource } from './wasm_source.ts';

export interface ProcessorModule extends KeyedModule {
  readonly parameters: readonly { readonly name: string; readonly value: number }[];
}

const read = new WeakMap<KeyedModule, ProcessorModule>();

/**
 * The module and its parameters, which are read once, because that needs a memory.
 *
 * @throws {@link WavepoolError} `wasm-unavailable`, `bad-option`, `out-of-memory`
 */
export async function processorModule(source: WasmSource): Promise<ProcessorModule> {
  const keyed = await keyedModule(source);
  let found = read.get(keyed);
  if (!found) {
    found = { ...keyed, parameters: parametersOf(keyed.module) };
    read.set(keyed, found);
  }
  return found;
}

/** The parameters of the module. It is instantiated for that alone, which is cheap. */
function parametersOf(module: WebAssembly.Module): ProcessorModule['parameters'] {
  const isProcessor = WebAssembly.Module.exports(module).some(({ name }) => name === 'processor_open');
  const [needs] = WebAssembly.Module.imports(module);
  if (!isProcessor || needs) {
    const why = needs ? `it imports "${needs.name}", which a worklet does not have; build it without wasm-bindgen` : 'it was not made by export_processor!';
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
