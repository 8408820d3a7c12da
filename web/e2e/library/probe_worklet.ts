/** Loaded into an audio context before the library's worklet file: counts the calls of its processors, and the instances they make. */
declare const currentFrame: number;
declare function gc(): void;

export interface Probed {
  readonly frame: number;
  readonly calls: number;
  /** WebAssembly instances that were made and not collected. */
  readonly instances: number;
}

let calls = 0;
let instances = 0;
const collected = new FinalizationRegistry(() => void (instances -= 1));

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
    instances += 1;
    collected.register(this.exports, null);
  }
};

register(
  'probe',
  class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.port.onmessage = () => {
        gc();
        this.port.postMessage({ frame: currentFrame, calls, instances } satisfies Probed);
      };
    }

    process(): boolean {
      return true;
    }
  },
);
