import type { FeedFigures, ObjectCounts, PoolMetrics } from '../generated/snapshot.ts';

/** What {@link Wavepool.metrics} returns: the pools of all threads together, the JavaScript objects, and the open feeds. */
export interface Metrics extends PoolMetrics {
  readonly objects: ObjectCounts;
  readonly feeds: readonly FeedFigures[];
}
