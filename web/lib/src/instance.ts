import type { PanicNote } from './tap_exports.ts';

/** Stack of a thread that joins a shared memory, in bytes; a multiple of the page size. */
const THREAD_STACK_BYTES = 256 * 1024;

/** What an instance that joined a shared memory was given there; freed by the host when its thread is gone. */
export interface ThreadMemory {
  readonly tls: number;
  readonly stack: number;
  readonly stackBytes: number;
}

/** Where this instance's stack and thread-locals are. */
export function threadOf(exports: object): ThreadMemory {
  const { __tls_base: tls, __stack_alloc: stack } = exports as Record<string, WebAssembly.Global<'i32'>>;
  return { tls: tls!.value, stack: stack!.value, stackBytes: THREAD_STACK_BYTES };
}

/**
 * Instantiates the module without its JavaScript glue, which needs `TextDecoder` and so cannot load in a worklet.
 * The exports used there exchange numbers only; an import that is called all the same ends the call with its name.
 */
export function instantiateBare(module: WebAssembly.Module, memory: WebAssembly.Memory | null): WebAssembly.Exports {
  return start(new WebAssembly.Instance(module, bareImports(module, memory)), memory);
}

/** The same for a page, where some browsers refuse to instantiate at once. */
export async function instantiateBareLater(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory | null,
): Promise<WebAssembly.Exports> {
  return start(await WebAssembly.instantiate(module, bareImports(module, memory)), memory);
}

function bareImports(module: WebAssembly.Module, memory: WebAssembly.Memory | null): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
    const names = (imports[space] ??= {});
    if (kind === 'memory' && memory) names[name] = memory;
    else if (name === '__wbindgen_init_externref_table') names[name] = () => {};
    else if (kind === 'function')
      names[name] = () => {
        throw new Error(`a thread that has numbers only called the page function ${name}`);
      };
  }
  return imports;
}

function start({ exports }: WebAssembly.Instance, memory: WebAssembly.Memory | null): WebAssembly.Exports {
  (exports['__wbindgen_start'] as (stack?: number) => void)(memory ? THREAD_STACK_BYTES : undefined);
  return exports;
}

/** What a panic left in the memory, if one did. A worklet has no `TextDecoder`; messages are mostly ASCII. */
export function panicNote(exports: PanicNote, memory: WebAssembly.Memory): string | null {
  const bytes = new Uint8Array(memory.buffer, exports.panic_note(), exports.panic_note_bytes());
  return bytes.length === 0 ? null : String.fromCharCode(...bytes);
}
