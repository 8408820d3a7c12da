import type { Priority, Snapshot } from '../../../lib/src/index.ts';
import type { Panel } from '../dashboard.ts';
import { byId, make, Text } from '../dom.ts';
import { count, duration } from '../format.ts';

const lanes: readonly { readonly priority: Priority; readonly deadline: string }[] = [
  { priority: 'critical', deadline: '0.5 ms' },
  { priority: 'high', deadline: '5 ms' },
  { priority: 'normal', deadline: '100 ms' },
];

/** The event bus, lane by lane. */
export class LaneTable implements Panel {
  readonly #rows = lanes.map(({ priority, deadline }) => {
    const name = make('th', '', make('span', 'lane', make('span', `dot ${priority}`), priority, make('span', 'deadline', deadline)));
    name.scope = 'row';
    const cells = [make('td', 'num'), make('td', 'num'), make('td', 'num'), make('td', 'num'), make('td', 'num wide-only')];
    return { priority, element: make('tr', '', name, ...cells), cells: cells.map((cell) => new Text(cell)) };
  });

  constructor() {
    byId('lanes', HTMLTableSectionElement).append(...this.#rows.map(({ element }) => element));
  }

  update({ bus }: Snapshot): void {
    for (const { priority, element, cells } of this.#rows) {
      const { published, delivered, dropped, late, latency } = bus[priority];
      [published, delivered, dropped, late].forEach((value, index) => cells[index]?.set(count(value)));
      cells[4]?.set(latency ? duration(latency.p99_ns) : '—');
      element.classList.toggle('losing', dropped > 0);
    }
  }
}
