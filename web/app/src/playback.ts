/** What browsers tell about the sound that did not arrive in time. Not in TypeScript's DOM library yet. */
interface PlaybackStats {
  readonly underrunEvents: number;
}

/** Underruns of a context since `mark()`, or `null` where the browser does not count them. */
export class Underruns {
  #context: (AudioContext & { readonly playbackStats?: PlaybackStats }) | null = null;
  #before = 0;

  mark(context: AudioContext): void {
    this.#context = context;
    this.#before = this.#events() ?? 0;
  }

  get count(): number | null {
    const events = this.#events();
    return events === null ? null : events - this.#before;
  }

  #events(): number | null {
    return this.#context?.playbackStats?.underrunEvents ?? null;
  }
}
