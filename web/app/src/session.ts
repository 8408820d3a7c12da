import type { Snapshot, Tuner, Wavepool } from '../../lib/src/index.ts';
import { Problem } from './problem.ts';
import type { Source } from './sources.ts';

/** Frames per window and between windows: long enough for the piano's lowest notes, often enough to look live. */
export const analysis = { window: 4096, hop: 1024, channels: 1 } as const;

/** In Hz. A window must hold two periods of a piano's lowest note, 27.5 Hz: 4096 frames do up to 56 kHz. */
const highestRate = 48_000;

/** `waiting`: the browser holds the sound back until somebody touches the page. */
export type State = 'idle' | 'starting' | 'waiting' | 'running' | 'ended';

export interface SessionEvents {
  /** `label` names the source, if there is one. */
  state(state: State, source: Source | null): void;
  /** A tuner is about to open: what was logged of the one before is history. */
  opening(context: AudioContext): void;
  /** A tuner closed; its last figures. */
  closed(last: Snapshot): void;
  problem(reason: unknown): void;
}

/**
 * One sound at a time through one tuner.
 *
 * Changes run one after the other, so that a tuner is closed, and all its buffers are back, before the next opens.
 * A source that is ready only after something newer was asked for (a permission granted late) is closed unused.
 */
export class Session {
  readonly #wavepool: Wavepool;
  readonly #events: SessionEvents;
  #context: AudioContext | null = null;
  #source: Source | null = null;
  #tuner: Tuner | null = null;
  #queue: Promise<void> = Promise.resolve();
  #request = 0;
  #ended = false;
  /** Nothing sounds and nothing was asked for: the context is suspended, and the device may sleep. */
  #resting = false;

  constructor(wavepool: Wavepool, events: SessionEvents) {
    this.#wavepool = wavepool;
    this.#events = events;
  }

  get source(): Source | null {
    return this.#source;
  }

  /** Changes over to the source that `open` makes. The former source goes on if it cannot be opened. */
  async listen(open: (context: AudioContext) => Source | Promise<Source>): Promise<void> {
    this.#request += 1;
    const request = this.#request;
    try {
      // Before anything is awaited, so that it still counts as part of the gesture: browsers let a context sound only then.
      const context = this.#usableContext();
      this.#resting = false;
      this.wake();
      this.#events.state('starting', null);
      const source = await open(context);
      await this.#enqueue(() => this.#change(source, request));
    } catch (error) {
      if (request !== this.#request) return;
      this.#events.problem(error);
      this.#tellState();
      this.#rest();
    }
  }

  async stop(): Promise<void> {
    this.#request += 1;
    const request = this.#request;
    try {
      await this.#enqueue(() => this.#close());
    } catch (error) {
      this.#events.problem(error);
    }
    // Something newer may have been asked for meanwhile; what it says of itself stands.
    if (request !== this.#request) return;
    this.#tellState();
    this.#rest();
  }

  /** To be called in any gesture: a sound that the browser holds back begins. */
  wake(): void {
    if (this.#resting) return;
    // Not awaited: without a gesture it stays pending until one comes. Whatever `state` says: a suspension may be under way.
    // A refusal shows in `state`, as waiting.
    this.#context?.resume().catch(() => undefined);
  }

  #rest(): void {
    if (this.#source) return;
    this.#resting = true;
    this.#context?.suspend().catch(() => undefined);
  }

  async #change(source: Source, request: number): Promise<void> {
    try {
      if (request !== this.#request) {
        source.release();
        return;
      }
      await this.#close();
      this.#events.opening(source.node.context as AudioContext);
      await this.#tune(source);
    } catch (error) {
      source.release();
      throw error;
    }
    this.#source = source;
    this.#ended = false;
    source.start((why) => {
      if (this.#source !== source) return;
      this.#ended = true;
      if (why) this.#events.problem(new Problem(why));
      this.#tellState();
    });
    this.#tellState();
  }

  async #tune(source: Source): Promise<void> {
    const tuner = await this.#wavepool.tuner(source.node, analysis);
    tuner.onFault = (message) => {
      this.#events.problem(new Problem(`The audio thread failed and was stopped: ${message}. Choose a sound again.`));
      void this.stop();
    };
    this.#tuner = tuner;
  }

  /** Another tuner on the same sound, beside the one that is shown. */
  async tuneBeside(window: number, hop: number): Promise<Tuner> {
    if (!this.#source) throw new Problem('Nothing sounds: choose a sound first.');
    return this.#wavepool.tuner(this.#source.node, { window, hop, channels: 1 });
  }

  /** The tuner is gone, the sound is not: opens another one on it. */
  async retune(): Promise<void> {
    await this.#enqueue(async () => {
      const source = this.#source;
      if (!source) return;
      this.#tuner = null;
      this.#events.opening(source.node.context as AudioContext);
      await this.#tune(source);
    });
  }

  async #close(): Promise<void> {
    const tuner = this.#tuner;
    const source = this.#source;
    this.#tuner = null;
    this.#source = null;
    try {
      if (tuner) this.#events.closed(await tuner.close());
    } finally {
      source?.release();
    }
  }

  /** A failed task is its caller's to report; the ones behind it run all the same. */
  #enqueue(task: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(task);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  #tellState(): void {
    const source = this.#source;
    if (!source) this.#events.state('idle', null);
    else if (this.#ended) this.#events.state('ended', source);
    else this.#events.state(source.node.context.state === 'running' ? 'running' : 'waiting', source);
  }

  #usableContext(): AudioContext {
    if (!window.isSecureContext) {
      throw new Problem('Browsers run audio worklets only on pages loaded securely. Open this page over https or from localhost.');
    }
    if (!this.#context) {
      this.#context = openContext();
      this.#context.addEventListener('statechange', () => {
        if (this.#source) this.#tellState();
      });
    }
    if (!('audioWorklet' in this.#context)) {
      throw new Problem('This browser has no AudioWorklet. Use a current Chrome, Edge, Firefox or Safari.');
    }
    return this.#context;
  }
}

function openContext(): AudioContext {
  const context = new AudioContext({ latencyHint: 'interactive' });
  if (context.sampleRate <= highestRate) return context;
  context.close().catch(() => undefined);
  return new AudioContext({ latencyHint: 'interactive', sampleRate: highestRate });
}
