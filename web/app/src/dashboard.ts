import type { Inspection, PoolMetrics, Snapshot, Wavepool } from '../../lib/src/index.ts';
import { ClassTable } from './dashboard/classes.ts';
import { EventList } from './dashboard/events.ts';
import { Figures } from './dashboard/figures.ts';
import { LaneTable } from './dashboard/lanes.ts';
import { StreamFacts } from './dashboard/stream.ts';
import { AccountPanel } from './sizing/accounts.ts';
import { AlertPanel } from './sizing/alerts.ts';
import { ArenaPanel } from './sizing/arena.ts';
import { SizingControls } from './sizing/controls.ts';
import { DemandPanel } from './sizing/demand.ts';
import { PlanPanel } from './sizing/plan.ts';
import { PressureControl } from './sizing/pressure.ts';

/** One part of the dashboard. A new one is a section in `index.html`, a class, and a line below. */
export interface Panel {
  update(snapshot: Snapshot, underruns: number | null): void;
}

/** One part of what is inspected twice a second. */
interface InspectionPanel {
  update(inspection: Inspection, pool: PoolMetrics): void;
}

/** Figures do not need the needle's pace: four times a second can be read, twenty cannot. */
const periodMs = 250;

/** Everything the pool says about itself. */
export class Dashboard {
  readonly #panels: readonly Panel[] = [new Figures(), new ClassTable(), new LaneTable(), new StreamFacts()];
  readonly #events = new EventList();
  readonly #arena: ArenaPanel;
  readonly #demand = new DemandPanel();
  readonly #inspected: readonly InspectionPanel[];
  #shownAt = -Infinity;

  constructor(wavepool: Wavepool, failed: (reason: unknown) => void) {
    this.#arena = new ArenaPanel(wavepool.mode);
    this.#inspected = [this.#arena, this.#demand, new AccountPanel(), new PlanPanel(), new AlertPanel(), new SizingControls(wavepool, failed), new PressureControl(wavepool, failed)];
  }

  update(snapshot: Snapshot, underruns: number | null, nowMs: number): void {
    this.#events.collect(snapshot);
    if (snapshot.inspection) for (const panel of this.#inspected) panel.update(snapshot.inspection, snapshot.pool);
    if (nowMs - this.#shownAt < periodMs) return;
    this.#shownAt = nowMs;
    this.show(snapshot, underruns);
  }

  /** The colours changed. */
  recolour(): void {
    this.#arena.recolour();
    this.#demand.recolour();
  }

  /** At once, whatever was shown last. */
  show(snapshot: Snapshot, underruns: number | null): void {
    this.#events.update();
    for (const panel of this.#panels) panel.update(snapshot, underruns);
  }
}
