import { WavepoolError } from '../shared/errors.ts';

/** Why a tap or a tuner is closed. */
export type CloseReason =
  /** By its own `close()`, or by that of the pool. */
  | 'closed'
  /** Its `AudioContext` was closed, or its `OfflineAudioContext` has rendered everything. */
  | 'context-closed'
  /** The worker that read the tap has died. */
  | 'reader-lost'
  /** The control worker has died, or `restart()` ended it. */
  | 'host-failed';

/**
 * Calls `closed` once when the context closes: in a later task, or now if it is closed already. Returns a function that stops watching,
 * which may be called at any time.
 */
export function whenContextCloses(context: BaseAudioContext, closed: () => void): () => void {
  const stop = (): void => context.removeEventListener('statechange', look);
  const look = (): void => {
    if (context.state !== 'closed') return;
    stop();
    closed();
  };
  context.addEventListener('statechange', look);
  look();
  return stop;
}

/** The error of calls that need a context that still runs. */
export function contextClosed(): WavepoolError {
  return new WavepoolError(
    'context-closed',
    'The audio context is closed, or has rendered everything. Create another context, and open this on a node of that one.',
  );
}

/** The error of calls on a pool that was closed. */
export function poolClosed(): WavepoolError {
  return new WavepoolError('closed', 'The pool was closed. Create another one with `Wavepool.create()`.');
}

/** The outcome of `work`, unless the context closes first: work on its audio thread may not settle then. */
export function whileContextRuns<T>(context: BaseAudioContext, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = whenContextCloses(context, () => reject(contextClosed()));
    work.then(resolve, reject).finally(stop);
  });
}
