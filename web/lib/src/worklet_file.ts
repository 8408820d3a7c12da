import { WavepoolError, messageOf } from './errors.ts';

const added = new WeakMap<BaseAudioContext, Promise<void>>();

/** Loads the worklet file into the context, once. */
export function addWorklet(context: BaseAudioContext, url: string | URL): Promise<void> {
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
      throw new WavepoolError(
        'worklet-failed',
        `The worklet file could not be loaded from ${String(url)}: ${messageOf(thrown)}. Serve it as JavaScript from the page's own origin.`,
        thrown,
      );
    });
    added.set(context, ready);
  }
  return ready;
}
