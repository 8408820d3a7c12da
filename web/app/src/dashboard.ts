import type { Snapshot } from '../../lib/src/index.ts';
import { ClassTable } from './dashboard/classes.ts';
import { EventList } from './dashboard/events.ts';
import { Figures } from './dashboard/figures.ts';
import { LaneTable } from './dashboard/lanes.ts';
import { StreamFacts } from './dashboard/stream.ts';

/** One part of the dashboard. A new one is a section in `index.html`, a class, and a line below. */
export interface Panel {
  update(snapshot: Snapshot, underruns: number | null): void;
}

/** Figures do not need the needle's pace: four times a second can be read, twenty cannot. */
const periodMs = 250;

/** Everything the pool says about itself. */
export class Dashboard {
  readonly #panels: readonly Panel[] = [new Figures(), new ClassTable(), new LaneTable(), new StreamFacts()];
  readonly #events = new EventList();
  #shownAt = -Infinity;

  update(snapshot: Snapshot, underruns: number | null, nowMs: number): void {
    this.#events.collect(snapshot);
    if (nowMs - this.#shownAt < periodMs) return;
    this.#shownAt = nowMs;
    this.show(snapshot, underruns);
  }

  /** At once, whatever was shown last. */
  show(snapshot: Snapshot, underruns: number | null): void {
    this.#events.update();
    for (const panel of this.#panels) panel.update(snapshot, underruns);
  }
}
