/** The pool that a buffer was leased from. @internal */
export interface LeaseOwner {
  /** Every lease has ended. */
  readonly closed: boolean;
  view(lease: number): Float32Array;
  endView(lease: number): void;
  share(lease: number): number;
  release(lease: number): void;
}

/** A leased buffer that is released at the end of its scope: `using buffer = pool.borrow(1024)`. */
export class PooledArray implements Disposable {
  /** The requested number; the buffer may have more. */
  readonly samples: number;
  private readonly pool: LeaseOwner;
  private readonly lease: number;
  private array: Float32Array | null = null;
  private released = false;

  /** @internal */
  constructor(pool: LeaseOwner, lease: number, samples: number) {
    this.pool = pool;
    this.lease = lease;
    this.samples = samples;
  }

  /**
   * The samples, to read and (unless the buffer is shared) to write.
   *
   * @example
   * ```ts
   * samples.view().fill(0);
   * ```
   * @throws {@link StaleLeaseError} after the release; `closed` after the pool was closed.
   */
  view(): Float32Array {
    if (this.array === null || this.released || this.pool.closed) this.array = this.pool.view(this.lease);
    return this.array;
  }

  /**
   * Another lease of the same samples, which no thread should write from now on.
   *
   * @example
   * ```ts
   * using reader = samples.share();
   * console.log(reader.view()[0]);
   * ```
   * @throws {@link StaleLeaseError}, {@link LeasesUsedUpError}
   */
  share(): PooledArray {
    if (this.array !== null && !this.released) this.pool.endView(this.lease);
    this.array = null;
    return new PooledArray(this.pool, this.pool.share(this.lease), this.samples);
  }

  /**
   * @example
   * ```ts
   * samples.release();
   * ```
   * @throws {@link StaleLeaseError} when it was released before.
   */
  release(): void {
    this.pool.release(this.lease);
    this.released = true;
  }

  /** Releases the buffer, unless it was released before, or its pool was closed, which has reclaimed it. */
  [Symbol.dispose](): void {
    if (!this.released && !this.pool.closed) this.release();
  }
}
