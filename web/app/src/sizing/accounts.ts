import type { HalfAccount, Inspection, PoolMetrics } from '../../../lib/src/index.ts';
import { byId, make, Text } from '../dom.ts';
import { bytes } from '../format.ts';

/** What each user of the pool holds, what of it is in use, and what it stated as its need when it was opened. Recycled vectors are beside the arena. */
export class AccountPanel {
  readonly #body = byId('accounts', HTMLTableSectionElement);
  readonly #others = new AccountRow();
  readonly #vectors = new AccountRow();
  #rows = new Map<string, AccountRow>();

  constructor() {
    this.#body.append(this.#others.element, this.#vectors.element);
  }

  update({ accounts, vectors }: Inspection, pool: PoolMetrics): void {
    if (accounts.length !== this.#rows.size || accounts.some(({ name }) => !this.#rows.has(name))) {
      this.#rows = new Map(accounts.map(({ name }) => [name, this.#rows.get(name) ?? new AccountRow()]));
      this.#body.replaceChildren(...[...this.#rows.values(), this.#others, this.#vectors].map(({ element }) => element));
    }
    for (const account of accounts) this.#rows.get(account.name)?.update(account);
    const sum = (part: (account: HalfAccount) => number): number => accounts.reduce((total, account) => total + part(account), 0);
    // Read at slightly different times, so that a difference can be negative.
    this.#others.set('All others', [
      bytes(Math.max(0, pool.bytes_held - sum(({ bytes_held }) => bytes_held))),
      bytes(Math.max(0, pool.bytes_leased - sum(({ bytes_leased }) => bytes_leased))),
      '—',
      '—',
    ]);
    this.#vectors.set('Vectors of files', [...[vectors.bytes_held, vectors.bytes_leased, vectors.bytes_peak].map(bytes), '—']);
  }
}

class AccountRow {
  readonly element: HTMLTableRowElement;
  readonly #name: Text;
  readonly #cells: readonly Text[];

  constructor() {
    const name = make('th');
    name.scope = 'row';
    const cells = [make('td', 'num'), make('td', 'num'), make('td', 'num'), make('td', 'num wide-only')];
    this.element = make('tr', '', name, ...cells);
    this.#name = new Text(name);
    this.#cells = cells.map((cell) => new Text(cell));
  }

  update({ name, bytes_held, bytes_leased, bytes_peak, bytes_stated }: HalfAccount): void {
    const label = name.charAt(0).toUpperCase() + name.slice(1);
    this.set(label, [bytes_held, bytes_leased, bytes_peak, bytes_stated].map(bytes));
  }

  set(name: string, cells: readonly string[]): void {
    this.#name.set(name);
    cells.forEach((text, index) => this.#cells[index]?.set(text));
  }
}
