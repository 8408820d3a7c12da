import type { ControlStep } from '../generated/messages.ts';
import type { Host } from '../../wasm/transfer/wavepool.js';

const GROUP = 'Wavepool';
/** Control steps shorter than a timeline can show are drawn this long, so that they can be found. */
const SHORTEST_MS = 0.02;

type Colour = 'primary-light' | 'secondary' | 'error' | 'tertiary';
type Property = readonly [name: string, value: string];

/**
 * The pool's control steps, sizing plans and alerts as tracks of their own in the Performance panel of Chromium's
 * developer tools (its extensibility API: `detail.devtools` of user timings).
 */
export class Tracks {
  private readonly host: Host;

  constructor(host: Host) {
    this.host = host;
    host.keepSteps();
  }

  /** Draws what the last pumps did. */
  draw(): void {
    const json = this.host.takeSteps();
    if (json === undefined) return;
    for (const step of JSON.parse(json) as ControlStep[]) drawStep(step);
  }
}

function drawStep({ start_ms, end_ms, operations, plan, alerts, defragmented }: ControlStep): void {
  const name = defragmented ? 'defragment' : 'control step';
  const moved: Property = ['Buffers moved or looked at', String(operations)];
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
  // The trace has it; the browser's own list would only grow.
  performance.clearMeasures(name);
}

/** A line through the whole timeline. */
function mark(name: string, startTime: number, color: Colour, properties: readonly Property[]): void {
  const devtools = { dataType: 'marker', color, tooltipText: name, properties };
  performance.mark(name, { startTime, detail: { devtools } });
  performance.clearMarks(name);
}
