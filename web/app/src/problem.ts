/** Something the person at the page can act on: the text says what happened and what to do. */
export class Problem extends Error {
  override readonly name = 'Problem';
}

/** Shows problems in the page's one notice, until dismissed or replaced by a source that works. */
export class Notice {
  readonly #box: HTMLElement;
  readonly #text: HTMLElement;

  constructor(box: HTMLElement, text: HTMLElement, close: HTMLElement) {
    this.#box = box;
    this.#text = text;
    close.addEventListener('click', () => this.clear());
  }

  show(reason: unknown): void {
    this.#text.textContent = describe(reason);
    this.#box.hidden = false;
  }

  clear(): void {
    this.#box.hidden = true;
  }
}

function describe(reason: unknown): string {
  // The library's errors and our own say what to do. Anything else is a bug.
  if (reason instanceof Error && (reason instanceof Problem || 'code' in reason)) return reason.message;
  const text = reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason);
  return `Something failed that should not: ${text}. Reload the page; if it comes back, report this text.`;
}
