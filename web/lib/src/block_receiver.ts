import type { Host } from '../wasm/transfer/wavepool.js';
import type { StreamConfig } from './protocol.ts';

/** Objects per block on this side: message, buffer, two views of the header. */
const OBJECTS_PER_BLOCK = 4;
/** And per channel: a view of the block, a view of the memory. */
const OBJECTS_PER_CHANNEL = 2;

/** Transfer mode: copies each arriving block into this side's own pool and sends the buffer back. */
export class BlockReceiver {
  /** Settles when the sender has said its last word. */
  readonly ended: Promise<void>;
  private readonly host: Host;
  private readonly memory: WebAssembly.Memory;
  private readonly stream: number;
  private readonly config: StreamConfig;
  private readonly port: MessagePort;

  /** `received` is called after each block, `failed` with what a block threw. */
  constructor(
    host: Host,
    memory: WebAssembly.Memory,
    stream: number,
    config: StreamConfig,
    port: MessagePort,
    received: () => void,
    failed: (thrown: unknown) => void,
  ) {
    this.host = host;
    this.memory = memory;
    this.stream = stream;
    this.config = config;
    this.port = port;
    this.ended = new Promise((end) => {
      port.onmessage = (event: MessageEvent<ArrayBuffer>) => {
        const block = event.data;
        try {
          this.receive(block);
          received();
        } catch (thrown) {
          failed(thrown);
        }
        if (block.byteLength === host.headerBytes()) end();
        else port.postMessage(block, [block]);
      };
    });
  }

  private receive(block: ArrayBuffer): void {
    const { host, stream, config } = this;
    const headerBytes = host.headerBytes();
    const header = host.headerAddress(stream);
    // The memory may have grown since the last block, so views are made from today's buffer.
    new Uint8Array(this.memory.buffer, header, headerBytes).set(new Uint8Array(block, 0, headerBytes));
    host.countObjects(OBJECTS_PER_BLOCK);
    host.receiveHeader(stream, Date.now());
    if (block.byteLength === headerBytes || !host.beginReceive(stream)) return;
    for (let channel = 0; channel < config.channels; channel++) {
      const samples = new Float32Array(block, headerBytes + channel * config.window * 4, config.window);
      new Float32Array(this.memory.buffer, host.receiveAddress(stream, channel), config.window).set(samples);
      host.countObjects(OBJECTS_PER_CHANNEL);
    }
    host.endReceive(stream);
  }

  close(): void {
    this.port.close();
  }
}
