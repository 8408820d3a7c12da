import type { PoolMetrics, Snapshot } from '../../../lib/src/index.ts';
import type { Panel } from '../dashboard.ts';
import { byId, make, Text } from '../dom.ts';
import { bytes, count, counted, measured, notMeasured, percent } from '../format.ts';

/** A figure's verdict against its target; none where there is no target or nothing was measured. */
type Verdict = 'good' | 'bad' | 'none';

interface Figure {
  readonly label: string;
  value(pool: PoolMetrics, underruns: number | null, leaked: number): string;
  /** What the value is made of, in the words of its formula. */
  detail(pool: PoolMetrics): string;
  verdict?(pool: PoolMetrics, underruns: number | null, leaked: number): Verdict;
}

/** An estimate from counted objects and the unit costs that a benchmark measured: its tooltip names the engine. */
const weighed: Figure = {
  label: 'GC pressure saved, estimated',
  value: (pool) => percent(pool.js_gc_pressure_reduction),
  detail: (pool) =>
    pool.js_gc_pressure_reduction === null
      ? 'no window has reached JavaScript'
      : `${counted(pool.wasm_js_boundary_allocations, 'object')} made at the boundary`,
  verdict: (pool) => judge(pool.js_gc_pressure_reduction, (share) => share >= 10),
};

const figures: readonly Figure[] = [
  {
    label: 'Hit rate',
    value: (pool) => percent(pool.hit_rate_percentage, 2),
    detail: (pool) => `${count(pool.pool_hits)} of ${count(pool.pool_hits + pool.pool_misses)} acquires`,
    verdict: (pool) => judge(pool.hit_rate_percentage, (rate) => rate >= 90),
  },
  {
    label: 'Overhead',
    value: (pool) => percent(pool.memory_overhead_percentage, 2),
    detail: (pool) => `${bytes(pool.memory_overhead_bytes)} beside ${bytes(pool.sample_bytes)} of samples`,
    verdict: (pool) => judge(pool.memory_overhead_percentage, (share) => share < 3),
  },
  {
    label: 'Fragmentation',
    value: (pool) => percent(pool.fragmentation_percentage, 2),
    detail: (pool) => `largest free run ${count(pool.largest_free_run_samples)} samples`,
    verdict: (pool) => judge(pool.fragmentation_percentage, (share) => share < 5),
  },
  {
    label: 'Internal waste',
    value: (pool) => percent(pool.internal_waste_percentage, 2),
    detail: () => 'of the live buffers’ capacity',
  },
  {
    label: 'Held',
    value: (pool) => bytes(pool.bytes_held),
    detail: (pool) => `of ${bytes(pool.bytes_reserved)} reserved`,
  },
  weighed,
  {
    label: 'Underruns',
    value: (_pool, underruns) => measured(underruns, count),
    detail: () => 'since this sound began',
    verdict: (_pool, underruns) => judge(underruns, (events) => events === 0),
  },
  {
    label: 'Leaked',
    value: (_pool, _underruns, leaked) => count(leaked),
    detail: (pool) => `${count(pool.leased)} in use, ${counted(pool.exhausted, 'request')} refused`,
    verdict: (_pool, _underruns, leaked) => judge(leaked, (buffers) => buffers === 0),
  },
];

function judge(value: number | null, good: (value: number) => boolean): Verdict {
  if (value === null) return 'none';
  return good(value) ? 'good' : 'bad';
}

/** The headline figures, each with what it is made of. */
export class Figures implements Panel {
  readonly #shown = figures.map((figure) => {
    const value = make('span', 'num', '—');
    const detail = make('span', 'detail num', '\u00a0');
    const tile = make('div', 'tile', make('dt', '', figure.label), make('dd', '', value, detail));
    return { figure, tile, value: new Text(value), detail: new Text(detail), text: value };
  });

  constructor() {
    byId('figures', HTMLElement).append(...this.#shown.map(({ tile }) => tile));
  }

  update({ pool, leaked, inspection }: Snapshot, underruns: number | null): void {
    for (const { figure, tile, value, detail, text } of this.#shown) {
      const shown = figure.value(pool, underruns, leaked);
      value.set(shown);
      detail.set(figure.detail(pool));
      if (figure === weighed && inspection) tile.title = inspection.unit_costs ?? 'What JavaScript objects weigh was not measured.';
      const verdict = figure.verdict?.(pool, underruns, leaked) ?? 'none';
      if (tile.dataset['verdict'] !== verdict) tile.dataset['verdict'] = verdict;
      text.classList.toggle('unmeasured', shown === notMeasured);
    }
  }
}
