import type { AppliedPlan, Effect, Inspection } from '../../../lib/src/index.ts';
import { byId, make, Text } from '../dom.ts';
import { bytes, count, measured, percent } from '../format.ts';

/** Steps that are shown; a plan that changes everything has more. */
const mostSteps = 4;

type Row = readonly [label: string, value: (effect: Effect) => string, expected?: (effect: Effect) => string];

const rows: readonly Row[] = [
  ['Held', (effect) => bytes(effect.bytes_held)],
  // What the targets cover as they are; plans that follow a rise cover more.
  ['Hit rate', hitRate, (effect) => (effect.hit_rate_percentage === null ? '' : '≥ ') + hitRate(effect)],
  ['Internal waste', (effect) => percent(effect.internal_waste_percentage, 2)],
];

/** What the optimizer did last, why, and whether it came out as expected. */
export class PlanPanel {
  readonly #steps = byId('plan-steps', HTMLOListElement);
  readonly #when = new Text(byId('plan-when', HTMLElement));
  readonly #cells: readonly (readonly Text[])[];
  #shown = '';

  constructor() {
    this.#cells = rows.map(([label]) => {
      const name = make('th', '', label);
      name.scope = 'row';
      const cells = [make('td', 'num', '—'), make('td', 'num', '—'), make('td', 'num', '—')];
      byId('plan-effect', HTMLTableSectionElement).append(make('tr', '', name, ...cells));
      return cells.map((cell) => new Text(cell));
    });
  }

  update({ plan }: Inspection): void {
    this.#when.set(plan ? when(plan) : 'None so far: nothing that was asked of the pool called for a change.');
    if (!plan) return;
    const steps = plan.steps.join('\n');
    if (steps !== this.#shown) {
      this.#shown = steps;
      const items = plan.steps.slice(0, mostSteps).map((step) => make('li', '', sentence(step)));
      if (plan.steps.length > mostSteps) items.push(make('li', 'more', `and ${count(plan.steps.length - mostSteps)} more`));
      this.#steps.replaceChildren(...items);
    }
    rows.forEach(([, value, expected = value], index) => {
      const cells = this.#cells[index];
      cells?.[0]?.set(value(plan.before));
      cells?.[1]?.set(expected(plan.expected));
      cells?.[2]?.set(plan.measured ? value(plan.measured) : measured(null, count));
    });
  }
}

function hitRate(effect: Effect): string {
  return percent(effect.hit_rate_percentage, 2);
}

function when({ age_s, measured: effect }: AppliedPlan): string {
  const age = age_s < 90 ? `${count(age_s)} s` : `${count(age_s / 60)} min`;
  return `Applied ${age} ago${effect ? '.' : '; its effect is being measured.'}`;
}

function sentence(step: string): string {
  return `${step.charAt(0).toUpperCase()}${step.slice(1)}.`;
}
