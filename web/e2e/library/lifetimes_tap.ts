/** Taps and tuners opened and ended in every way, again and again: what is left afterwards is what was there before. */
import { Wavepool, type Block, type Mode, type Tap, type Tuner } from '../../lib/src/index.ts';
import type { ToWorker } from './consumer_worker.ts';
import { inTurn, locks, type Lifetime } from './lifetimes.ts';
import { Probe } from './probe.ts';

declare global {
  /** Chromium's, with `--expose-gc`. */
  function gc(): void;
}

/** At a time. */
const ABREAST = 3;

const stereo = { window: 256, hop: 256, channels: 2 };

/** One way of a tap or a tuner from its opening to its end. */
type Way = (rig: Rig) => Promise<void>;

const ways = {
  async closed(rig) {
    await (await rig.tap()).close();
  },
  async closedTwice(rig) {
    const tap = await rig.tap();
    await Promise.all([tap.close(), tap.close()]);
    await tap.close();
  },
  async tuner(rig) {
    await (await rig.tuner()).close();
  },
  async closedInItsLoop(rig) {
    const tap = await rig.tap();
    for await (const _ of tap.blocks()) await tap.close();
  },
  async closedWhileRead(rig) {
    const tap = await rig.tap();
    let reading!: Promise<void>;
    await new Promise<void>((first) => (reading = tap.forEach(() => first())));
    await tap.close();
    await reading;
  },
  async keptBeyond(rig) {
    const tap = await rig.tap();
    let kept: Block | null = null;
    for await (const block of tap.blocks()) {
      kept = block.keep();
      break;
    }
    await tap.close();
    kept!.release();
  },
  async leftAlone(rig) {
    const tap = await rig.tap();
    for await (const _ of tap.blocks()) break;
    await tap.close();
  },
  async handedOverForNothing(rig) {
    const tap = await rig.tap();
    const { ports } = tap.handOver();
    for (const port of ports) port.close();
    await tap.close();
  },
  async closedWhileOpening(rig) {
    const opening = [rig.tap(), rig.tap()];
    await (await opening[0]!).close();
    await (await opening[1]!).close();
  },
  async forgotten(rig) {
    await rig.forget();
  },
  async readerDies(rig) {
    const tap = await rig.tap();
    const worker = new Worker(new URL('./consumer_worker.ts', import.meta.url), { type: 'module' });
    const holding = new Promise((resolve) => (worker.onmessage = resolve));
    const ticket = tap.handOver();
    worker.postMessage({ ticket, blocks: 2, keep: true } satisfies ToWorker, ticket.ports);
    await holding;
    worker.terminate();
    await tap.closed;
  },
  async poolCloses(rig) {
    const wavepool = await Wavepool.create({ mode: rig.wavepool.mode });
    const tap = await wavepool.tap(rig.source, stereo);
    const reading = tap.forEach(() => undefined);
    const opening = wavepool.tap(rig.source, stereo).then((late) => late.closed, () => 'closed' as const);
    const { leaked } = await wavepool.close();
    if (leaked > 0) throw new Error(`${leaked} buffers leaked`);
    await Promise.all([reading, opening]);
  },
} satisfies Readonly<Record<string, Way>>;

/** Of contexts that close with taps and tuners open. */
const closingContexts = {
  async contextCloses(rig) {
    const context = new AudioContext();
    const source = new ConstantSourceNode(context);
    source.start();
    const [tap, tuner] = await Promise.all([rig.wavepool.tap(source, stereo), rig.wavepool.tuner(source, stereo)]);
    rig.count(tap, tuner);
    const reading = tap.forEach(() => void (context.state === 'closed' || context.close()));
    await Promise.all([reading, tap.closed, tuner.closed]);
  },
  async contextClosesWhileOpening(rig) {
    const context = new AudioContext();
    const source = new ConstantSourceNode(context);
    const opening = rig.wavepool.tap(source, stereo);
    void context.close();
    // Which of the two comes first is up to the browser.
    await opening.then(async (tap) => void (await tap.closed), () => undefined);
  },
} satisfies Readonly<Record<string, Way>>;

class Rig {
  readonly wavepool: Wavepool;
  readonly source: AudioNode;
  readonly reasons: Record<string, number> = {};

  constructor(wavepool: Wavepool, source: AudioNode) {
    this.wavepool = wavepool;
    this.source = source;
  }

  async tap(): Promise<Tap> {
    const tap = await this.wavepool.tap(this.source, stereo);
    this.count(tap);
    return tap;
  }

  async tuner(): Promise<Tuner> {
    const tuner = await this.wavepool.tuner(this.source, stereo);
    this.count(tuner);
    return tuner;
  }

  count(...opened: (Tap | Tuner)[]): void {
    for (const { closed } of opened) void closed.then((reason) => (this.reasons[reason] = (this.reasons[reason] ?? 0) + 1));
  }

  /** Nothing refers to the tap once this is done: it is closed when the garbage is collected. */
  async forget(): Promise<void> {
    const [closed] = await this.openAndForget();
    for (const done = closed.then(() => true); ; ) {
      await new Promise((resume) => setTimeout(resume));
      gc();
      if (await Promise.race([done, new Promise((resume) => setTimeout(resume, 20))])) return;
    }
  }

  private async openAndForget(): Promise<readonly [Promise<unknown>]> {
    const { closed } = await this.tap();
    return [closed];
  }
}

/** Each round is one of the ways, in turn. */
export function taps(mode: Mode): Promise<Lifetime> {
  return inEveryWay(mode, Object.values(ways));
}

export function tapsOfContextsThatClose(mode: Mode): Promise<Lifetime> {
  return inEveryWay(mode, Object.values(closingContexts));
}

async function inEveryWay(mode: Mode, all: readonly Way[]): Promise<Lifetime> {
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext();
  const probe = await Probe.load(context);
  const source = new ConstantSourceNode(context);
  source.start();
  const rig = new Rig(wavepool, source);
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, (number) => all[number % all.length]!(rig)),
    async count() {
      const { leased, bytes_held: held } = await wavepool.metrics();
      return { leased, held, locks: await locks() };
    },
    async end() {
      const { leaked } = await wavepool.close();
      const { instances, made, bytes } = await probe.look();
      await context.close();
      return { leaked, reasons: rig.reasons, instances, made, bytes };
    },
  };
}
