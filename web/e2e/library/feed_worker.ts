/** A user's worker that writes a sine into a feed, and takes breaks in which the feed runs dry. */
import { openFeed, type FeedTicket } from '../../lib/src/consumer.ts';

export interface ToFeedWorker {
  readonly ticket: FeedTicket;
  readonly hz: number;
  readonly blocks: number;
  /** After so many blocks comes a break. */
  readonly breakAfter: number;
}

self.onmessage = async ({ data: { ticket, hz, blocks, breakAfter } }: MessageEvent<ToFeedWorker>) => {
  const feed = openFeed(ticket);
  let written = 0;
  for await (const block of feed.blocks()) {
    const samples = block.channel(0);
    for (let i = 0; i < block.frames; i++) {
      samples[i] = 0.5 * Math.sin((2 * Math.PI * hz * (block.firstFrame + i)) / feed.format.sampleRate);
    }
    if (++written === blocks) break;
    if (written % breakAfter === 0) await new Promise((resume) => setTimeout(resume, 400));
  }
  feed.end();
  self.postMessage(written);
};
