/** The worklet file: what it registers carries the build in its name. */
import { FEED_PROCESSOR } from '../shared/feed_protocol.ts';
import { FeedProcessor } from './feed_worklet.ts';
import { PROCESSOR } from '../shared/processor_protocol.ts';
import { RustProcessor } from './processor_worklet.ts';
import { TAP_PROCESSOR } from '../shared/protocol.ts';
import { TapProcessor } from './tap_worklet.ts';

/** A name that is taken already is this build's, loaded from another address: names carry the build. */
function register(name: string, processor: Parameters<typeof registerProcessor>[1]): void {
  try {
    registerProcessor(name, processor);
  } catch (thrown) {
    if ((thrown as { name?: unknown }).name !== 'NotSupportedError') throw thrown;
  }
}

register(TAP_PROCESSOR, TapProcessor);
register(PROCESSOR, RustProcessor);
register(FEED_PROCESSOR, FeedProcessor);
