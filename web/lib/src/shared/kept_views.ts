/**
 * One typed array per buffer of a memory, made at the first use and kept: there are as many as the pool has buffers at most. Growth of the
 * memory detaches them, or leaves them on the old buffer; they are then made again.
 */
export class KeptViews {
  /** Number of arrays made so far. */
  made = 0;
  private readonly memory: WebAssembly.Memory;
  private readonly views = new Map<number, Float32Array>();
  private words: Uint32Array;
  private bytes: number;

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
    this.words = new Uint32Array(memory.buffer);
    this.bytes = memory.buffer.byteLength;
  }

  /** The buffer at this address, as an array of this length. */
  at(address: number, samples: number): Float32Array {
    if (this.memory.buffer.byteLength !== this.bytes) this.forget();
    let view = this.views.get(address);
    if (view === undefined || view.length !== samples) {
      view = new Float32Array(this.memory.buffer, address, samples);
      this.views.set(address, view);
      this.made += 1;
    }
    return view;
  }

  /** The 32-bit number at this address. */
  word(address: number): number {
    if (this.memory.buffer.byteLength !== this.bytes) this.forget();
    return this.words[address / 4]!;
  }

  private forget(): void {
    this.views.clear();
    this.words = new Uint32Array(this.memory.buffer);
    this.bytes = this.memory.buffer.byteLength;
  }
}
