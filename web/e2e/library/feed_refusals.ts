/** What feeds refuse: calls at the wrong time or with impossible numbers, each with the code of the error. */
import { Wavepool, type Mode } from '../../lib/src/index.ts';
import { openFeed, type FeedTicket } from '../../lib/src/consumer.ts';

const format = { channels: 1, frames: 256 };
export async function feedCalls(mode: Mode): Promise<Readonly<Record<string, string>>> {
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext();
  const codes: Record<string, string> = {};
  const call = async (what: string, work: () => unknown): Promise<void> => {
    codes[what] = await codeOf(Promise.resolve().then(work));
  };
  const feed = await wavepool.feed(context, format);
  const blocks = feed.blocks();
  const { value: block } = await blocks.next();
  for (const channel of [-1, 1, 0.5, NaN, Infinity, 2 ** 32, '0', 'length', undefined, null]) {
    await call(`channel ${String(channel)}`, () => block!.channel(channel as number));
  }
  await call('a second loop', () => feed.blocks().next());
  await blocks.next();
  await call('a block that was sent', () => block!.channel(0));
  await blocks.return();
  await call('a loop after the first', () => feed.blocks().next());
  await call('handed over while it is written here', () => feed.handOver());
  feed.end();
  await call('end twice', () => feed.end());
  await call('a loop after the end', () => feed.blocks().next());
  feed.close();
  await call('close twice', () => feed.close());
  await call('end after close', () => feed.end());
  await call('a loop after close', () => feed.blocks().next());
  await call('handed over after close', () => feed.handOver());
  const handed = await wavepool.feed(context, format);
  const ticket = handed.handOver();
  await call('written here after it was handed over', () => handed.blocks().next());
  await call('handed over twice', () => handed.handOver());
  const writer = openFeed(ticket);
  await call('a ticket opened twice', () => openFeed(ticket));
  for (const wrong of [undefined, null, 3, {}, { format }]) await call(`ticket ${JSON.stringify(wrong)}`, () => openFeed(wrong as unknown as FeedTicket));
  const loop = (async () => {
    for await (const each of writer.blocks()) each.channel(0).fill(0);
  })();
  handed.close();
  await loop;
  await call('a writer after close', () => writer.blocks().next());
  await context.close();
  await call('on a closed context', () => wavepool.feed(context, format));
  await wavepool.close();
  return codes;
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'accepted';
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown);
  }
}
