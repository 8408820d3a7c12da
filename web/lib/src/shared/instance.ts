import { messageOf } from './errors.ts';
import type { PanicNote } from '../generated/exports.ts';

/** Stack of an instance that allocates its own in a shared memory, in bytes; a multiple of the page size. */
const OWN_STACK_BYTES = 256 * 1024;

/**
 * Instantiates the module without its JavaScript glue, which needs `TextDecoder`, so that a worklet cannot load it. The exports that are
 * used exchange numbers only; a call of an import throws an error with its name.
 *
 * `thread` is the address in a shared memory at which the instance's stack ends and its thread-locals begin. The host allocates both, so
 * that a thread is not terminated inside the allocator. 0: the instance allocates its own.
 */
export function instantiateBare(module: WebAssembly.Module, memory: WebAssembly.Memory | null, thread = 0): WebAssembly.Exports {
  return start(new WebAssembly.Instance(module, bareImports(module, memory)), memory, thread);
}

/** The same for a page, where some browsers refuse to instantiate synchronously. */
export async function instantiateBareLater(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory | null,
  thread: number,
): Promise<WebAssembly.Exports> {
  return start(await WebAssembly.instantiate(module, bareImports(module, memory)), memory, thread);
}

function bareImports(module: WebAssembly.Module, memory: WebAssembly.Memory | null): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
    const names = (imports[space] ??= {});
    if (kind === 'memory' && memory) names[name] = memory;
    else if (name === '__wbindgen_init_externref_table') names[name] = () => {};
    else if (kind === 'function')
      names[name] = () => {
        throw new Error(`a thread without JavaScript glue called the page function ${name}`);
      };
  }
  return imports;
}

function start({ exports }: WebAssembly.Instance, memory: WebAssembly.Memory | null, thread: number): WebAssembly.Exports {
  if (thread === 0) {
    (exports['__wbindgen_start'] as (stack?: number) => void)(memory ? OWN_STACK_BYTES : undefined);
  } else {
    (exports['__stack_pointer'] as WebAssembly.Global<'i32'>).value = thread;
    (exports['thread_begin'] as (locals: number) => void)(thread);
  }
  return exports;
}

/**
 * The message of this thread's panic, if `thrown` is the trap after one; otherwise the message of `thrown`. A worklet has no `TextDecoder`;
 * panic messages are mostly ASCII.
 */
export function faultMessage(thrown: unknown, exports: PanicNote, memory: WebAssembly.Memory): string {
  if (!(thrown instanceof WebAssembly.RuntimeError)) return messageOf(thrown);
  const bytes = new Uint8Array(memory.buffer, exports.panic_note(), exports.panic_note_bytes());
  return bytes.length === 0 ? messageOf(thrown) : String.fromCharCode(...bytes);
}
