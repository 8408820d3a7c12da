import { WavepoolError } from '../shared/errors.ts';
import { join } from './join.ts';
import { KeptViews } from '../shared/kept_views.ts';
import type { PoolExports } from '../generated/exports.ts';
import { CLOSED, REFUSALS } from '../generated/refusals.ts';
import { PooledArray } from './pooled_array.ts';
import type { PoolTicket } from '../shared/protocol.ts';
import { refusalAt, StaleLeaseError } from '../shared/refusal.ts';

/** Leases are 30-bit numbers, which engines keep without allocating. */
const LEASE_BITS = 0x3fff_ffff;
/** How often a pool with a memory of its own reports its counts. */
const REPORT_MS = 250;

/**
 * Buffers of the pool for this thread, by number. Once every buffer was viewed, no call makes garbage: leases are small integers, and
 * arrays are made once per buffer and kept.
 *
 * A lease is *leased* (from {@link acquire} or {@link share}), *in use* (between {@link view} and {@link endView}), or
 * *released*. A call that its state does not allow is refused with a typed error, and changes nothing. Leases are valid on this
 * thread only. In shared mode the buffers lie in the memory of the audio thread; in transfer mode this thread has a pool of its own.
 *
 * An array cannot be revoked: after the release, another thread may use the same memory. Do not keep arrays.
 *
 * @example
 * ```ts
 * const pool = await wavepool.pool();
 * const lease = pool.acquire(1024);
 * pool.view(lease).fill(0.5);
 * pool.release(lease);
 *
 * using buffer = pool.borrow(1024); // released at the end of the scope
 * buffer.view()[0] = 1;
 * ```
 */
export class BufferPool {
  private readonly exports: PoolExports;
  private readonly participant: number;
  private readonly memory: WebAssembly.Memory;
  private readonly views: KeptViews;
  /** Transfer mode: where the pool reports its counts, which no other thread can read. */
  private readonly counts: MessagePort | null;
  private readonly reporting: ReturnType<typeof setInterval> | undefined;
  private left = false;
  /** @internal */
  depart?: () => Promise<void>;
  /** Called when the pool was closed, by this thread or by the page. @internal */
  onClosed: () => void = () => {};

  private constructor(exports: PoolExports, participant: number, memory: WebAssembly.Memory, counts: MessagePort | null) {
    this.exports = exports;
    this.participant = participant;
    this.memory = memory;
    this.views = new KeptViews(memory);
    this.counts = counts;
    if (counts) this.reporting = setInterval(() => this.report(), REPORT_MS);
  }

  /** @internal */
  static open(ticket: PoolTicket): Promise<BufferPool> {
    return join(ticket, ticket.wasm, ticket.thread, (instance) => {
      const exports = instance as unknown as PoolExports;
      const participant = ticket.wasm.memory ? ticket.participant : exports.participant_open(ticket.holder, ticket.seed);
      if (participant === 0) throw new WavepoolError('boot-failed', 'The pool of this thread could not start.');
      return new BufferPool(exports, participant, ticket.wasm.memory ?? exports.memory, ticket.counts);
    });
  }

  /** Nothing can be leased any more, and every lease has ended. */
  get closed(): boolean {
    return this.left;
  }

  /** Leases that are open. */
  get live(): number {
    return this.left ? 0 : this.exports.participant_live(this.participant);
  }

  /**
   * Leases a buffer of zeros for at least `samples` samples.
   *
   * @example
   * ```ts
   * const lease = pool.acquire(480);
   * pool.view(lease).fill(0);
   * pool.release(lease);
   * ```
   * @throws {@link PoolExhaustedError}, {@link TooLargeError}, {@link LeasesUsedUpError}; `bad-option` for anything but a whole
   * number of samples; `closed`.
   */
  acquire(samples: number): number {
    this.check();
    if (!Number.isInteger(samples) || samples < 1 || samples > LEASE_BITS) {
      throw new WavepoolError('bad-option', `${String(samples)} is not a number of samples. Ask for a whole number, 1 or more.`);
    }
    return this.granted(this.exports.participant_acquire(this.participant, samples));
  }

  /**
   * The samples, to read and (unless the buffer is shared) to write: as many as the buffer's size class has, at least the requested
   * number. The same buffer always has the same array.
   *
   * @example
   * ```ts
   * const samples = pool.view(lease);
   * samples[0] = 1;
   * ```
   * @throws {@link StaleLeaseError}, {@link WrongParticipantError}, {@link IllegalMoveError} when they are in use already.
   */
  view(lease: number): Float32Array {
    const address = this.granted(this.exports.participant_view(this.participant, this.number(lease)));
    const sizes = this.exports.participant_looked(this.participant);
    return this.views.at(address, this.views.word(sizes));
  }

  /**
   * Ends the use of the samples; the lease remains.
   *
   * @throws {@link StaleLeaseError}, {@link WrongParticipantError}, {@link IllegalMoveError} when they were not in use.
   */
  endView(lease: number): void {
    this.done(this.exports.participant_end_view(this.participant, this.number(lease)));
  }

  /**
   * Another lease of the same samples, which no thread should write from now on.
   *
   * @example
   * ```ts
   * const other = pool.share(lease);
   * pool.release(lease);
   * pool.release(other);
   * ```
   * @throws {@link StaleLeaseError}, {@link WrongParticipantError}, {@link IllegalMoveError} while they are in use,
   * {@link LeasesUsedUpError}.
   */
  share(lease: number): number {
    return this.granted(this.exports.participant_share(this.participant, this.number(lease)));
  }

  /**
   * Ends a lease; the buffer returns to the pool when its last lease ends.
   *
   * @example
   * ```ts
   * pool.release(lease);
   * ```
   * @throws {@link StaleLeaseError} also when it was released before, {@link WrongParticipantError}.
   */
  release(lease: number): void {
    this.done(this.exports.participant_release(this.participant, this.number(lease)));
  }

  /**
   * {@link acquire} for `using`: an object that releases its lease at the end of the scope.
   *
   * @example
   * ```ts
   * using samples = pool.borrow(480);
   * samples.view().fill(0);
   * ```
   * @throws As for {@link acquire}.
   */
  borrow(samples: number): PooledArray {
    return new PooledArray(this, this.acquire(samples), samples);
  }

  /**
   * Ends all leases of this thread, and its participation. Safe to call twice. On the page, the next call of `wavepool.pool()` opens
   * another one.
   *
   * @example
   * ```ts
   * await pool.close();
   * ```
   */
  async close(): Promise<void> {
    await this.depart?.();
  }

  /** For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  leave(): Promise<void> {
    if (this.left) return Promise.resolve();
    this.left = true;
    this.onClosed();
    clearInterval(this.reporting);
    this.report();
    this.exports.participant_leave(this.participant);
    return Promise.resolve();
  }

  private report(): void {
    if (this.counts === null) return;
    const header = this.exports.participant_header(this.participant, performance.now());
    const counts = this.memory.buffer.slice(header, header + this.exports.tap_header_bytes()) as ArrayBuffer;
    this.counts.postMessage(counts, [counts]);
  }

  /** Refuses what is not a whole number of 30 bits: WebAssembly would truncate 5.5 to 5. */
  private number(lease: number): number {
    this.check();
    if (typeof lease !== 'number' || lease !== (lease & LEASE_BITS)) throw new StaleLeaseError(lease);
    return lease;
  }

  private check(): void {
    if (this.left) throw new WavepoolError(...REFUSALS[CLOSED]);
  }

  private granted(answer: number): number {
    if (answer === 0) throw this.refused();
    return answer;
  }

  private done(code: number): void {
    if (code !== 0) throw this.refused();
  }

  private refused(): WavepoolError {
    return refusalAt(this.memory, this.exports.participant_refusal(this.participant));
  }
}
