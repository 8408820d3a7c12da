/** Numbers at the entry, from 0 to what JavaScript can hold: right, or refused with a typed error before anything changed. */
import { Wavepool, type Mode } from '../../lib/src/index.ts';

export interface Refused {
  readonly given: string;
  readonly code: string;
  readonly message: string;
}

const NO_COUNTS = [-1, -0.5, 0, 0.5, 1.5, NaN, Infinity, -Infinity, 2 ** 30, 2 ** 31, 2 ** 32 + 64, 2 ** 53, 1e300, '64', null, undefined, true, 64n, [64], {}, () => 64];

/** What the pool's facade makes of numbers of samples and of leases. */
export async function poolNumbers(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  const pool = await wavepool.pool();
  const kept = pool.acquire(64);
  pool.view(kept).fill(0.5);
  pool.endView(kept);
  const before = await wavepool.metrics();
  const sizes: Refused[] = [];
  for (const given of NO_COUNTS) {
    sizes.push(refusedBy(given, () => pool.acquire(given as number)), refusedBy(given, () => pool.borrow(given as number)));
  }
  const tooLarge = [1 << 20, 2 ** 30 - 1].map((given) => refusedBy(given, () => pool.acquire(given)));
  const fitting = [1, 2, 63, 64, 65, 1023, 1024].map((samples) => {
    const lease = pool.acquire(samples);
    const { length } = pool.view(lease);
    pool.release(lease);
    return length >= samples;
  });
  const leases: Refused[] = [];
  for (const given of [...NO_COUNTS, kept + 0.5, kept + 2 ** 32, kept ^ (1 << 20), -kept]) {
    for (const call of ['view', 'endView', 'share', 'release'] as const) leases.push(refusedBy(given, () => pool[call](given as number)));
  }
  const after = await wavepool.metrics();
  const untouched = pool.live === 1 && before.leased === after.leased && pool.view(kept).every((sample, at) => at >= 64 || sample === 0.5);
  const borrowed = pool.borrow(64);
  let atScopesEnd: Refused | null = null;
  await (async () => {
    using forgotten = borrowed;
    forgotten.view();
    await wavepool.close();
  })().catch((thrown: unknown) => (atScopesEnd = describe('', thrown)));
  const closed = [() => pool.acquire(64), () => pool.view(kept), () => pool.release(kept), () => borrowed.view(), () => borrowed.share(), () => borrowed.release()];
  return { sizes, tooLarge, fitting, leases, untouched, atScopesEnd, live: pool.live, isClosed: pool.closed, closed: closed.map((call) => refusedBy('', call).code) };
}

function refusedBy(given: unknown, call: () => unknown): Refused {
  try {
    call();
    return { given: shown(given), code: 'accepted', message: '' };
  } catch (thrown) {
    return describe(given, thrown);
  }
}

function describe(given: unknown, thrown: unknown): Refused {
  const { code, message } = thrown as { code?: string; message: string };
  return { given: shown(given), code: typeof code === 'string' ? code : `bare ${String(thrown)}`, message };
}

function shown(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
