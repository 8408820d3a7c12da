import type { Inspection, MemoryPressure, Wavepool } from '../../../lib/src/index.ts';
import { byId } from '../dom.ts';

/** From this share of the JavaScript heap's limit on, memory is short, and then scarce. */
const moderate = 0.75;
const critical = 0.9;

/** Chromium's figures of the JavaScript heap; other browsers have none. */
interface HeapFigures {
  readonly usedJSHeapSize: number;
  readonly jsHeapSizeLimit: number;
}

/** Tells the pool how short memory is: as the browser measures it, or as the person chooses. */
export class PressureControl {
  readonly #select = byId('pressure', HTMLSelectElement);
  readonly #set: (pressure: MemoryPressure) => void;
  #current: MemoryPressure = 'none';

  constructor(wavepool: Wavepool, failed: (reason: unknown) => void) {
    this.#set = (pressure) => {
      if (pressure === this.#current) return;
      this.#current = pressure;
      wavepool.setMemoryPressure(pressure).catch(failed);
    };
    this.#select.addEventListener('change', () => this.#apply());
  }

  update(_inspection: Inspection): void {
    this.#apply();
  }

  #apply(): void {
    const chosen = this.#select.value;
    this.#set(chosen === 'measured' ? measured() : (chosen as MemoryPressure));
  }
}

function measured(): MemoryPressure {
  const heap = (performance as Performance & { readonly memory?: HeapFigures }).memory;
  if (!heap) return 'none';
  const share = heap.usedJSHeapSize / heap.jsHeapSizeLimit;
  if (share >= critical) return 'critical';
  return share >= moderate ? 'moderate' : 'none';
}
