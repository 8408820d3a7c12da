import type { Host } from '../../wasm/transfer/wavepool.js';
import { messageOf } from '../shared/errors.ts';
import { BLOCKS_PER_RETURN, blocksInFlight, type HostPorts, type StreamConfig } from '../shared/protocol.ts';

/** Views per block on this side, both of its header. */
const VIEWS_PER_BLOCK = 2;
/** Views per channel on this side: one of the block, one of the memory. */
const VIEWS_PER_CHANNEL = 2;
/** Views that a JavaScript consumer makes per block, beside one per channel: one of the first frame. */
const VIEWS_OF_CONSUMER = 1;

/**
 * Transfer mode: reads counts and events from each block's header and returns the buffer to the worklet. Blocks for the tuner arrive from
 * the worklet, and their samples are copied into this side's pool; others arrive from the consumer that has read them.
 */
export class BlockReceiver {
  /** Settles when every sender has sent its final message. */
  readonly ended: Promise<unknown>;
  /** The worklet has reported its final counts. */
  hasFinalMessage = false;
  private readonly host: Host;
  private readonly memory: WebAssembly.Memory;
  private readonly stream: number;
  private readonly config: StreamConfig;
  private readonly ports: HostPorts;
  private refused = false;
  /** Blocks that were read and not returned to the worklet yet. */
  private returned: ArrayBuffer[] = [];

  /** `received` is called after each block, `failed` with what a block threw. */
  constructor(
    host: Host,
    memory: WebAssembly.Memory,
    stream: number,
    config: StreamConfig,
    ports: HostPorts,
    received: () => void,
    failed: (thrown: unknown) => void,
  ) {
    this.host = host;
    this.memory = memory;
    this.stream = stream;
    this.config = config;
    this.ports = ports;
    host.countBuffers(blocksInFlight(config), host.headerBytes() + config.channels * config.window * 4);
    const senders = ports.consumer ? [ports.worklet, ports.consumer] : [ports.worklet];
    const receive = (port: MessagePort): Promise<void> =>
      new Promise((end) => {
        port.onmessage = ({ data: block }: MessageEvent<ArrayBuffer | null>) => {
          if (block === null) {
            if (port === ports.worklet) this.hasFinalMessage = true;
            return end();
          }
          if (!this.isBlock(block)) return;
          try {
            this.receive(block);
            received();
          } catch (thrown) {
            // After a trap the host may be in any state; a header that was refused changed nothing.
            if (thrown instanceof WebAssembly.RuntimeError) failed(thrown);
            else this.refuse(messageOf(thrown));
          }
          this.returnBlock(block);
        };
      });
    this.ended = Promise.all(senders.map(receive));
  }

  /** Refuses messages that are no blocks: code of the page's user has the other end of the port. */
  private isBlock(message: unknown): message is ArrayBuffer {
    const { config } = this;
    const header = this.host.headerBytes();
    const whole = header + config.channels * config.window * Float32Array.BYTES_PER_ELEMENT;
    const bytes = message instanceof ArrayBuffer ? message.byteLength : null;
    if (bytes === header || bytes === whole) return true;
    this.refuse(`a block must be a buffer of ${header} or ${whole} bytes (got ${bytes ?? String(message)})`);
    return false;
  }

  /** Reports the first refusal only, because many are likely to follow. */
  private refuse(why: string): void {
    if (!this.refused) console.warn(`wavepool: blocks of stream ${this.stream} are refused: ${why}`);
    this.refused = true;
  }

  /** Returns several blocks in one message, because a message is garbage on the audio thread. A bare header means that it has none left. */
  private returnBlock(block: ArrayBuffer): void {
    this.returned.push(block);
    if (this.returned.length >= BLOCKS_PER_RETURN || block.byteLength === this.host.headerBytes()) this.returnAllBlocks();
  }

  /** Returns also blocks that wait for more of them. */
  returnAllBlocks(): void {
    const { returned } = this;
    if (returned.length === 0) return;
    this.ports.worklet.postMessage(returned, returned);
    this.host.countObjects(0, 1, 0);
    this.returned = [];
  }

  private receive(block: ArrayBuffer): void {
    const { host, stream, config } = this;
    const headerBytes = host.headerBytes();
    const header = host.headerAddress(stream);
    // The memory may have grown since the last block, which detaches earlier views.
    new Uint8Array(this.memory.buffer, header, headerBytes).set(new Uint8Array(block, 0, headerBytes));
    host.countObjects(VIEWS_PER_BLOCK, 0, 1);
    host.receiveHeader(stream, Date.now());
    if (block.byteLength === headerBytes) return;
    if (this.ports.consumer) host.countObjects(VIEWS_OF_CONSUMER + config.channels, 1, 1);
    else this.read(block, headerBytes);
  }

  private read(block: ArrayBuffer, headerBytes: number): void {
    const { host, stream, config } = this;
    if (!host.beginReceive(stream)) return;
    for (let channel = 0; channel < config.channels; channel++) {
      const samples = new Float32Array(block, headerBytes + channel * config.window * 4, config.window);
      new Float32Array(this.memory.buffer, host.receiveAddress(stream, channel), config.window).set(samples);
      host.countObjects(VIEWS_PER_CHANNEL, 0, 0);
    }
    host.endReceive(stream);
  }

  close(): void {
    this.ports.worklet.close();
    this.ports.consumer?.close();
  }
}
