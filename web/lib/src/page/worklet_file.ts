import { WavepoolError, messageOf } from '../shared/errors.ts';
import { contextClosed, whileContextRuns } from './lifetime.ts';

const added = new WeakMap<BaseAudioContext, Promise<void>>();

/** Loads the worklet file into the context, once. */
export async function addWorklet(context: BaseAudioContext, url: string | URL): Promise<void> {
  if (!context.audioWorklet) {
    throw new WavepoolError(
      'no-audio-worklet',
      'This page has no AudioWorklet. Open it over https or from localhost, in a browser from 2021 or later.',
    );
  }
  let ready = added.get(context);
  if (!ready) {
    ready = context.audioWorklet.addModule(url).catch((thrown: unknown) => {
      added.delete(context);
      if (context.state === 'closed') throw contextClosed();
      throw new WavepoolError(
        'worklet-failed',
        `The worklet file could not be loaded from ${String(url)}: ${messageOf(thrown)}. Serve it as JavaScript from the page's own origin.`,
        thrown,
      );
    });
    added.set(context, ready);
  }
  await whileContextRuns(context, ready);
}

/**
 * Makes a node of a processor that the worklet file has registered.
 *
 * @throws {@link WavepoolError} `context-closed`; `worklet-failed` when the file that was loaded is from
 * another build than this script.
 */
export function workletNode(context: BaseAudioContext, name: string, options: AudioWorkletNodeOptions): AudioWorkletNode {
  try {
    return new AudioWorkletNode(context, name, options);
  } catch (thrown) {
    if (context.state === 'closed') throw contextClosed();
    if ((thrown as { name?: unknown }).name !== 'InvalidStateError') throw thrown;
    throw new WavepoolError(
      'worklet-failed',
      `The worklet file that was loaded has no "${name}": it is from another version of the package than this script. ` +
        'Serve the worklet.js that came with it.',
      thrown,
    );
  }
}
