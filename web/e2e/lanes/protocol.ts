/** The name under which the measuring worklet file registers its processor. */
export const LANES_PROCESSOR = 'wavepool-lanes';

/** Normal events per quantum: 6000 a second. */
export const FLOOD = 16;

/** How long the floor's worker sleeps: as long as the control worker does (`POLL_MS` of `web/lib/src/control/worker.ts`). */
export const POLL_MS = 0.2;

/** Words that the worklet and the floor's worker share. */
export const QUANTUM = 0;
export const SLEEP = 1;

export interface LanesOptions {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly words: Int32Array;
  /** How many quanta publish. */
  readonly quanta: number;
}

/** What the processor says when it is done: events that found their lane full. */
export interface LanesDone {
  readonly dropped: number;
}
