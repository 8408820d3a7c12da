import type { BusEvent, Priority, Snapshot } from '../../../lib/src/index.ts';
import { byId, make, Text } from '../dom.ts';
import { count } from '../format.ts';

/** How an event says that a number does not apply: the slot of an aggregate, for one. */
const none = 0xffff_ffff;
const order: readonly Priority[] = ['critical', 'high', 'normal'];

/**
 * The latest event of each type, with how many of it were seen.
 *
 * A plain list would scroll by at hundreds of lines a second and drown the one line that matters.
 */
export class EventList {
  readonly #list = byId('events', HTMLOListElement);
  readonly #rows = new Map<string, EventRow>();

  constructor() {
    this.#list.append(make('li', 'empty', 'Nothing yet.'));
  }

  collect({ events }: Snapshot): void {
    for (const event of events) {
      let row = this.#rows.get(event.name);
      if (!row) {
        row = new EventRow(event);
        this.#rows.set(event.name, row);
        const rows = [...this.#rows.values()].sort((a, b) => a.rank - b.rank || a.name.localeCompare(b.name));
        this.#list.replaceChildren(...rows.map(({ element }) => element));
      }
      row.collect(event);
    }
  }

  update(): void {
    for (const row of this.#rows.values()) row.update();
  }
}

class EventRow {
  readonly name: string;
  readonly rank: number;
  readonly element: HTMLLIElement;
  readonly #count: Text;
  readonly #data: Text;
  #seen = 0;
  #latest: BusEvent | null = null;

  constructor({ name, priority }: BusEvent) {
    this.name = name;
    this.rank = order.indexOf(priority);
    const seen = make('span', 'seen num');
    const data = make('span', 'data num');
    const dot = make('span', `dot ${priority}`);
    dot.title = priority;
    this.element = make('li', '', dot, make('span', 'name', name), seen, data);
    this.#count = new Text(seen);
    this.#data = new Text(data);
  }

  collect(event: BusEvent): void {
    this.#seen += 1;
    this.#latest = event;
  }

  update(): void {
    if (!this.#latest) return;
    this.#count.set(`× ${count(this.#seen)}`);
    this.#data.set(describe(this.#latest.data));
    this.#latest = null;
  }
}

function describe(data: BusEvent['data']): string {
  return Object.entries(data)
    .filter(([, value]) => typeof value !== 'object' && value !== none)
    .map(([key, value]) => `${key.replaceAll('_', ' ')} ${typeof value === 'number' ? short(value) : String(value)}`)
    .join(' · ');
}

function short(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}
