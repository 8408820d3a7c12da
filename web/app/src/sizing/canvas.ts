/** A canvas that is as wide as its place and as sharp as the screen; `draw` gets its size in CSS pixels. */
export class Canvas {
  readonly element: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #height: number;
  readonly #draw: (context: CanvasRenderingContext2D, width: number, height: number) => void;

  constructor(element: HTMLCanvasElement, height: number, draw: (context: CanvasRenderingContext2D, width: number, height: number) => void) {
    const context = element.getContext('2d');
    if (!context) throw new Error('this browser draws no canvas');
    this.element = element;
    this.#context = context;
    this.#height = height;
    this.#draw = draw;
    element.style.height = `${String(height)}px`;
    new ResizeObserver(() => this.redraw()).observe(element);
  }

  redraw(): void {
    const { element } = this;
    const width = element.clientWidth;
    if (width === 0) return;
    const sharpness = window.devicePixelRatio;
    const [across, down] = [Math.round(width * sharpness), Math.round(this.#height * sharpness)];
    // Setting a size clears the canvas and costs more than drawing on it.
    if (element.width !== across) element.width = across;
    if (element.height !== down) element.height = down;
    this.#context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
    this.#context.clearRect(0, 0, width, this.#height);
    this.#draw(this.#context, width, this.#height);
  }
}

/** Degrees of hue on either side of red. */
const cool = 130;
const warm = 85;

/** The page's colours, and one for each size class. */
export interface Palette {
  readonly line: string;
  readonly muted: string;
  readonly free: string;
  /** By the class's place among all classes. */
  of(index: number, classes: number, idle: boolean): string;
}

export function palette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(name).trim();
  const dark = (document.documentElement.dataset['theme'] ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const lightness = dark ? 0.78 : 0.58;
  return {
    line: read('--line'),
    muted: read('--muted'),
    free: read('--line'),
    of(index, classes, idle) {
      // From teal over blue to violet, then from amber to green: never through the red that means trouble.
      const way = (classes > 1 ? index / (classes - 1) : 0) * (cool + warm);
      const hue = way <= cool ? 185 + way : 60 + way - cool;
      return `oklch(${String(lightness)} 0.115 ${String(hue)} / ${idle ? '0.3' : '1'})`;
    },
  };
}
