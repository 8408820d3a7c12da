import { invalid, optionsObject, trueOrFalse, wholeNumber } from './options.ts';
import type { StreamLimits } from '../generated/messages.ts';
import type { StreamConfig } from '../shared/protocol.ts';

export interface TapConfig {
  /** Frames per window, 256 to 4096. */
  readonly window: number;
  /** Frames between the starts of two windows: at most `window`, at least a 64th of it. */
  readonly hop: number;
  /** 1 to 16. */
  readonly channels: number;
  /**
   * For a tap: when it is closed, queued windows are still delivered, then the frames that do not fill a window, as a last block with fewer
   * {@link Block.frames}. Default: false. These last frames are lost when a context is closed, but not when an `OfflineAudioContext` has
   * rendered everything.
   */
  readonly flush?: boolean;
}

/** The configuration of the stream of a tap or a tuner. Throws `bad-option` with the name, the limits and the value of an invalid option. */
export function streamConfig(
  node: AudioNode,
  config: TapConfig,
  consumer: StreamConfig['consumer'],
  limits: StreamLimits,
): StreamConfig {
  checkNode(node);
  const { window, hop, channels, flush } = optionsObject('options', 'an object with window, hop and channels', config);
  const [leastWindow, mostWindow] = limits.window;
  wholeNumber('window', window, leastWindow, mostWindow);
  return {
    sample_rate: node.context.sampleRate,
    window,
    hop: wholeNumber('hop', hop, Math.ceil(window / limits.most_overlap), window),
    channels: wholeNumber('channels', channels, 1, limits.most_channels),
    consumer,
    flush: trueOrFalse('flush', flush, false),
  };
}

function checkNode(node: AudioNode): void {
  const given = optionsObject('node', 'an AudioNode', node) as Partial<AudioNode>;
  if (typeof given.connect !== 'function' || typeof given.context !== 'object') throw invalid('node', 'an AudioNode', node);
  if (given.numberOfOutputs === 0) throw invalid('node', 'an AudioNode with an output, which a destination does not have', node);
}
