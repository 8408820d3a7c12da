/** Something the person at the page can act on: the text says what happened and what to do. */
export class Problem extends Error {
  override readonly name = 'Problem';
}

/** Shows problems in the page's one notice, until dismissed or replaced by a source that works. */
export class Notice {
  readonly #box: HTMLElement;
  readonly #text: HTMLElement;
  readonly #restart: HTMLElement;
  #whenRestarted: () => void = () => {};

  constructor(box: HTMLElement, text: HTMLElement, close: HTMLElement, restart: HTMLElement) {
    this.#box = box;
    this.#text = text;
    this.#restart = restart;
    close.addEventListener('click', () => this.clear());
    restart.addEventListener('click', () => {
      restart.hidden = true;
      this.#whenRestarted();
    });
  }

  show(reason: unknown): void {
    this.#text.textContent = describe(reason);
    this.#restart.hidden = true;
    this.#box.hidden = false;
  }

  /** Shows something that may pass, and that a restart ends. */
  offerRestart(reason: Problem, restart: () => void): void {
    this.show(reason);
    this.#whenRestarted = restart;
    this.#restart.hidden = false;
  }

  /** What {@link offerRestart} showed has passed. */
  withdrawRestart(): void {
    if (!this.#restart.hidden) this.clear();
  }

  clear(): void {
    this.#box.hidden = true;
    this.#restart.hidden = true;
  }
}

function describe(reason: unknown): string {
  // The library's errors and our own say what to do. Anything else is a bug.
  if (reason instanceof Error && (reason instanceof Problem || 'code' in reason)) return reason.message;
  const text = reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason);
  return `Something failed that should not: ${text}. Reload the page; if it comes back, report this text.`;
}
