/** A user's worker that reads a tap and checks what it hears. */
import { openTap, type TapTicket } from '../../lib/src/consumer.ts';
import { Checker } from './sound.ts';

export interface ToWorker {
  readonly ticket: TapTicket;
  readonly blocks: number;
}

self.onmessage = async ({ data: { ticket, blocks } }: MessageEvent<ToWorker>) => {
  const tap = await openTap(ticket);
  const checker = new Checker(tap.hop);
  for await (const block of tap.blocks()) {
    checker.see(block);
    if (checker.blocks === blocks) break;
  }
  self.postMessage(checker.result());
};
