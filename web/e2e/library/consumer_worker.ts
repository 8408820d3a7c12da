/** A user's worker that reads a tap and checks what it hears. */
import { openTap, type TapTicket } from '../../lib/src/consumer.ts';
import { Checker } from './sound.ts';

export interface ToWorker {
  readonly ticket: TapTicket;
  readonly blocks: number;
  /** Holds them all for ever. */
  readonly keep?: true;
  /** Says `null` once it has opened the tap. */
  readonly tell?: true;
}

self.onmessage = async ({ data: { ticket, blocks, keep, tell } }: MessageEvent<ToWorker>) => {
  const tap = await openTap(ticket);
  if (tell) self.postMessage(null);
  const checker = new Checker(tap.hop);
  for await (const block of tap.blocks()) {
    checker.see(block);
    if (keep) block.keep();
    if (checker.blocks === blocks) break;
  }
  self.postMessage(checker.result());
};
