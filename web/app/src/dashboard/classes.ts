import type { ClassMetrics, Snapshot } from '../../../lib/src/index.ts';
import type { Panel } from '../dashboard.ts';
import { byId, make, Text, Transform } from '../dom.ts';
import { count } from '../format.ts';

/** Per size class: how many of its buffers are out, how many wait, how many were ever out at once. */
export class ClassTable implements Panel {
  readonly #body = byId('classes', HTMLTableSectionElement);
  #rows: ClassRow[] = [];

  update({ pool }: Snapshot): void {
    // The optimizer may learn other classes while the page runs; the old ones drain.
    const classes = pool.classes.filter(({ retired, carved }) => !retired || carved > 0);
    if (classes.length !== this.#rows.length) {
      this.#rows = classes.map(() => new ClassRow());
      this.#body.replaceChildren(...this.#rows.map((row) => row.element));
    }
    classes.forEach((one, index) => this.#rows[index]?.update(one));
  }
}

class ClassRow {
  readonly element: HTMLTableRowElement;
  readonly #cells: readonly Text[];
  readonly #used: Transform;
  readonly #high: Transform;
  readonly #mark: HTMLElement;

  constructor() {
    const samples = make('th', 'num');
    samples.scope = 'row';
    const used = make('div', 'bar-used');
    const high = make('div', 'bar-high');
    const bar = make('td', 'bar-cell', make('div', 'bar', used, high));
    bar.ariaHidden = 'true';
    const figures = [make('td', 'num'), make('td', 'num'), make('td', 'num')];
    this.element = make('tr', '', samples, bar, ...figures);
    this.#cells = [samples, ...figures].map((cell) => new Text(cell));
    this.#used = new Transform(used);
    this.#high = new Transform(high);
    this.#mark = high;
  }

  update({ samples, carved, leased, idle, high_water }: ClassMetrics): void {
    [samples, leased, idle, high_water].forEach((value, index) => this.#cells[index]?.set(count(value)));
    const whole = Math.max(carved, high_water, 1);
    this.#used.set(`scaleX(${(leased / whole).toFixed(4)})`);
    this.#mark.hidden = high_water === 0;
    this.#high.set(`translateX(${((100 * high_water) / whole).toFixed(2)}%)`);
  }
}
