/** How taps and tuners end: closed in the middle of a loop, with their context, twice, and with what is left of the sound. */
import { Wavepool, type Block, type Mode, type StreamFigures, type Tap, type TapConfig } from '../../lib/src/index.ts';
import type { ToWorker } from './consumer_worker.ts';
import { Checker, codeOf, stage, type Checked } from './sound.ts';

const stereo = { window: 2048, hop: 512, channels: 2 };

/** A tap is closed while the body of its loop has a current block and kept ones, and goes on using them. */
export async function closedInTheBody(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  const kept: Block[] = [];
  const checker = new Checker(stereo.hop);
  let [turns, after] = [0, 0];
  for await (const block of tap.blocks()) {
    if (++turns <= 4) kept.push(block.keep());
    if (turns !== 5) continue;
    await tap.close();
    await new Promise((resume) => setTimeout(resume, 100));
    for (const one of [...kept, block]) checker.see(one);
    after = turns;
  }
  const [first, second, ...rest] = kept as [Block, Block];
  const released = codeOf(() => first.release());
  const again = codeOf(() => first.release());
  const seenAgain = second.channel(1)[0] === -second.channel(0)[0]!;
  for (const one of [second, ...rest.slice(0, -1)]) one.release();
  const last = kept.at(-1)!;
  const outcome = await end();
  // The pool has taken back what was still kept.
  const codes = [codeOf(() => last.channel(0)), codeOf(() => last.release()), codeOf(() => last.release())];
  return { turns, after, seen: checker.result(), released, again, seenAgain, codes, ...outcome };
}

/** What was received of a tap with `flush` that is closed at some moment, in all. */
interface Flushed {
  readonly seen: Checked;
  readonly figures: StreamFigures;
  /** Frames of the last block, and the frame after it. */
  readonly last: number;
  readonly end: number;
  readonly leaked: number;
}

export async function flushed(mode: Mode): Promise<Flushed> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, { window: 4096, hop: 4096, channels: 2, flush: true });
  const checker = new Checker(4096);
  let [last, ends] = [0, 0];
  let figures: Promise<StreamFigures> | null = null;
  for await (const block of tap.blocks()) {
    checker.see(block);
    last = block.frames;
    ends = block.firstFrame + block.frames;
    if (checker.blocks === 5) {
      // Not at a moment at which a window ends.
      await new Promise((resume) => setTimeout(resume, 30));
      await (figures = tap.close());
    }
  }
  return { seen: checker.result(), figures: await figures!, last, end: ends, ...(await end()) };
}

export async function flushedInAWorker(mode: Mode): Promise<Omit<Flushed, 'last' | 'end'>> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, { window: 4096, hop: 4096, channels: 2, flush: true });
  const { worker, seen } = await readElsewhere(tap);
  await new Promise((resume) => setTimeout(resume, 500));
  const figures = await tap.close();
  const outcome = { seen: await seen, figures, ...(await end()) };
  worker.terminate();
  return outcome;
}

/** A worker that has opened the tap, and reads it to its end. */
async function readElsewhere(tap: Tap): Promise<{ worker: Worker; seen: Promise<Checked> }> {
  const worker = new Worker(new URL('./consumer_worker.ts', import.meta.url), { type: 'module' });
  let seen!: Promise<Checked>;
  await new Promise<void>((opened) => {
    seen = new Promise((read) => (worker.onmessage = ({ data }: MessageEvent<Checked | null>) => (data === null ? opened() : read(data))));
    const ticket = tap.handOver();
    worker.postMessage({ ticket, blocks: Infinity, tell: true } satisfies ToWorker, ticket.ports);
  });
  return { worker, seen };
}

/** What waits when a tap with `flush` is closed can still be read. */
export async function readAfterClose(mode: Mode): Promise<Flushed> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, { window: 4096, hop: 4096, channels: 2, flush: true });
  await new Promise((resume) => setTimeout(resume, 150));
  const figures = await tap.close();
  const checker = new Checker(4096);
  let [last, ends] = [0, 0];
  for await (const block of tap.blocks()) {
    checker.see(block);
    last = block.frames;
    ends = block.firstFrame + block.frames;
  }
  return { seen: checker.result(), figures, last, end: ends, ...(await end()) };
}

/** The context is closed while loops read, here and in a worker, and a tuner listens. */
export async function contextClosesWhileRead(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, context, source } = await stage(mode);
  const [here, there, unread] = await Promise.all([wavepool.tap(source, stereo), wavepool.tap(source, stereo), wavepool.tap(source, stereo)]);
  const tuner = await wavepool.tuner(source, { window: 2048, hop: 1024, channels: 1 });
  const { worker, seen: theirs } = await readElsewhere(there);
  const checker = new Checker(stereo.hop);
  for await (const block of here.blocks()) {
    checker.see(block);
    if (checker.blocks === 20) void context.close();
  }
  const far = await theirs;
  const reasons = await Promise.all([here, there, unread, tuner].map(({ closed }) => closed));
  const refused = await wavepool.tap(source, stereo).then(() => null, (thrown: { code: string }) => thrown.code);
  worker.terminate();
  const figures = await here.close();
  return { page: checker.result(), far, reasons, refused, figures, ...(await wavepool.close()) };
}

/** Everything is closed twice, one after the other and at once, and disposed of besides. */
export async function closedTwice(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, context, source } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  const tuner = await wavepool.tuner(source, stereo);
  const taps = await Promise.all([tap.close(), tap.close()]);
  const tuners = await Promise.all([tuner.close(), tuner.close()]);
  const same = [(await tap.close()) === taps[0], taps[0] === taps[1], tuners[0] === tuners[1]];
  {
    await using disposed = await wavepool.tap(source, stereo);
    await disposed.close();
    await using other = await wavepool.tuner(source, stereo);
    await other.close();
  }
  const opening = wavepool.tap(source, stereo).then(() => 'opened', (thrown: { code?: string }) => thrown.code ?? String(thrown));
  const pools = await Promise.all([wavepool.close(), wavepool.close()]);
  const later = await wavepool.close();
  await wavepool[Symbol.asyncDispose]();
  const codes = [await opening];
  for (const refused of [() => wavepool.tap(source, stereo), () => wavepool.tuner(source, stereo), () => wavepool.restart(), () => wavepool.metrics()]) {
    codes.push(await refused().then(() => 'done', (thrown: { code?: string }) => thrown.code ?? String(thrown)));
  }
  {
    await using explicit = await Wavepool.create({ mode });
    await explicit.close();
  }
  await context.close();
  return { same, pools, later, codes };
}

/** Every option of a tap and a tuner with every kind of value that it cannot have. */
export async function refusedOptions(mode: Mode): Promise<Readonly<Record<string, string>>> {
  const { wavepool, context, source, end } = await stage(mode);
  const values: Record<string, unknown> = {
    missing: undefined, null: null, text: '2048', boolean: true, object: {}, array: [2048], function: () => 2048, symbol: Symbol('2048'), bigint: 2048n,
    bare: Object.create(null), NaN: NaN, infinite: Infinity, negative: -1, zero: 0, fraction: 3.5, huge: 2 ** 53, beyond: 1e300,
  };
  const answers: Record<string, string> = {};
  const refusal = async (open: () => Promise<unknown>): Promise<string> =>
    open().then(() => 'accepted', (thrown: { code?: string; message: string }) => `${thrown.code}: ${thrown.message}`);
  for (const option of ['window', 'hop', 'channels', 'flush'] as const) {
    for (const [name, value] of Object.entries(values)) {
      if (option === 'flush' && (name === 'missing' || name === 'boolean')) continue;
      const config = { ...stereo, [option]: value } as unknown as TapConfig;
      answers[`tap ${option} ${name}`] = await refusal(() => wavepool.tap(source, config));
      answers[`tuner ${option} ${name}`] = await refusal(() => wavepool.tuner(source, config));
    }
  }
  for (const [name, value] of Object.entries(values)) {
    answers[`node ${name}`] = await refusal(() => wavepool.tap(value as AudioNode, stereo));
    if (name === 'object' || name === 'bare' || name === 'array') continue;
    answers[`options ${name}`] = await refusal(() => wavepool.tap(source, value as TapConfig));
  }
  answers['node destination'] = await refusal(() => wavepool.tap(context.destination, stereo));
  for (const [name, config] of Object.entries({
    'window 255': { window: 255, hop: 128, channels: 1 }, 'window 4097': { window: 4097, hop: 128, channels: 1 },
    'hop 63': { window: 4096, hop: 63, channels: 1 }, 'hop 4097': { window: 4096, hop: 4097, channels: 1 }, 'channels 17': { window: 256, hop: 256, channels: 17 },
  })) answers[name] = await refusal(() => wavepool.tap(source, config));
  // The limits themselves are accepted.
  for (const config of [{ window: 256, hop: 4, channels: 1 }, { window: 4096, hop: 4096, channels: 16 }, { window: 257, hop: 5, channels: 2 }]) {
    const tap = await wavepool.tap(source, config);
    await tap.close();
  }
  const { streams } = await new Promise<{ streams: readonly unknown[] }>((resolve) => {
    wavepool.onSnapshot(resolve);
    void wavepool.metrics();
  });
  const { leaked } = await end();
  return { ...answers, open: String(streams.length), leaked: String(leaked) };
}
