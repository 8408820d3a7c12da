/** A sound that tells of every sample where it belongs: the left channel counts frames, the right one counts them down. */
import { Wavepool, type Mode } from '../../lib/src/index.ts';
import type { Block, Tap } from '../../lib/src/index.ts';

/** Samples count in these steps: floats hold them exactly, and they are quiet. */
const STEP = 2 ** -22;
const SECONDS = 60;

export interface Stage {
  readonly wavepool: Wavepool;
  readonly context: AudioContext;
  readonly source: AudioBufferSourceNode;
  end(): Promise<{ leaked: number }>;
}

/** Plays the sound into a context, from now on. */
export function play(context: BaseAudioContext): AudioBufferSourceNode {
  const buffer = new AudioBuffer({ numberOfChannels: 2, length: SECONDS * context.sampleRate, sampleRate: context.sampleRate });
  const [left, right] = [buffer.getChannelData(0), buffer.getChannelData(1)];
  for (let frame = 0; frame < buffer.length; frame++) {
    left[frame] = (frame + 1) * STEP;
    right[frame] = -(frame + 1) * STEP;
  }
  const source = new AudioBufferSourceNode(context, { buffer });
  source.start();
  return source;
}

export async function stage(mode: Mode, options: AudioContextOptions = {}): Promise<Stage> {
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext(options);
  const source = play(context);
  return {
    wavepool,
    context,
    source,
    async end() {
      const last = await wavepool.close();
      await context.close();
      return last;
    },
  };
}

/** Looks at every sample of the blocks it is given; counts what is not as it should be. */
export class Checker {
  blocks = 0;
  /** Samples that do not follow their neighbour, or differ between the channels. */
  wrong = 0;
  /** Blocks that do not begin a hop after the one before. */
  gaps = 0;
  silent = 0;
  private readonly hop: number;
  private next = -1;

  constructor(hop: number) {
    this.hop = hop;
  }

  see(block: Block): void {
    this.blocks += 1;
    if (this.next >= 0 && block.firstFrame !== this.next) this.gaps += 1;
    this.next = block.firstFrame + this.hop;
    const left = block.channel(0);
    // What sounded before the source did.
    if (left[0] === 0) this.silent += 1;
    else
      for (let i = 0; i < block.frames; i++) {
        if (Math.round(left[i]! / STEP) !== Math.round(left[0]! / STEP) + i) this.wrong += 1;
        if (block.channelCount > 1 && block.channel(1)[i] !== -left[i]!) this.wrong += 1;
      }
  }

  result(): Checked {
    const { blocks, wrong, gaps, silent } = this;
    return { blocks, wrong, gaps, silent };
  }
}

export interface Checked {
  readonly blocks: number;
  readonly wrong: number;
  readonly gaps: number;
  readonly silent: number;
}

/** The code of what a call throws; null if it throws nothing. */
export function codeOf(call: () => unknown): string | null {
  try {
    call();
    return null;
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown);
  }
}

/** Reads so many blocks and counts the wrong samples; a window that was skipped meanwhile is no matter here. */
export async function read(tap: Tap, blocks: number): Promise<{ blocks: number; wrong: number }> {
  const checker = new Checker(0);
  for await (const block of tap.blocks()) {
    checker.see(block);
    if (checker.blocks === blocks) break;
  }
  return { blocks: checker.blocks, wrong: checker.wrong };
}
