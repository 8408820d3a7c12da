/** The worklet file. The names of its processors contain the build. */
import { FEED_PROCESSOR } from '../shared/feed_protocol.ts';
import { FeedProcessor } from './feed_worklet.ts';
import { PROCESSOR } from '../shared/processor_protocol.ts';
import { RustProcessor } from './processor_worklet.ts';
import { TAP_PROCESSOR } from '../shared/protocol.ts';
import { TapProcessor } from './tap_worklet.ts';

/** A name that is registered already is from this build, loaded from another address: names contain the build. */
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
