/** A user's worker that writes feeds until they are closed. It says `writing` of each, and `ended` once its loop has ended. */
import { openFeed, type FeedTicket, type FeedWriter } from '../../lib/src/consumer.ts';

export interface ToLoopWorker {
  readonly ticket: FeedTicket;
  /** `forget`: opens the feed and keeps nothing of it. */
  readonly use: 'write' | 'forget';
}

self.onmessage = async ({ data: { ticket, use } }: MessageEvent<ToLoopWorker>) => {
  const writer = openFeed(ticket);
  if (use === 'write') return write(writer);
  // The browser of the lifetime tests lets a script collect.
  const collect = (globalThis as { gc?: () => void }).gc;
  for (let i = 1; i <= 3; i++) setTimeout(() => collect?.(), 20 * i);
};

async function write(writer: FeedWriter): Promise<void> {
  let written = 0;
  for await (const block of writer.blocks()) {
    block.channel(0).fill(0.1);
    if (++written === 2) self.postMessage('writing');
  }
  self.postMessage('ended');
}
