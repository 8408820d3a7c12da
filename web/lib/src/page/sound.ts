import type { SoundSummary } from '../generated/messages.ts';
import type { HostWorker } from './host_worker.ts';
import { invalid } from './options.ts';

/** Windows that are posted to the control worker at a time: few enough that its other requests do not wait for long. */
const WINDOWS_PER_BLOCK = 16;

/** Has the control worker analyse a sound, block by block, so that it is never at work on one for long. */
export async function analyseSound(host: HostWorker, sound: AudioBuffer, signal?: AbortSignal): Promise<SoundSummary> {
  if (typeof (sound as Partial<AudioBuffer> | null)?.copyFromChannel !== 'function') throw invalid('sound', 'an AudioBuffer', sound);
  const { numberOfChannels: channels, sampleRate, length } = sound;
  const opened = await host.request<'openSound'>({ kind: 'openSound', sampleRate, channels });
  const close = (): Promise<{ summary: string }> => host.request<'closeSound'>({ kind: 'closeSound', sound: opened.sound });
  try {
    const block = WINDOWS_PER_BLOCK * opened.window;
    for (let at = 0; at < length; at += block) {
      signal?.throwIfAborted();
      const samples = Array.from({ length: channels }, (_, channel) => {
        const part = new Float32Array(Math.min(block, length - at));
        sound.copyFromChannel(part, channel, at);
        return part;
      });
      const buffers = samples.map(({ buffer }) => buffer);
      await host.request<'addSound'>({ kind: 'addSound', sound: opened.sound, samples }, buffers);
    }
  } catch (thrown) {
    // What ended the analysis is reported; the worker may be gone.
    close().catch(() => undefined);
    throw thrown;
  }
  return JSON.parse((await close()).summary) as SoundSummary;
}
