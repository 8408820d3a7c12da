import type { ControlStep } from '../generated/messages.ts';
import type { Host } from '../../wasm/transfer/wavepool.js';

const GROUP = 'Wavepool';
/** The shortest time with which a control step is drawn, so that it is visible. */
const SHORTEST_MS = 0.02;

type Colour = 'primary-light' | 'secondary' | 'error' | 'tertiary';
type Property = readonly [name: string, value: string];

/**
 * Draws the pool's control steps, sizing plans and alerts as tracks in the Performance panel of Chromium's developer tools, by its
 * extensibility API (`detail.devtools` of user timings).
 */
export class Tracks {
  private readonly host: Host;

  constructor(host: Host) {
    this.host = host;
    host.keepSteps();
  }

  /** Draws the steps since the last call. */
  draw(): void {
    const json = this.host.takeSteps();
    if (json === undefined) return;
    for (const step of JSON.parse(json) as ControlStep[]) drawStep(step);
  }
}

function drawStep({ start_ms, end_ms, operations, plan, alerts, defragmented }: ControlStep): void {
  const name = defragmented ? 'defragment' : 'control step';
  const moved: Property = ['Buffers carved or collected', String(operations)];
  span('Control steps', name, start_ms, end_ms, operations > 0 ? 'primary-light' : 'tertiary', [moved]);
  if (plan.length > 0) {
    const steps = plan.map((step, index): Property => [`${String(index + 1)}.`, step]);
    span('Sizing plans', plan[0]!, start_ms, end_ms, 'secondary', steps);
  }
  for (const { kind, raised, value, threshold } of alerts) {
    const title = `${kind.replaceAll('_', ' ')} ${raised ? 'raised' : 'over'}`;
    const figures: Property[] = [
      ['Figure', value.toFixed(2)],
      ['Threshold', threshold.toFixed(2)],
    ];
    span('Alerts', title, start_ms, end_ms, raised ? 'error' : 'tertiary', figures);
    mark(title, start_ms, raised ? 'error' : 'tertiary', figures);
  }
}

function span(track: string, name: string, start: number, end: number, color: Colour, properties: readonly Property[]): void {
  const devtools = { dataType: 'track-entry', trackGroup: GROUP, track, color, tooltipText: name, properties };
  performance.measure(name, { start, end: Math.max(end, start + SHORTEST_MS), detail: { devtools } });
  // The trace has recorded it; the browser's list of measures would grow without limit.
  performance.clearMeasures(name);
}

/** Draws a line through the whole timeline. */
function mark(name: string, startTime: number, color: Colour, properties: readonly Property[]): void {
  const devtools = { dataType: 'marker', color, tooltipText: name, properties };
  performance.mark(name, { startTime, detail: { devtools } });
  performance.clearMarks(name);
}
