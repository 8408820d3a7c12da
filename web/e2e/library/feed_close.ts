/** Feeds that are closed: by themselves and with the pool, wherever they are written. */
import { Wavepool, type Feed, type Mode } from '../../lib/src/index.ts';
import type { ToLoopWorker } from './feed_loop_worker.ts';
import { Probe } from './probe.ts';

const format = { channels: 1, frames: 256 };
const FEW = 20;
const MANY = 200;

/** Ways in which a feed is used before it is closed. */
class Feeds {
  readonly open: Feed[] = [];
  loopsEnded = 0;
  private writing = 0;
  private readonly worker = new Worker(new URL('./feed_loop_worker.ts', import.meta.url), { type: 'module' });
  private readonly wavepool: Wavepool;
  private readonly context: AudioContext;

  constructor(wavepool: Wavepool, context: AudioContext) {
    this.wavepool = wavepool;
    this.context = context;
    this.worker.onmessage = ({ data }: MessageEvent<'writing' | 'ended'>) => {
      if (data === 'writing') this.writing += 1;
      else this.loopsEnded += 1;
    };
  }

  async neverWritten(count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.open.push(await this.make());
  }

  async writtenHere(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const feed = await this.make();
      this.open.push(feed);
      void this.write(feed);
    }
  }

  async handedOver(count: number): Promise<void> {
    this.writing = 0;
    for (let i = 0; i < count; i++) {
      const feed = await this.make();
      this.open.push(feed);
      const ticket = feed.handOver();
      this.worker.postMessage({ ticket, use: 'write' } satisfies ToLoopWorker, ticket.ports);
    }
    await until(() => this.writing === count);
  }

  close(): void {
    for (const feed of this.open.splice(0)) feed.close();
  }

  end(): void {
    this.worker.terminate();
  }

  private async make(): Promise<Feed> {
    const feed = await this.wavepool.feed(this.context, format);
    feed.node.connect(this.context.destination);
    return feed;
  }

  private async write(feed: Feed): Promise<void> {
    for await (const block of feed.blocks()) block.channel(0).fill(0.1);
    this.loopsEnded += 1;
  }
}

export async function feedsClosed(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext();
  const probe = await Probe.load(context);
  const feeds = new Feeds(wavepool, context);
  await feeds.neverWritten(1);
  await feeds.neverWritten(FEW);
  const openedNow = feeds.open.length;
  // Proves that the probe counts; the last ones may only just have started.
  const whileOpen = await probe.called();
  feeds.close();
  await pause(50);
  const neverWritten = await probe.called();
  await feeds.writtenHere(FEW);
  feeds.close();
  await feeds.handedOver(MANY);
  feeds.close();
  await until(() => feeds.loopsEnded === FEW + MANY);
  const written = await probe.called();
  const loopsEnded = feeds.loopsEnded;
  await feeds.neverWritten(5);
  await feeds.writtenHere(5);
  await feeds.handedOver(5);
  await wavepool.close();
  await until(() => feeds.loopsEnded === FEW + MANY + 10);
  const withThePool = await probe.called();
  feeds.end();
  await context.close();
  return { counted: whileOpen > openedNow / 2, neverWritten, written, loopsEnded, withThePool, loopsEndedAtLast: feeds.loopsEnded };
}

/** Every method of a pool after `close`, and what was opening when it was called. */
export async function poolClosed(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const context = new AudioContext();
  const probe = await Probe.load(context);
  const source = new ConstantSourceNode(context);
  const windows = { window: 1024, hop: 1024, channels: 1 };
  const methods: Readonly<Record<string, (wavepool: Wavepool) => Promise<unknown>>> = {
    tap: (wavepool) => wavepool.tap(source, windows),
    tuner: (wavepool) => wavepool.tuner(source, windows),
    feed: (wavepool) => wavepool.feed(context, format),
    pool: (wavepool) => wavepool.pool(),
    handOverPool: (wavepool) => wavepool.handOverPool(),
    metrics: (wavepool) => wavepool.metrics(),
    restart: (wavepool) => wavepool.restart(),
    fault: (wavepool) => wavepool.fault('leak-one'),
    exercise: (wavepool) => wavepool.exercise(true),
    startRecording: (wavepool) => wavepool.startRecording(),
    stopRecording: (wavepool) => wavepool.stopRecording(),
  };
  const code = (work: Promise<unknown>): Promise<string> => work.then(() => 'accepted', (thrown: { code?: string }) => thrown.code ?? String(thrown));
  const wavepool = await Wavepool.create({ mode });
  const opening = Promise.all(['tap', 'tuner', 'feed', 'pool', 'handOverPool'].map((name) => code(methods[name]!(wavepool))));
  const closed = await wavepool.close();
  const whileOpening = await opening;
  const after = await Promise.all(Object.entries(methods).map(async ([name, method]) => [name, await code(method(wavepool))]));
  const again = await wavepool.close();
  await pause(50);
  const left = await probe.called();
  await context.close();
  return { closed, whileOpening, after: Object.fromEntries(after), again, left };
}

async function until(done: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!done()) {
    if (performance.now() > end) return;
    await pause(10);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
