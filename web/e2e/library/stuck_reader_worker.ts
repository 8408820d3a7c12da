/** A user's worker that reads a tap, and does something else for too long in the middle of it. */
import { openTap, type TapTicket } from '../../lib/src/consumer.ts';

const BUSY_MS = 2500;

self.onmessage = async ({ data: ticket }: MessageEvent<TapTicket>) => {
  const tap = await openTap(ticket);
  let blocks = 0;
  await tap.forEach(() => {
    blocks += 1;
    if (blocks === 20 || blocks === 40) self.postMessage(blocks);
    if (blocks === 20) for (const end = performance.now() + BUSY_MS; performance.now() < end; );
  });
};
