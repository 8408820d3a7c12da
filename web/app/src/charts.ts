import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Snapshot } from '../../lib/src/index.ts';
import { make } from './dom.ts';

/** Points per line: twenty seconds at ten a second. */
const points = 200;
const periodMs = 100;
const height = 132;

type Colour = 'accent' | 'second' | 'third' | 'muted' | 'line';
type Values = (number | null)[];

interface Line {
  readonly label: string;
  readonly colour: Colour;
}

interface Plan {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
  readonly range: readonly [number, number] | null;
  sample(snapshot: Snapshot, seconds: number): readonly (number | null)[];
}

/** Published per second and lane, from the difference of two snapshots. */
class BusRate implements Plan {
  readonly title = 'Events';
  readonly unit = '/ s';
  readonly lines = [
    { label: 'critical', colour: 'accent' },
    { label: 'high', colour: 'second' },
    { label: 'normal', colour: 'third' },
  ] as const;
  readonly range = null;
  #before: Snapshot['bus'] | null = null;

  sample({ bus }: Snapshot, seconds: number): readonly (number | null)[] {
    const before = this.#before;
    this.#before = bus;
    if (!before) return [null, null, null];
    return this.lines.map(({ label }) => Math.max(0, (bus[label].published - before[label].published) / seconds));
  }
}

function plans(): readonly Plan[] {
  return [
    {
      title: 'Pitch',
      unit: 'cents off the note',
      lines: [{ label: 'cents', colour: 'accent' }],
      range: [-50, 50],
      sample: ({ notes }) => [notes.at(-1)?.cents ?? null],
    },
    {
      title: 'Level',
      unit: 'dBFS',
      lines: [
        { label: 'peak', colour: 'second' },
        { label: 'rms', colour: 'accent' },
      ],
      range: [-80, 0],
      sample: ({ level }) => [level?.peak_dbfs ?? null, level?.rms_dbfs ?? null].map((dbfs) => (dbfs === null ? null : Math.max(-80, dbfs))),
    },
    {
      title: 'Buffers in use',
      unit: 'of all classes',
      lines: [{ label: 'in use', colour: 'accent' }],
      range: null,
      sample: ({ pool }) => [pool.leased],
    },
    new BusRate(),
  ];
}

/** The last twenty seconds of what moves. */
export class Charts {
  readonly #charts: readonly Chart[];
  #shownAt = -Infinity;

  constructor(parent: HTMLElement) {
    this.#charts = plans().map((plan) => new Chart(parent, plan));
  }

  update(snapshot: Snapshot, nowMs: number): void {
    const seconds = (nowMs - this.#shownAt) / 1000;
    if (seconds * 1000 < periodMs - 10) return;
    this.#shownAt = nowMs;
    for (const chart of this.#charts) chart.add(snapshot, seconds);
  }

  /** Another sound: what was drawn is not its past. */
  clear(): void {
    for (const chart of this.#charts) chart.clear();
  }

  /** The colours changed. */
  recolour(): void {
    for (const chart of this.#charts) chart.recolour();
  }
}

class Chart {
  readonly #plan: Plan;
  /** One list of times, then one per line; shifted in place. */
  readonly #data: [Values, ...Values[]];
  readonly #plot: uPlot;
  readonly #root: HTMLElement;
  #palette: Record<Colour, string>;

  constructor(parent: HTMLElement, plan: Plan) {
    this.#plan = plan;
    this.#root = make('div', 'plot');
    this.#root.role = 'img';
    this.#root.ariaLabel = `${plan.title}, ${plan.unit}, over the last twenty seconds`;
    const caption = make('figcaption', '', make('strong', '', plan.title), ' ', plan.unit);
    if (plan.lines.length > 1) {
      const key = make('span', 'key-of-lines');
      for (const { label, colour } of plan.lines) key.append(make('span', `swatch ${colour}`), label);
      caption.append(key);
    }
    parent.append(make('figure', 'chart', caption, this.#root));
    const times = Array.from({ length: points }, (_, index) => ((index - points + 1) * periodMs) / 1000);
    this.#data = [times, ...plan.lines.map(() => new Array<number | null>(points).fill(null))];
    this.#palette = palette();
    this.#plot = new uPlot(this.#options(), this.#data as uPlot.AlignedData, this.#root);
    new ResizeObserver(() => {
      const width = this.#root.clientWidth;
      if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height });
    }).observe(this.#root);
  }

  add(snapshot: Snapshot, seconds: number): void {
    const values = this.#plan.sample(snapshot, seconds);
    values.forEach((value, index) => {
      const line = this.#data[index + 1];
      if (!line) return;
      line.copyWithin(0, 1);
      line[points - 1] = value;
    });
    this.#plot.setData(this.#data as uPlot.AlignedData);
  }

  clear(): void {
    for (const line of this.#data.slice(1)) line.fill(null);
    this.#plot.setData(this.#data as uPlot.AlignedData);
  }

  recolour(): void {
    this.#palette = palette();
    this.#plot.redraw(true, true);
  }

  #options(): uPlot.Options {
    const { lines, range } = this.#plan;
    const axis: uPlot.Axis = {
      stroke: () => this.#palette.muted,
      font: `11px ${getComputedStyle(document.body).fontFamily}`,
      grid: { stroke: () => this.#palette.line, width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    return {
      width: Math.max(200, this.#root.clientWidth),
      height,
      padding: [8, 16, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, auto: false, range: [((1 - points) * periodMs) / 1000, 0] },
        // Room above zero, so that an idle line does not lie on the frame.
        y: { range: range ? [range[0], range[1]] : (_plot, _low, high) => [0, Math.max(4, Math.ceil((high ?? 0) * 1.25))] },
      },
      axes: [
        { ...axis, size: 24, splits: () => [-20, -15, -10, -5, 0], values: (_plot, splits) => splits.map((s) => (s === 0 ? 'now' : `${String(s)} s`.replace('-', '−'))) },
        { ...axis, size: 38, space: 28, values: (_plot, splits) => splits.map((s) => String(s).replace('-', '−')) },
      ],
      series: [
        {},
        ...lines.map(({ label, colour }): uPlot.Series => ({
          label,
          stroke: () => this.#palette[colour],
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        })),
      ],
    };
  }
}

function palette(): Record<Colour, string> {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return { accent: read('accent'), second: read('second'), third: read('third'), muted: read('muted'), line: read('line') };
}
