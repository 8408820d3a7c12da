import type { Bar, ClassDemand, Inspection } from '../../../lib/src/index.ts';
import { byId, make, Text } from '../dom.ts';
import { count } from '../format.ts';
import { classesOf } from './arena.ts';
import { Canvas, palette } from './canvas.ts';
import type { Palette } from './canvas.ts';

const height = 44;

/** How many buffers of each class were in use at once, and which sizes were asked for. */
export class DemandPanel {
  readonly #list = byId('demand', HTMLElement);
  readonly #sizesText = new Text(byId('sizes-summary', HTMLElement));
  readonly #sizes = new Canvas(byId('sizes', HTMLCanvasElement), 72, (context, width, tall) => this.#paintSizes(context, width, tall));
  #plots = new Map<number, ClassPlot>();
  #palette: Palette = palette();
  #inspection: Inspection | null = null;

  update(inspection: Inspection): void {
    this.#inspection = inspection;
    const { demand } = inspection;
    if (demand.length !== this.#plots.size || demand.some(({ samples }) => !this.#plots.has(samples))) {
      this.#plots = new Map(demand.map(({ samples }) => [samples, this.#plots.get(samples) ?? new ClassPlot(samples)]));
      this.#list.replaceChildren(...[...this.#plots.values()].map(({ element }) => element));
    }
    const classes = classesOf(inspection);
    for (const one of demand) this.#plots.get(one.samples)?.update(one, this.#palette.of(classes.indexOf(one.samples), classes.length, false));
    const summary = describeSizes(inspection);
    this.#sizesText.set(summary);
    this.#sizes.element.ariaLabel = summary;
    this.#sizes.redraw();
  }

  recolour(): void {
    this.#palette = palette();
    if (this.#inspection) this.update(this.#inspection);
  }

  /** Sizes from left to right in octaves; a tick in its colour where each class ends. */
  #paintSizes(context: CanvasRenderingContext2D, width: number, tall: number): void {
    if (!this.#inspection) return;
    const { sizes, demand } = this.#inspection;
    const classes = classesOf(this.#inspection);
    const octaves = [64, Math.max(4096, ...classes)] as const;
    const x = (samples: number): number => (width - 4) * Math.min(1, Math.max(0, Math.log2(samples / octaves[0]) / Math.log2(octaves[1] / octaves[0])));
    const most = Math.max(1, ...sizes.map(([, times]) => times));
    const floor = tall - 20;
    context.fillStyle = this.#palette.muted;
    for (const [samples, times] of sizes) {
      const bar = Math.max(1, floor * Math.sqrt(times / most));
      context.fillRect(x(samples) - 1, floor - bar, 3, bar);
    }
    context.fillStyle = this.#palette.line;
    context.fillRect(0, floor, width, 1);
    context.font = `11px ${getComputedStyle(this.#sizes.element).fontFamily}`;
    let written = Infinity;
    for (const { samples } of [...demand].reverse()) {
      context.fillStyle = this.#palette.of(classes.indexOf(samples), classes.length, false);
      context.fillRect(x(samples) - 1, floor, 3, 6);
      const label = count(samples);
      const wide = context.measureText(label).width;
      const left = Math.min(width - wide, Math.max(0, x(samples) - wide / 2));
      // Classes that lie close together have no room for a number each.
      if (left + wide + 6 > written) continue;
      written = left;
      context.fillStyle = this.#palette.muted;
      context.fillText(label, left, tall - 1);
    }
  }
}

class ClassPlot {
  readonly element: HTMLElement;
  readonly #text: Text;
  readonly #canvas: Canvas;
  #bars: readonly Bar[] = [];
  #colour = '';

  constructor(samples: number) {
    const text = make('span', 'detail num');
    const drawing = make('canvas', 'bars');
    drawing.role = 'img';
    this.element = make('figure', 'demand-class', make('figcaption', 'num', `${count(samples)} samples`), drawing, text);
    this.#text = new Text(text);
    this.#canvas = new Canvas(drawing, height, (context, width) => this.#paint(context, width));
  }

  update({ samples, concurrent }: ClassDemand, colour: string): void {
    this.#bars = concurrent;
    this.#colour = colour;
    const most = concurrent.at(-1)?.[0] ?? 0;
    const text = most === 0 ? 'not used' : `median ${count(median(concurrent))}, at most ${count(most)}`;
    this.#text.set(text);
    this.#canvas.element.ariaLabel = `Buffers of ${count(samples)} samples in use at once: ${text}`;
    this.#canvas.redraw();
  }

  /** One bar for each number of buffers in use; heights by the square root, so that rare peaks can be seen. */
  #paint(context: CanvasRenderingContext2D, width: number): void {
    const most = Math.max(7, this.#bars.at(-1)?.[0] ?? 0);
    const times = Math.max(1, ...this.#bars.map(([, one]) => one));
    const step = width / (most + 1);
    context.fillStyle = this.#colour;
    for (const [value, one] of this.#bars) {
      const bar = Math.max(1, (height - 1) * Math.sqrt(one / times));
      context.fillRect(value * step, height - 1 - bar, Math.max(1, step - 1), bar);
    }
    context.fillRect(0, height - 1, width, 1);
  }
}

function median(bars: readonly Bar[]): number {
  const half = bars.reduce((sum, [, times]) => sum + times, 0) / 2;
  let seen = 0;
  for (const [value, times] of bars) {
    seen += times;
    if (seen >= half) return value;
  }
  return 0;
}

function describeSizes({ sizes, demand }: Inspection): string {
  const times = sizes.reduce((sum, [, one]) => sum + one, 0);
  if (times === 0) return 'Nothing was asked for yet.';
  const favourites = [...sizes].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([samples]) => count(samples));
  const classes = demand.map(({ samples }) => count(samples));
  return `Most asked for: ${favourites.join(', ')} samples. Classes end at ${classes.join(', ')}.`;
}
