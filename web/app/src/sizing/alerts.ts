import type { AlertKind, AlertState, Inspection } from '../../../lib/src/index.ts';
import { byId, make, Text } from '../dom.ts';
import { count, measured, percent } from '../format.ts';

const names: Readonly<Record<AlertKind, string>> = {
  hit_rate_low: 'Hit rate',
  memory_overhead_high: 'Overhead',
  fragmentation: 'Fragmentation',
  exhausted: 'Refused requests',
  leaked: 'Leaked buffers',
};

/** Each alert rule between its two marks: where it is raised, and where it is over again. */
export class AlertPanel {
  readonly #body = byId('alerts', HTMLTableSectionElement);
  #rows = new Map<AlertKind, { readonly element: HTMLTableRowElement; readonly cells: readonly Text[] }>();

  update({ alerts }: Inspection): void {
    for (const alert of alerts) {
      let row = this.#rows.get(alert.kind);
      if (!row) {
        const name = make('th', '', names[alert.kind]);
        name.scope = 'row';
        const cells = [make('td', 'num'), make('td', 'num'), make('td', 'num'), make('td', 'state')];
        row = { element: make('tr', '', name, ...cells), cells: cells.map((cell) => new Text(cell)) };
        this.#rows.set(alert.kind, row);
        this.#body.append(row.element);
      }
      describe(alert).forEach((text, index) => row.cells[index]?.set(text));
      row.element.classList.toggle('raised', alert.raised);
    }
  }
}

function describe({ kind, raised, value, raise, clear }: AlertState): readonly string[] {
  const state = raised ? 'raised' : 'quiet';
  if (clear === null) return [measured(value, count), 'any', kind === 'leaked' ? 'never' : 'a quiet second', state];
  const below = raise < clear;
  return [percent(value, 2), `${below ? '<' : '>'} ${String(raise)} %`, `${below ? '≥' : '≤'} ${String(clear)} %`, state];
}
