/** Loaded into an audio context before the library's worklet file: counts the calls of its processors, and the instances they make. */
declare const currentFrame: number;
declare function gc(): void;

export interface Probed {
  readonly frame: number;
  readonly calls: number;
  /** WebAssembly instances that were made and not collected, and all that were ever made. */
  readonly instances: number;
  readonly made: number;
  /** Memory that the former have of their own, in bytes. */
  readonly bytes: number;
}

let calls = 0;
let made = 0;
const instances = new Set<WeakRef<WebAssembly.Exports>>();
const collected = new FinalizationRegistry<WeakRef<WebAssembly.Exports>>((instance) => instances.delete(instance));

const scope = globalThis as unknown as { registerProcessor: typeof registerProcessor };
const register = scope.registerProcessor;
scope.registerProcessor = (name, Processor) => {
  const shipped = (Processor.prototype as AudioWorkletProcessor).process;
  Processor.prototype.process = function (this: AudioWorkletProcessor, ...given: Parameters<typeof shipped>) {
    calls += 1;
    return shipped.apply(this, given);
  };
  register(name, Processor);
};

WebAssembly.Instance = class extends WebAssembly.Instance {
  constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
    super(module, imports);
    made += 1;
    const instance = new WeakRef(this.exports);
    instances.add(instance);
    collected.register(this.exports, instance);
  }
};

function bytes(): number {
  let sum = 0;
  for (const instance of instances) sum += (instance.deref()?.['memory'] as WebAssembly.Memory | undefined)?.buffer.byteLength ?? 0;
  return sum;
}

register(
  'probe',
  class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.port.onmessage = () => {
        gc();
        this.port.postMessage({ frame: currentFrame, calls, instances: instances.size, made, bytes: bytes() } satisfies Probed);
      };
    }

    process(): boolean {
      return true;
    }
  },
);
