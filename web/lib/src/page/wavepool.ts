import { workletFile } from './assets.ts';
import { WavepoolError, messageOf } from '../shared/errors.ts';
import { Feed } from './feed.ts';
import { FeedNode } from './feed_node.ts';
import { feedFormat, type FeedConfig } from './feed_options.ts';
import type { FeedState } from '../shared/feed_protocol.ts';
import { HostWorker, type StuckThread } from './host_worker.ts';
import { contextClosed, poolClosed, whileContextRuns, type CloseReason } from './lifetime.ts';
import type { Mode, ModeChoice } from './mode.ts';
import { ProfileStore } from './profile_store.ts';
import type { Snapshot } from '../generated/snapshot.ts';
import type { MemoryPressure, SoundSummary, StreamLimits } from '../generated/messages.ts';
import type { Metrics } from './metrics.ts';
import { BufferPool } from '../consumer/buffer_pool.ts';
import { oneOf } from './options.ts';
import { PoolPlace } from './pool_place.ts';
import { analyseSound } from './sound.ts';
import type { ParticipantWasm, PoolTicket, StreamConfig } from '../shared/protocol.ts';
import { StreamNode } from './stream_node.ts';
import { Tap } from './tap.ts';
import { streamConfig, type TapConfig } from './tap_config.ts';
import { TapSession } from './tap_session.ts';
import { Tuner } from './tuner.ts';
import { compile } from './wasm_source.ts';
import { checkOptions, type WavepoolOptions } from './wavepool_options.ts';
import { addWorklet } from './worklet_file.ts';

const PRESSURES: readonly MemoryPressure[] = ['none', 'moderate', 'critical'];

/** The boot options that every control worker of this pool gets. */
interface Boot {
  readonly mode: Mode;
  readonly reason: string;
  readonly module: WebAssembly.Module;
  readonly tracks: boolean;
}

/** The pool of a page: one control worker, and any number of taps, tuners, feeds and users of buffers. */
export class Wavepool {
  readonly mode: Mode;
  /** Why this mode was chosen, as a sentence. */
  readonly modeReason: string;
  private readonly boot: Boot;
  /** The key under which an audio thread keeps instances of the module. */
  private readonly moduleKey: string;
  // Set by `start`, which `create` awaits before it returns this object.
  private host!: HostWorker;
  private wasm!: ParticipantWasm;
  private limits!: StreamLimits;
  private refusedProfile: string | null = null;
  private stuck: (message: string, thread: StuckThread) => void = () => {};
  private crashed: (message: string) => void = () => {};
  private readonly workletUrl: string | URL;
  private readonly store: ProfileStore | null;
  private received: (snapshot: Snapshot) => void = () => {};
  private readonly open = new Set<TapSession | Tuner>();
  /** Streams that are not in `open` yet, although their audio side may run. */
  private readonly opening = new Set<Promise<StreamNode>>();
  /** Taps until their reader has released its last block, which may be after the close. */
  private readonly held = new Set<TapSession>();
  /** Each with the function that reports its state to the control worker. */
  private readonly feeds = new Map<FeedNode, (state: FeedState) => void>();
  private nextFeed = 1;
  private readonly places = new Set<PoolPlace>();
  private pagePool: Promise<BufferPool> | null = null;
  private restarting: Promise<void> | null = null;
  /** Set by the first {@link close}; nothing can be opened from then on. */
  private closing: Promise<{ leaked: number }> | null = null;

  private constructor(choice: ModeChoice, boot: Boot, moduleKey: string, workletUrl: string | URL, store: ProfileStore | null) {
    this.mode = choice.mode;
    this.modeReason = choice.reason;
    this.boot = boot;
    this.moduleKey = moduleKey;
    this.workletUrl = workletUrl;
    this.store = store;
  }

  /** Why the profile of an earlier visit was not used, as a sentence; `null` if it was used, or if there was none. */
  get profileRefused(): string | null {
    return this.refusedProfile;
  }

  /**
   * Compiles the module, starts the control worker and boots its registry.
   *
   * @example
   * ```ts
   * const wavepool = await Wavepool.create({ mode: 'auto', remember: 'my-app' });
   * console.log(wavepool.mode, wavepool.modeReason);
   * ```
   * @throws {@link WavepoolError} `bad-option`, `not-isolated`, `no-webassembly`, `wasm-unavailable`, `boot-failed`
   */
  static async create(options: WavepoolOptions = {}): Promise<Wavepool> {
    const choice = checkOptions(options);
    const { module, key } = await compile(choice.mode, options.wasm);
    const store = options.remember === undefined ? null : new ProfileStore(options.remember);
    const boot = { mode: choice.mode, reason: choice.reason, module, tracks: options.devtoolsTracks ?? false };
    const wavepool = new Wavepool(choice, boot, key, options.workletUrl ?? workletFile, store);
    await wavepool.start();
    return wavepool;
  }

  private async start(): Promise<void> {
    const profile = this.store?.profile ?? null;
    try {
      await this.startWith(profile);
    } catch (thrown) {
      if (profile === null || this.closing) throw thrown;
      // The profile may be the reason.
      await this.startWith(null);
      this.refusedProfile = messageOf(thrown);
    }
    if (this.refusedProfile !== null) this.store?.forget();
  }

  /** Starts a control worker whose pool begins with `profile`. */
  private async startWith(profile: string | null): Promise<void> {
    const host = new HostWorker();
    try {
      // Random, so that the leases of two pools on one page differ.
      const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
      const { memory, profileRefused, limits } = await host.boot({ ...this.boot, profile, seed });
      this.host = host;
      this.wasm = { module: this.boot.module, memory };
      this.limits = limits;
      this.refusedProfile = profileRefused;
    } catch (thrown) {
      host.terminate();
      throw new WavepoolError('boot-failed', `The audio pool could not start: ${messageOf(thrown)}`, thrown);
    }
    if (this.closing) {
      host.terminate();
      throw poolClosed();
    }
    host.onSnapshot = (json) => this.receive(JSON.parse(json) as Snapshot);
    host.onStuck = (message, thread) => this.stuck(message, thread);
    host.onCrash = (message) => void this.crash(message);
  }

  /**
   * Captures the output of `node` in windows for JavaScript: see {@link Tap}. The browser mixes the sound to `channels` by its own rules.
   *
   * @example
   * ```ts
   * const tap = await wavepool.tap(source, { window: 2048, hop: 512, channels: 2 });
   * for await (const block of tap.blocks()) console.log(block.firstFrame, block.channel(0)[0]);
   * ```
   * @throws {@link WavepoolError} `bad-option` with the limits and the value, for invalid options; `stream-refused` when no more taps can
   * be opened; `context-closed`; `closed`.
   */
  async tap(node: AudioNode, config: TapConfig): Promise<Tap> {
    const session = this.remember(new TapSession(await this.listen(node, config, 'reader')));
    this.held.add(session);
    void session.released.then(() => this.held.delete(session));
    return new Tap(session);
  }

  /**
   * Measures level and pitch of every window of `node`'s output, in the control worker, which reports them in snapshots.
   *
   * @example
   * ```ts
   * const tuner = await wavepool.tuner(source, { window: 2048, hop: 512, channels: 1 });
   * wavepool.onSnapshot(({ streams }) => console.log(streams));
   * await tuner.close();
   * ```
   * @throws As for {@link tap}.
   */
  async tuner(node: AudioNode, config: TapConfig): Promise<Tuner> {
    return this.remember(new Tuner(await this.listen(node, config, 'tuner')));
  }

  /**
   * Buffers of the pool for the page; every call returns the same object, until it is closed.
   *
   * @example
   * ```ts
   * const pool = await wavepool.pool();
   * using samples = pool.borrow(480);
   * samples.view().fill(0);
   * ```
   */
  async pool(): Promise<BufferPool> {
    this.refuseClosed();
    if (this.pagePool === null) {
      const opening = this.openPlace('page').then((place) => BufferPool.open(place.ticket));
      const forget = (): void => {
        if (this.pagePool === opening) this.pagePool = null;
      };
      this.pagePool = opening;
      // After a close, or a refusal, the next call opens another one.
      opening.then((pool) => (pool.onClosed = forget), forget);
    }
    return this.pagePool;
  }

  /**
   * Buffers of the pool for a worker of yours. Post the ticket with its ports, and pass it to `openPool` there, within ten seconds. If the
   * worker dies, or does not open it in time, its leases are reclaimed, and `onLost` is called with their number.
   *
   * @example
   * ```ts
   * const ticket = await wavepool.handOverPool((leases) => console.log(`the worker died with ${leases} leases`));
   * worker.postMessage(ticket, ticket.ports);
   * ```
   * @throws {@link WavepoolError} `stream-refused` when no more participants can be added.
   */
  async handOverPool(onLost: (leases: number) => void = () => {}): Promise<PoolTicket> {
    const place = await this.openPlace('other');
    place.onLost = onLost;
    return place.ticket;
  }

  /**
   * A node that plays samples that you write: see {@link Feed}.
   *
   * @example
   * ```ts
   * const feed = await wavepool.feed(context, { channels: 1, frames: 480 });
   * feed.node.connect(context.destination);
   * for await (const block of feed.blocks()) block.channel(0).fill(0);
   * ```
   * @throws {@link WavepoolError} `bad-option` with the option and its limits; `closed`; `context-closed`.
   */
  async feed(context: BaseAudioContext, config: FeedConfig): Promise<Feed> {
    this.refuseClosed();
    const format = feedFormat(context, config);
    await whileContextRuns(context, addWorklet(context, this.workletUrl));
    this.refuseClosed();
    const feed = this.nextFeed++;
    // For snapshots, of which a control worker that has died makes none.
    const report = ({ underruns, lateFrames }: FeedState): void => {
      this.host.request<'reportFeed'>({ kind: 'reportFeed', feed, format, underruns, lateFrames }).catch(() => undefined);
    };
    const node = new FeedNode(context, format, this.mode === 'shared', report);
    this.feeds.set(node, report);
    void node.closed.then(() => {
      this.feeds.delete(node);
      this.host.request<'forgetFeed'>({ kind: 'forgetFeed', feed }).catch(() => undefined);
    });
    report(node.figures);
    return new Feed(node);
  }

  /**
   * Measures level and notes of a sound that is there already, such as a decoded file, faster than it plays, in the control worker. Its samples
   * are copied into vectors of the pool, window by window. An abort of `signal` rejects with its reason.
   *
   * @example
   * ```ts
   * const file = await fetch('piano.wav');
   * const sound = await context.decodeAudioData(await file.arrayBuffer());
   * const { notes } = await wavepool.analyse(sound);
   * console.log(notes[0]?.note);
   * ```
   * @throws {@link WavepoolError} `bad-option` for what is no `AudioBuffer`; `stream-refused` for a sound outside the limits, or without
   * memory for it; `closed`.
   */
  async analyse(sound: AudioBuffer, signal?: AbortSignal): Promise<SoundSummary> {
    this.refuseClosed();
    return analyseSound(this.host, sound, signal);
  }

  private async openPlace(user: 'page' | 'other'): Promise<PoolPlace> {
    this.refuseClosed();
    const place = await PoolPlace.open(this.host, this.wasm, user);
    await this.closeIfClosing(place);
    this.places.add(place);
    place.onEnded = () => this.places.delete(place);
    return place;
  }

  private async listen(node: AudioNode, config: TapConfig, consumer: StreamConfig['consumer']): Promise<StreamNode> {
    this.refuseClosed();
    const stream = streamConfig(node, config, consumer, this.limits);
    if (node.context.state === 'closed') throw contextClosed();
    const opening = this.openStream(node, stream);
    this.opening.add(opening);
    return opening.finally(() => this.opening.delete(opening));
  }

  private async openStream(node: AudioNode, stream: StreamConfig): Promise<StreamNode> {
    await addWorklet(node.context, this.workletUrl);
    const opened = await StreamNode.open(node, this.host, stream, this.wasm, this.moduleKey);
    if (!this.closing) return opened;
    // The pool was closed meanwhile, and this stream was not among those that were closed.
    await opened.end().catch(() => undefined);
    throw poolClosed();
  }

  private remember<T extends TapSession | Tuner>(opened: T): T {
    this.open.add(opened);
    void opened.closed.then(() => this.open.delete(opened));
    return opened;
  }

  /** Every public method calls this first. */
  private refuseClosed(): void {
    if (this.closing) throw poolClosed();
  }

  /** Closes what was still opening when the pool was closed, and throws. */
  private async closeIfClosing(opened: { close(): Promise<unknown> }): Promise<void> {
    // The control worker may have closed its part already, which `close` may report.
    if (this.closing) await opened.close().catch(() => undefined);
    this.refuseClosed();
  }

  /**
   * The present figures: see {@link Metrics} for meaning and units. In transfer mode they include the pools of other threads as last
   * reported: a worklet's with each block, a {@link pool}'s four times a second.
   *
   * @example
   * ```ts
   * const metrics = await wavepool.metrics();
   * console.log(metrics.hit_rate_percentage);
   * ```
   */
  async metrics(): Promise<Metrics> {
    this.refuseClosed();
    const { snapshot } = await this.host.request<'metrics'>({ kind: 'metrics' });
    const { pool, objects, feeds } = JSON.parse(snapshot) as Snapshot;
    return { ...pool, objects, feeds };
  }

  /**
   * Sets the callback for snapshots: about twenty a second while a tap or a tuner is open. Replaces the earlier callback.
   *
   * @example
   * ```ts
   * wavepool.onSnapshot((snapshot) => console.log(snapshot.pool.hit_rate_percentage));
   * ```
   */
  onSnapshot(callback: (snapshot: Snapshot) => void): void {
    this.received = callback;
  }

  private receive(snapshot: Snapshot): void {
    if (snapshot.inspection) this.store?.keep(snapshot.inspection.profile);
    this.received(snapshot);
  }

  /**
   * Sets the callback for the death of the control worker, by a failure or because it was terminated. Every tap, tuner and pool is closed by
   * then (a feed continues), and every pending call was rejected; {@link restart} starts another control worker.
   *
   * @example
   * ```ts
   * wavepool.onCrash(async (message) => {
   *   console.warn(message);
   *   await wavepool.restart();
   * });
   * ```
   */
  onCrash(callback: (message: string) => void): void {
    this.crashed = callback;
  }

  private async crash(message: string): Promise<void> {
    await this.abandon();
    this.crashed(message);
  }

  private closeOpen(reason: CloseReason): Promise<unknown> {
    return Promise.allSettled([...this.open].map((open) => open.end(reason)));
  }

  /** Closes everything that used a worker that is gone: loops end, nodes are disconnected. */
  private async abandon(): Promise<void> {
    const places = [...this.places];
    this.places.clear();
    this.pagePool = null;
    await Promise.all([this.closeOpen('host-failed'), Promise.allSettled(places.map((place) => place.close()))]);
  }

  /**
   * After a crash, or when the control worker is stuck: terminates it at once, and starts another one with another pool, on which taps and
   * tuners can be opened again. Everything but feeds is closed.
   *
   * @example
   * ```ts
   * await wavepool.restart();
   * const tap = await wavepool.tap(source, { window: 2048, hop: 512, channels: 1 });
   * ```
   * @throws {@link WavepoolError} `boot-failed`; `closed` after {@link close}.
   */
  async restart(): Promise<void> {
    this.refuseClosed();
    this.restarting ??= this.startAgain().finally(() => (this.restarting = null));
    await this.restarting;
  }

  private async startAgain(): Promise<void> {
    this.host.terminate('The pool was restarted.');
    await this.abandon();
    await this.start();
    for (const [feed, report] of this.feeds) report(feed.figures);
  }

  /**
   * Sets the callback for workers that are alive and make no progress while a context runs or a call is pending. It is called within about a
   * second, with a description of what the worker was doing: once, and again after progress in between. `thread` is `control-worker`, or
   * `reader` for a worker that reads a tap. Meanwhile windows are skipped and counted if the queue is full. Nothing is terminated: if the
   * worker continues, the next snapshot shows that. If it does not, terminate your reader, which closes the tap, or call {@link restart}.
   *
   * Calls are pending while the control worker is stuck, for at most about five seconds: then they are rejected with `host-stuck`, and
   * {@link close} terminates the worker.
   *
   * @example
   * ```ts
   * wavepool.onStuck((message, thread) => console.warn(thread, message));
   * ```
   */
  onStuck(callback: (message: string, thread: StuckThread) => void): void {
    this.stuck = callback;
  }

  /** Causes a fault, to test that it is noticed: `leak-one` never releases one buffer, `spin` blocks the control worker. */
  async fault(name: 'leak-one' | 'spin'): Promise<void> {
    this.refuseClosed();
    await this.host.request<'fault'>({ kind: 'fault', name });
  }

  /** Starts or stops artificial demand on the pool, odd sizes in changing numbers, to show the sizing at work. */
  async exercise(on: boolean): Promise<void> {
    this.refuseClosed();
    await this.host.request<'exercise'>({ kind: 'exercise', on });
  }

  /**
   * Tells the pool how short memory is, until the next call. Under `moderate` pressure it returns idle buffers above recent use, under
   * `critical` pressure those above present use, at once; streams may then be refused a buffer when their use rises.
   *
   * @throws {WavepoolError} `bad-option` for another level.
   * @example
   * ```ts
   * await wavepool.setMemoryPressure('moderate');
   * ```
   */
  async setMemoryPressure(level: MemoryPressure): Promise<void> {
    this.refuseClosed();
    oneOf('memory pressure', level, PRESSURES);
    await this.host.request<'pressure'>({ kind: 'pressure', level });
  }

  /** Starts a recording of the requests to the pool. */
  async startRecording(): Promise<void> {
    this.refuseClosed();
    await this.host.request<'record'>({ kind: 'record', on: true });
  }

  /** Ends the recording and returns it, as JSON for `cargo xtask plan --trace FILE`; `null` if none was running. */
  async stopRecording(): Promise<string | null> {
    this.refuseClosed();
    return (await this.host.request<'record'>({ kind: 'record', on: false })).trace;
  }

  /** For `await using`. Does not reject: a pool whose control worker has died is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => undefined);
  }

  /**
   * Closes all taps, tuners, feeds and pools, and the worker; resolves with the number of buffers that were not released. Safe to call
   * twice. Every other method throws from then on. The worker is terminated in any case.
   *
   * @example
   * ```ts
   * const { leaked } = await wavepool.close();
   * console.assert(leaked === 0);
   * ```
   * @throws {@link WavepoolError} `host-failed` when the control worker died; `host-stuck` when it made no progress for about five
   * seconds.
   */
  close(): Promise<{ leaked: number }> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<{ leaked: number }> {
    await this.restarting?.catch(() => undefined);
    try {
      for (const feed of this.feeds.keys()) feed.close();
      await Promise.allSettled(this.opening);
      await this.closeOpen('closed');
      await Promise.all([...this.held].map((tap) => tap.revoke()));
      await Promise.all([...this.places].map((place) => place.close()));
      return await this.host.request<'shutdown'>({ kind: 'shutdown' });
    } finally {
      this.host.terminate();
    }
  }
}
