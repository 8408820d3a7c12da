/** What feeds refuse: options and calls, each with what the error said. */
import { Wavepool, type FeedConfig, type Mode } from '../../lib/src/index.ts';
import { openFeed, type FeedTicket } from '../../lib/src/consumer.ts';

type Refusal = readonly [what: string, code: string, message: string];

const format = { channels: 1, frames: 256 };
const WRONG = {
  null: null,
  text: '2',
  object: {},
  NaN: NaN,
  negative: -1,
  zero: 0,
  infinite: Infinity,
  huge: 1e9,
  'beyond 32 bits': 2 ** 32 + 1,
  'largest double': Number.MAX_VALUE,
};

export async function feedOptions(mode: Mode): Promise<{ readonly refused: readonly Refusal[]; readonly accepted: readonly object[]; readonly leaked: number }> {
  const wavepool = await Wavepool.create({ mode });
  const context = new OfflineAudioContext(1, 128, 48_000);
  const open = (config: unknown, on: unknown = context): Promise<{ latencyFrames: number }> =>
    wavepool.feed(on as BaseAudioContext, config as FeedConfig);
  const refused: Refusal[] = [];
  const refuse = async (what: string, config: unknown, on: unknown = context): Promise<void> => {
    const [code, message] = await refusal(open(config, on));
    refused.push([what, code, message]);
  };
  for (const name of ['channels', 'frames', 'latencyMs']) {
    for (const [kind, value] of Object.entries(WRONG)) await refuse(`${name} ${kind}`, { ...format, [name]: value });
  }
  for (const name of ['channels', 'frames']) {
    await refuse(`${name} fraction`, { ...format, [name]: 1.5 });
    await refuse(`${name} missing`, { ...format, [name]: undefined });
  }
  await refuse('channels above', { ...format, channels: 33 });
  await refuse('frames above', { ...format, frames: 65_537 });
  await refuse('latencyMs above', { ...format, latencyMs: 10_000.1 });
  await refuse('latencyMs too much memory', { channels: 32, frames: 128, latencyMs: 10_000 }, new OfflineAudioContext(1, 128, 384_000));
  for (const live of [null, 1, 'true', {}]) await refuse(`live ${String(live)}`, { ...format, live });
  for (const config of [undefined, null, 3, 'text']) await refuse(`options ${String(config)}`, config);
  for (const on of [undefined, null, 3, {}]) await refuse(`context ${String(on)}`, format, on ?? null);
  const accepted = [];
  for (const config of [
    format,
    { channels: 32, frames: 1, latencyMs: 0.001 },
    { channels: 1, frames: 65_536, latencyMs: 1 },
    { channels: 1, frames: 128, latencyMs: 10_000, live: true },
    { ...format, latencyMs: 20, live: false },
  ]) {
    accepted.push({ ...config, latencyFrames: (await open(config)).latencyFrames });
  }
  return { refused, accepted, ...(await wavepool.close()) };
}

export async function feedCalls(mode: Mode): Promise<Readonly<Record<string, string>>> {
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext();
  const codes: Record<string, string> = {};
  const call = async (what: string, work: () => unknown): Promise<void> => {
    codes[what] = (await refusal(Promise.resolve().then(work)))[0];
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

async function refusal(work: Promise<unknown>): Promise<readonly [code: string, message: string]> {
  try {
    await work;
    return ['accepted', ''];
  } catch (thrown) {
    const { code, message } = thrown as { code?: string; message?: string };
    return [code ?? String(thrown), message ?? ''];
  }
}
