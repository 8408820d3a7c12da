import type { ArenaSpan, Inspection, Mode } from '../../../lib/src/index.ts';
import { byId, make, Text } from '../dom.ts';
import { bytes, count, counted, percent } from '../format.ts';
import { Canvas, palette } from './canvas.ts';
import type { Palette } from './canvas.ts';

const rows = 10;
const rowHeight = 13;
const gap = 3;
const sampleBytes = 4;

/**
 * The arena from its first sample to its last, in rows like lines of text: each buffer in its class's colour, full while it
 * is leased and pale while it is idle, free memory as an outline.
 */
export class ArenaPanel {
  readonly #summary = new Text(byId('arena-summary', HTMLElement));
  readonly #legend = byId('arena-legend', HTMLElement);
  readonly #canvas = new Canvas(byId('arena', HTMLCanvasElement), rows * (rowHeight + gap) - gap, (context, width) => this.#paint(context, width));
  #palette: Palette = palette();
  #inspection: Inspection | null = null;
  #legendOf = '';
  /** What the map leaves out. */
  readonly #elsewhere: string;

  constructor(mode: Mode) {
    this.#elsewhere = mode === 'transfer' ? ' The worklet’s own memory is not drawn.' : '';
  }

  update(inspection: Inspection): void {
    this.#inspection = inspection;
    const classes = classesOf(inspection);
    const summary = describe(inspection) + this.#elsewhere;
    this.#summary.set(summary);
    this.#canvas.element.ariaLabel = `Map of the arena. ${summary}`;
    if (this.#legendOf !== classes.join()) {
      this.#legendOf = classes.join();
      this.#showLegend(classes);
    }
    this.#canvas.redraw();
  }

  recolour(): void {
    this.#palette = palette();
    if (this.#inspection) this.#showLegend(classesOf(this.#inspection));
    this.#canvas.redraw();
  }

  #showLegend(classes: readonly number[]): void {
    const entries = classes.map((samples, index) => {
      const swatch = make('span', 'map-swatch');
      swatch.style.background = this.#palette.of(index, classes.length, false);
      return make('li', '', swatch, count(samples));
    });
    this.#legend.replaceChildren(...entries, make('li', '', make('span', 'map-swatch free'), 'free'));
  }

  #paint(context: CanvasRenderingContext2D, width: number): void {
    if (!this.#inspection) return;
    const { regions, spans } = this.#inspection.arena;
    const classes = classesOf(this.#inspection);
    const total = regions.reduce((sum, samples) => sum + samples, 0);
    if (total === 0) return;
    const starts = regions.map((_, index) => regions.slice(0, index).reduce((sum, samples) => sum + samples, 0));
    const scale = (width * rows) / total;
    for (const span of spans) {
      const [region, first, samples, buffers, state] = span;
      const colour = state === 'free' ? this.#palette.free : this.#palette.of(classes.indexOf(samples), classes.length, state === 'idle');
      // Buffers too narrow to be distinguished are drawn as one.
      const apart = samples * scale >= 4;
      const step = apart ? buffers : 1;
      const length = (samples * scale * buffers) / step;
      for (let index = 0; index < step; index += 1) {
        const from = ((starts[region] ?? 0) + first) * scale + index * length;
        strip(context, from, from + length - (apart ? 1 : 0), width, colour, state === 'free');
      }
    }
  }
}

/** One stretch of the line that the rows are cut from. */
function strip(context: CanvasRenderingContext2D, from: number, to: number, width: number, colour: string, outline: boolean): void {
  for (let row = Math.floor(from / width); row < rows && row * width < to; row += 1) {
    const left = Math.max(0, from - row * width);
    const right = Math.min(width, to - row * width);
    const top = row * (rowHeight + gap);
    if (right - left <= 0) continue;
    if (outline) {
      context.strokeStyle = colour;
      if (right - left > 1) context.strokeRect(left + 0.5, top + 0.5, right - left - 1, rowHeight - 1);
    } else {
      context.fillStyle = colour;
      context.fillRect(left, top, Math.max(0.6, right - left), rowHeight);
    }
  }
}

/** Capacities on the map, smallest first: what the colours stand for. */
export function classesOf({ arena, demand }: Inspection): readonly number[] {
  const carved = arena.spans.filter(([, , , , state]) => state !== 'free').map(([, , samples]) => samples);
  return [...new Set([...carved, ...demand.map(({ samples }) => samples)])].sort((a, b) => a - b);
}

function describe({ arena: { regions, spans, left_off } }: Inspection): string {
  const total = regions.reduce((sum, samples) => sum + samples, 0);
  const sum = (state: ArenaSpan[4], of: (span: ArenaSpan) => number): number =>
    spans.filter((span) => span[4] === state).reduce((all, span) => all + of(span), 0);
  const buffers = (span: ArenaSpan): number => span[3];
  const samples = (span: ArenaSpan): number => span[2] * span[3];
  const free = total > 0 ? percent((100 * sum('free', samples)) / total, 1) : 'nothing';
  const rest = left_off > 0 ? ` ${counted(left_off, 'more stretch is', 'more stretches are')} not drawn.` : '';
  return `${bytes(total * sampleBytes)}: ${counted(sum('leased', buffers), 'buffer')} leased, ${count(sum('idle', buffers))} idle, ${free} of it free.${rest}`;
}
